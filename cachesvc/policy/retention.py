"""Which segments retention drops, and what the log start becomes.

Invariant: what goes is a prefix of whole segments, so that nothing is missing in the cached log. A
segment is free to go once the newest thing in it has had its time, by the clock of the rule:

* ``MINED``: when it was mined. Timestamps count for nothing.
* ``RECORD``: the largest timestamp, as Kafka has it. A time that is later than the mining counts as
  that, and so does none at all (-1, or no record).

What a subscription has still to read stays besides until it has, or until it was mined
``unread_ms`` ago. So nothing stays longer than the greater of ``age_ms`` and ``unread_ms`` from
when it was mined, whatever its timestamp says, except for

* what lies behind a range that was mined afterwards: whoever asked for that comes there next, so
  the two go together;
* what shares a segment with something newer: at most ``merged_span_ms``, or the age of a journal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile

from cachesvc.model import Segment

_MERGED_SHARE = 4


class RetentionClock(Enum):
    """What the age of a record is counted from."""

    MINED = "mined"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How long what is cached stays; ``clock`` says counted from when.

    Attributes:
        clock: When the age begins.
        age_ms: How old the newest thing in a segment may be.
        unread_ms: How long ago what a subscription has still to read may have been mined.
    """

    clock: RetentionClock
    age_ms: int
    unread_ms: int

    @property
    def merged_span_ms(self) -> int:
        """How far apart the minings may be of what is merged into one segment."""
        return self.age_ms // _MERGED_SHARE

    def free_after_ms(self, segment: Segment, *, unread: bool) -> int:
        """The last moment at which a segment has to be there.

        Args:
            segment: Which.
            unread: Whether a subscription has still to read something of it.
        """
        newest_ms = segment.newest_mined_ms
        timed = segment.record_count > 0 and segment.max_timestamp_ms >= 0
        if self.clock is RetentionClock.RECORD and timed:
            newest_ms = min(newest_ms, segment.max_timestamp_ms)
        free_ms = newest_ms + self.age_ms
        return max(free_ms, segment.newest_mined_ms + self.unread_ms) if unread else free_ms


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What to drop from one partition.

    Attributes:
        dropped: Segments that go, in offset order; may be empty.
        log_start_offset: The log start after that; None where it does not change.
    """

    dropped: tuple[Segment, ...] = ()
    log_start_offset: int | None = None


def plan_retention(
    segments: Sequence[Segment],
    now_ms: int,
    rule: RetentionRule,
    unread_from: Callable[[], int | None],
) -> RetentionPlan:
    """What one partition no longer keeps.

    Args:
        segments: Live segments of one partition, in any order.
        now_ms: The present.
        rule: How long they stay.
        unread_from: Answers the lowest offset that a subscription has still to read, None without
            any. Asked only where it decides.

    Raises:
        ValueError: The segments are of several partitions.
    """
    if len({segment.partition for segment in segments}) > 1:
        raise ValueError("segments of several partitions")

    def free(segment: Segment) -> bool:
        if now_ms <= rule.free_after_ms(segment, unread=False):
            return False
        if now_ms > rule.free_after_ms(segment, unread=True):
            return True
        needed = unread_from()
        return needed is None or segment.end_offset <= needed

    in_order = sorted(segments, key=lambda segment: segment.base_offset)
    dropped = tuple(takewhile(free, in_order))
    return RetentionPlan(dropped, dropped[-1].end_offset) if dropped else RetentionPlan()
