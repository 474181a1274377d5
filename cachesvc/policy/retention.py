"""Which segments retention drops, and what the log start becomes.

Invariant: what goes is a prefix of whole segments, so that the cached log never has a hole. Like
Kafka, a segment goes once its newest record is older than the limit: older records stay as long as
a newer one shares their segment, and a segment with a newer record protects all after it.

What was mined afterwards counts from then, however old its records are: somebody has just asked for
it, and the source is not to be read for it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from cachesvc.model import Segment


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What to drop from one partition.

    Attributes:
        dropped: Segments that go, in offset order; may be empty.
        log_start_offset: The log start after that; None where it does not change.
    """

    dropped: tuple[Segment, ...] = ()
    log_start_offset: int | None = None


def plan_retention(segments: Sequence[Segment], now_ms: int, age_ms: int) -> RetentionPlan:
    """What one partition no longer keeps.

    Args:
        segments: Live segments of one partition, in any order.
        now_ms: The present.
        age_ms: How old the newest record of a segment may be.

    Raises:
        ValueError: The segments are of several partitions.
    """
    if len({segment.partition for segment in segments}) > 1:
        raise ValueError("segments of several partitions")
    in_order = sorted(segments, key=lambda segment: segment.base_offset)
    dropped = tuple(takewhile(lambda segment: now_ms - _newest_ms(segment) > age_ms, in_order))
    return RetentionPlan(dropped, dropped[-1].end_offset) if dropped else RetentionPlan()


def _newest_ms(segment: Segment) -> int:
    """A segment without a record that has a time counts from when it was made."""
    timed = segment.record_count > 0 and segment.max_timestamp_ms >= 0
    return max(segment.max_timestamp_ms if timed else segment.created_ms, segment.backfilled_ms)
