"""How far a task is: counted while it runs, and told as a value."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import msgspec

from cachesvc.client import PartitionProgress, Positions
from cachesvc.client.positions import PartitionKey

_RATE_OVER_S = 10.0
_ENDS_KNOWN_S = 60.0
"""Where the source ended earlier than that is not where it ends."""


class Trouble(msgspec.Struct, frozen=True):
    """What a task waits for to pass, or what it ended with.

    Attributes:
        reason: Word in capitals.
        message: For people.
        since_ms: Milliseconds since the epoch.
    """

    reason: str
    message: str
    since_ms: int


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A task at a moment; times in milliseconds since the epoch.

    Attributes:
        name: The task's.
        state: ``starting``, ``running``, ``paused``, ``stopping``; at the end ``done`` (a full sync
            is complete), ``stopped`` or ``failed``.
        mode: The task's.
        subscription: Where the service keeps its position.
        started_ms: When it began.
        records: Records of the source that are dealt with: written, dropped or kept apart.
        changes: Rows that the sink has confirmed.
        bytes: Of these, as decoded.
        deliveries: What the sink has confirmed at once, how often.
        refused: Records that were kept apart.
        retries: Attempts that failed and were tried again.
        records_per_s: Over the last seconds.
        bytes_waiting: Read and waiting for the sink.
        share: Of a full sync, how much is done, 0 to 1; else null.
        left_s: Seconds to the expected end of a full sync; null where not known.
        lag_records: Records between the position and the source's end; null where not known.
        confirmed_ms: When the sink last confirmed something; null if never.
        outside: Whether the broker is read instead of the cache now.
        outside_s: Seconds that it was, all together.
        trouble: What it waits for, or has ended with; null if nothing.
    """

    name: str
    state: str
    mode: str
    subscription: str
    started_ms: int
    records: int = 0
    changes: int = 0
    bytes: int = 0
    deliveries: int = 0
    refused: int = 0
    retries: int = 0
    records_per_s: float = 0.0
    bytes_waiting: int = 0
    share: float | None = None
    left_s: float | None = None
    lag_records: int | None = None
    confirmed_ms: int | None = None
    outside: bool = False
    outside_s: float = 0.0
    trouble: Trouble | None = None


class Meter:
    """Counts what a task does. Pure but for its clocks.

    Args:
        clock: Monotonic seconds.
        now_ms: Milliseconds since the epoch.

    Attributes:
        refused: Records that were kept apart.
        retries: Attempts that failed and were tried again.
        outside_s: Seconds that the broker was read instead of the cache, in sessions that are over.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._clock = clock
        self.now_ms = now_ms
        self.started_ms = now_ms()
        self.records = self.changes = self.bytes = self.deliveries = 0
        self.refused = self.retries = 0
        self.confirmed_ms: int | None = None
        self.trouble: Trouble | None = None
        self.outside_s = 0.0
        self._recent: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._begin: Positions = Positions()
        self._end: Positions = Positions()
        self._reached: dict[PartitionKey, int] = {}
        self._source_ends: dict[PartitionKey, int] = {}
        self._ends_seen_s = clock()

    def began(self, begin: Positions, end: Positions) -> None:
        """A session starts; of a full sync, the first one's begin counts."""
        for key, position in begin.items():
            self._reached[key] = position.offset
        self._begin = Positions((*begin.values(), *self._begin.values()))
        self._end = end

    def dealt_with(self, records: int) -> None:
        """Records of the source are written, dropped or kept apart."""
        self.records += records
        self._recent.append((self._clock(), self.records))
        self._forget_old()

    def confirmed(self, changes: int, size: int, positions: Positions) -> None:
        """The sink has a delivery, or a part of one."""
        self.changes += changes
        self.bytes += size
        self.deliveries += 1
        self.confirmed_ms = self.now_ms()
        self.trouble = None
        self.reached(positions)

    def reached(self, positions: Positions) -> None:
        """Everything before these is dealt with."""
        self._reached.update((key, each.offset) for key, each in positions.items())

    def left(self, keys: Iterable[PartitionKey]) -> None:
        """Others deal with these now."""
        for key in keys:
            self._reached.pop(key, None)
            self._source_ends.pop(key, None)

    def saw(self, partitions: tuple[PartitionProgress, ...]) -> None:
        """Where the source ends, as a stream says."""
        ends = {}
        for each in partitions:
            end = each.source_high_watermark
            ends[each.position.key] = each.log_end_offset if end is None else end
        self.saw_ends(ends)

    def saw_ends(self, ends: Mapping[PartitionKey, int]) -> None:
        """Where the source ends."""
        self._source_ends.update(ends)
        self._ends_seen_s = self._clock()

    @property
    def ends_age_s(self) -> float:
        """Seconds since it was last said where the source ends, or since the beginning."""
        return self._clock() - self._ends_seen_s

    def failed(self, reason: str, message: str) -> None:
        """Something is in the way; since when, is kept while it stays the same."""
        if self.trouble is None or self.trouble.reason != reason:
            self.trouble = Trouble(reason, message, self.now_ms())

    @property
    def records_per_s(self) -> float:
        """Over the last seconds."""
        now_s = self._forget_old()
        since_s, count = self._recent[0]
        return (self.records - count) / (now_s - since_s) if now_s > since_s else 0.0

    @property
    def share(self) -> float | None:
        """Of a full sync, how much is done; None of what has no end."""
        if not self._end:
            return None
        total, left = self._extent(), self._left()
        return 1.0 if not total else max(0.0, 1 - left / total)

    @property
    def left_s(self) -> float | None:
        """Seconds to the expected end of a full sync, by its mean rate."""
        rate = self.records_per_s
        return self._left() / rate if self._end and rate else None

    @property
    def lag_records(self) -> int | None:
        """Offsets between what is reached and the source's end; None where that is not known."""
        ends = self._source_ends
        if not ends or self.ends_age_s > _ENDS_KNOWN_S:
            return None
        return sum(max(0, end - self._reached.get(key, end)) for key, end in ends.items())

    def _forget_old(self) -> float:
        """Keeps what the rate is made of; says what time it is."""
        now_s = self._clock()
        while len(self._recent) > 1 and self._recent[0][0] < now_s - _RATE_OVER_S:
            self._recent.popleft()
        return now_s

    def _extent(self) -> int:
        begins: Mapping[PartitionKey, int] = {k: p.offset for k, p in self._begin.items()}
        return sum(max(0, p.offset - begins.get(k, p.offset)) for k, p in self._end.items())

    def _left(self) -> int:
        return sum(max(0, p.offset - self._reached.get(k, 0)) for k, p in self._end.items())
