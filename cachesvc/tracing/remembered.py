"""The newest traces, so that what becomes of their records later can be added to them. No I/O."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cachesvc.model import PartitionId

AGE_S_MAX = 600.0
TRACES_MAX = 1_000
"""Beyond either, the oldest are forgotten."""

SpanT = TypeVar("SpanT")


@dataclass(slots=True, eq=False)
class Traced(Generic[SpanT]):
    """An append that is traced.

    Attributes:
        partition: Whose it is.
        end_offset: Where it ends.
        span: Of the append as a whole.
        came_s: When it came, in seconds of a clock that never goes back.
        came_ns: The same in nanoseconds since the Unix epoch.
        written_ns: When its records could be read, likewise; None before.
        subscriptions: All it was delivered to.
    """

    partition: PartitionId
    end_offset: int
    span: SpanT
    came_s: float
    came_ns: int
    written_ns: int | None = None
    subscriptions: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class Delivery(Generic[SpanT]):
    """Of a trace to one subscription.

    Attributes:
        traced: The trace.
        span: Of the delivery.
        sent_ns: When it was, in nanoseconds since the Unix epoch.
    """

    traced: Traced[SpanT]
    span: SpanT
    sent_ns: int


class Remembered(Generic[SpanT]):
    """A bounded number of traces, and their deliveries that are not committed.

    What is sent and committed of partitions without any costs one look-up.
    """

    def __init__(self) -> None:
        self._all: deque[Traced[SpanT]] = deque()  # the oldest first
        self._of: dict[PartitionId, list[Traced[SpanT]]] = {}  # by their ends
        self._delivered: dict[tuple[str, PartitionId], list[Delivery[SpanT]]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, traced: Traced[SpanT]) -> None:
        """Remembers one that is younger than all others."""
        while self._all and (
            len(self._all) >= TRACES_MAX or self._all[0].came_s < traced.came_s - AGE_S_MAX
        ):
            self.forget(self._all.popleft())
        self._all.append(traced)
        of_partition = self._of.setdefault(traced.partition, [])
        of_partition.insert(bisect_right(of_partition, traced.end_offset, key=_end_of), traced)

    def forget(self, traced: Traced[SpanT]) -> None:
        """Adds nothing to one any more. Idempotent."""
        of_partition = self._of.get(traced.partition, [])
        if traced in of_partition:
            of_partition.remove(traced)
            if not of_partition:
                del self._of[traced.partition]
        for name in traced.subscriptions:
            key = name, traced.partition
            rest = [each for each in self._delivered.pop(key, ()) if each.traced is not traced]
            if rest:
                self._delivered[key] = rest

    def ending_in(self, partition: PartitionId, begin: int, end: int) -> Sequence[Traced[SpanT]]:
        """Those of a partition that end in ``(begin, end]``."""
        of_partition = self._of.get(partition)
        if of_partition is None:
            return ()
        first = bisect_right(of_partition, begin, key=_end_of)
        return of_partition[first : bisect_right(of_partition, end, lo=first, key=_end_of)]

    def delivered(self, subscription: str, delivery: Delivery[SpanT]) -> None:
        """Remembers a delivery until it is committed."""
        traced = delivery.traced
        traced.subscriptions.add(subscription)
        self._delivered.setdefault((subscription, traced.partition), []).append(delivery)

    def committed(
        self, subscription: str, partition: PartitionId, position: int
    ) -> Sequence[Delivery[SpanT]]:
        """Takes out the deliveries that a position covers."""
        deliveries = self._delivered.pop((subscription, partition), None)
        if deliveries is None:
            return ()
        rest = [each for each in deliveries if each.traced.end_offset > position]
        if rest:
            self._delivered[subscription, partition] = rest
        return [each for each in deliveries if each.traced.end_offset <= position]


def _end_of(traced: Traced[SpanT]) -> int:
    return traced.end_offset
