"""Which segments a topic no longer keeps because it holds too much.

Segments of a topic are looked at in the order in which they were mined, over all its logs. What is
older than the newest ``bytes_max`` bytes, or the newest ``records_max`` records, is free to go; of
each log a prefix of whole segments goes, so that nothing is missing in what stays.

What a *protected* subscription has still to read stays besides, and with it what lies behind it in
the same log: until it was mined longer ago than the protection lasts, or until more bytes of the
topic than it allows are as new as it is. It takes nothing away from others: the newest
``bytes_max`` bytes stay, however much is protected before them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

from cachesvc.model import Segment

_MERGED_SHARE = 4


@dataclass(frozen=True, slots=True)
class Protection:
    """How long and how much what subscriptions have still to read is kept beyond a limit of size.

    Attributes:
        age_ms: How long ago it may have been mined.
        bytes_max: Of the topic, how many bytes may be as new as it or newer; None: any.
    """

    age_ms: int
    bytes_max: int | None = None


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """How much of a topic stays. A limit that is None is none.

    Attributes:
        bytes_max: Bytes of its segments and journals.
        records_max: Records in them.
        protection: Of what subscriptions have still to read; None: there is none.
    """

    bytes_max: int | None = None
    records_max: int | None = None
    protection: Protection | None = None

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return self.bytes_max is not None or self.records_max is not None

    def merged_bytes_max(self, bytes_max: int, segments: Sequence[Segment]) -> int:
        """Up to how many bytes segments of a log may be merged, if ``bytes_max`` else.

        Whole segments go, so that none may be much of what stays.
        """
        wanted = [bytes_max]
        if self.bytes_max is not None:
            wanted.append(self.bytes_max // _MERGED_SHARE)
        records = sum(segment.record_count for segment in segments)
        if self.records_max is not None and records:
            size = sum(map(held_by, segments))
            wanted.append(self.records_max * size // (records * _MERGED_SHARE))
        return max(1, min(wanted))

    def exceeded(self, held: "Held") -> bool:
        """Whether so much is more than stays."""
        if self.bytes_max is not None and held.bytes > self.bytes_max:
            return True
        return self.records_max is not None and held.records > self.records_max


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes and records of something."""

    bytes: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True)
class LogSegments:
    """The segments of one log, as far as size is concerned.

    Attributes:
        segments: In offset order; not copied.
        unread_from: Answers the lowest offset that a subscription has still to read; None without
            any. Asked only where it decides.
        journals: What is in journals that are no segment yet, and newer than all segments.
    """

    segments: Sequence[Segment]
    unread_from: Callable[[], int | None]
    journals: Held = Held()


def held_by(segment: Segment) -> int:
    """The bytes of all files of a segment."""
    return segment.bytes + segment.rejects_bytes


def total(logs: Sequence[LogSegments]) -> Held:
    """What logs hold together."""
    size = sum(held_by(segment) for log in logs for segment in log.segments)
    records = sum(segment.record_count for log in logs for segment in log.segments)
    return Held(
        size + sum(log.journals.bytes for log in logs),
        records + sum(log.journals.records for log in logs),
    )


def oldest_first(logs: Sequence[LogSegments]) -> Iterator[tuple[int, Segment, Held]]:
    """Every segment of a topic in the order of mining, as far as that keeps each log's order.

    With it comes the number of its log, and what of the topic is as new as it or newer, itself
    included. What it needs is one entry a log, however many segments there are.
    """
    left = total(logs)
    heads = [(log.segments[0].newest_mined_ms, n, 0) for n, log in enumerate(logs) if log.segments]
    heapify(heads)
    while heads:
        _, number, at = heads[0]
        segments = logs[number].segments
        segment = segments[at]
        yield number, segment, left
        left = Held(left.bytes - held_by(segment), left.records - segment.record_count)
        if at + 1 < len(segments):
            heapreplace(heads, (segments[at + 1].newest_mined_ms, number, at + 1))
        else:
            heappop(heads)


def is_protected(
    log: LogSegments, segment: Segment, held: Held, now_ms: int, protection: Protection | None
) -> bool:
    """Whether a subscription needs a segment, and is within the limit of what is kept for it.

    Args:
        log: In which the segment lies.
        segment: Which.
        held: What of the topic is as new as it or newer.
        now_ms: The present.
        protection: Of the topic.
    """
    if protection is None or now_ms > segment.newest_mined_ms + protection.age_ms:
        return False
    if protection.bytes_max is not None and held.bytes > protection.bytes_max:
        return False
    needed = log.unread_from()
    return needed is not None and segment.end_offset > needed


def plan_topic_limits(logs: Sequence[LogSegments], limits: SizeLimits, now_ms: int) -> list[int]:
    """How many of the first segments of each log go, because the topic holds too much.

    Args:
        logs: All of one topic: of its partitions, incarnations and ranges.
        limits: How much stays.
        now_ms: The present.
    """
    dropped = [0] * len(logs)
    if not limits.any:
        return dropped
    staying: set[int] = set()
    for number, segment, held in oldest_first(logs):
        if not limits.exceeded(held):
            break
        if number in staying:
            continue
        if is_protected(logs[number], segment, held, now_ms, limits.protection):
            staying.add(number)
        else:
            dropped[number] += 1
    return dropped
