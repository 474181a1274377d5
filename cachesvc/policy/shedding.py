"""What a store sheds that holds more than its budget.

The rule: *the topic that holds most of the store sheds its oldest segment, until the store is
within its budget*. So topics are cut down to one common level, their fair share, and a topic below
that level loses nothing, however large the others are. Two topics of the same size shed in turn.

What a protected subscription has still to read (``size_limits``) is not shed, nor is what lies
behind it in the same log. A topic of which all the rest is gone sheds no more, and the next one
sheds instead. What is then still too much is ``SheddingPlan.over_bytes``: no record goes for it, so
mining has to wait.

A log may have segments in several stores, and only a prefix of it can go. What lies elsewhere goes
with what it precedes, and frees nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace

from cachesvc.model import LOCAL_STORE, Segment
from cachesvc.policy.size_limits import (
    Held,
    LogSegments,
    Protection,
    held_by,
    is_protected,
    oldest_first,
)

TopicName = tuple[str, str]
"""A connection and a topic of it, whatever its incarnation."""


@dataclass(frozen=True, slots=True)
class TopicSegments:
    """What a topic has, in all stores.

    Attributes:
        topic: Which.
        logs: All of it.
        protection: Of what subscriptions have still to read of it; None: there is none.
    """

    topic: TopicName
    logs: Sequence[LogSegments]
    protection: Protection | None = None

    def bytes_in(self, store: str) -> int:
        """What it holds of a store; journals lie in the local one."""
        size = sum(
            held_by(segment)
            for log in self.logs
            for segment in log.segments
            if segment.store == store
        )
        return size + (sum(log.journals.bytes for log in self.logs) if store == LOCAL_STORE else 0)


@dataclass(frozen=True, slots=True)
class SheddingPlan:
    """What a store sheds.

    Attributes:
        dropped: By topic, how many of the first segments of each of its logs go.
        over_bytes: What is too much still, of which nothing may go.
    """

    dropped: Mapping[TopicName, Sequence[int]] = field(default_factory=dict)
    over_bytes: int = 0


def plan_shedding(
    topics: Sequence[TopicSegments], store: str, over_bytes: int, now_ms: int
) -> SheddingPlan:
    """What goes so that a store holds less.

    Args:
        topics: All of the service.
        store: Which store has to shed.
        over_bytes: How much, at least; 0 or less: nothing.
        now_ms: The present.
    """
    if over_bytes <= 0:
        return SheddingPlan()
    every = [_Shedder(topic, store, now_ms) for topic in topics]
    largest = [(-each.bytes, number) for number, each in enumerate(every) if each.bytes]
    heapify(largest)
    while largest and over_bytes > 0:
        number = largest[0][1]
        freed = every[number].shed()
        if freed is None:
            heappop(largest)
            continue
        over_bytes -= freed
        heapreplace(largest, (-every[number].bytes, number))
    dropped = {each.topic: each.dropped for each in every if any(each.dropped)}
    return SheddingPlan(dropped, max(0, over_bytes))


class _Shedder:
    """Sheds the segments of a topic one by one, the oldest first."""

    def __init__(self, topic: TopicSegments, store: str, now_ms: int) -> None:
        self.topic = topic.topic
        self.bytes = topic.bytes_in(store)
        self.dropped = [0] * len(topic.logs)
        self._given = topic
        self._store = store
        self._now_ms = now_ms
        self._oldest = oldest_first(topic.logs)
        self._staying: set[int] = set()
        self._elsewhere = [0] * len(topic.logs)

    def shed(self) -> int | None:
        """Drops the next segment of the store that may go; answers its bytes, None without any."""
        for number, segment, held in self._oldest:
            if number in self._staying:
                continue
            if self._stays(number, segment, held):
                self._staying.add(number)
            elif segment.store != self._store:
                self._elsewhere[number] += 1
            else:
                self.dropped[number] += self._elsewhere[number] + 1
                self._elsewhere[number] = 0
                self.bytes -= held_by(segment)
                return held_by(segment)
        return None

    def _stays(self, number: int, segment: Segment, held: Held) -> bool:
        log = self._given.logs[number]
        return is_protected(log, segment, held, self._now_ms, self._given.protection)
