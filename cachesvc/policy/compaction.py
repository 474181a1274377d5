"""Which segments to merge into larger ones.

Invariants of a plan, and of applying plans again and again:

* A group is two or more small segments of one partition, adjacent, nothing missing between them,
  of at most the target in sum. Merging it changes neither the offsets covered nor their order.
* A segment of half the target or more is full and is merged with nothing.
* A segment that is as sealing left it, quickly compressed, and has been *lone* for long enough (no
  group has it) is rewritten by itself, once, for its final encoding.
* What a group holds was mined within the span, so that retention, which drops whole segments, does
  not get coarse. Of each span of a partition few segments stay, however many were sealed in it.
* Merging pays: the result is at least one and a half times as large as the largest segment of its
  group. So the segment that a byte lies in grows by that factor every time the byte is rewritten,
  and a byte that was sealed into a segment of size s is rewritten at most
  log(target / s) / log(1.5) + 1 times, however many segments follow.
* Every plan leaves fewer segments, or fewer as sealing left them, so planning ends at a fixed
  point, where no plan is made.

With equal segments this is a binary counter: few segments of each size, the larger the older. It
is size-tiered compaction as LSM trees have it, restricted to neighbours to keep offset order.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cachesvc.model import PartitionId, Segment

GAIN_NUMERATOR, GAIN_DENOMINATOR = 3, 2
"""How many times as large as its largest segment a group has to be."""


@dataclass(frozen=True, slots=True)
class CompactionPlan:
    """Segments to merge into one.

    Attributes:
        segments: Of one partition, in offset order, each beginning where the one before it ends; a
            single one as sealing left it.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if not self.segments or (len(self.segments) == 1 and self.segments[0].level > 0):
            raise ValueError("a plan merges two segments or more, or rewrites one that was sealed")

    @property
    def partition(self) -> PartitionId:
        """Whose segments these are."""
        return self.segments[0].partition

    @property
    def base_offset(self) -> int:
        """Begin of the range that the result covers."""
        return self.segments[0].base_offset

    @property
    def end_offset(self) -> int:
        """End of the range that the result covers."""
        return self.segments[-1].end_offset

    @property
    def bytes(self) -> int:
        """Sum of the sizes: what has to be read, and about what is written."""
        return sum(segment.bytes for segment in self.segments)

    @property
    def level(self) -> int:
        """The level of the result."""
        return max(segment.level for segment in self.segments) + 1


@dataclass(frozen=True, slots=True)
class MergeLimits:
    """What a merged segment has at most.

    Attributes:
        bytes: Its size.
        span_ms: Between the minings of the first and the last part of it.
        lone_before_ms: A lone segment is rewritten if all of it was mined before; None for none.
    """

    bytes: int
    span_ms: int
    lone_before_ms: int | None = None


def plan_compaction(segments: Sequence[Segment], limits: MergeLimits) -> list[CompactionPlan]:
    """Groups that are worth merging now, and lone segments, in order of partition and offset.

    The plans are disjoint, so that each can be carried out by itself, in any order.

    Args:
        segments: Live segments, of any number of partitions, in any order.
        limits: What a merged segment has at most.
    """
    in_order = sorted(segments, key=lambda segment: (segment.partition, segment.base_offset))
    groups = [
        tuple(group)
        for run in _small_runs(in_order, limits.bytes)
        for group in _groups(run, limits)
    ]
    taken = {segment for group in groups for segment in group}
    lone = [(each,) for each in in_order if _is_lone(each, limits) and each not in taken]
    plans = [CompactionPlan(group) for group in (*groups, *lone)]
    return sorted(plans, key=lambda plan: (plan.partition, plan.base_offset))


def _is_lone(segment: Segment, limits: MergeLimits) -> bool:
    before_ms = limits.lone_before_ms
    return before_ms is not None and segment.level == 0 and segment.newest_mined_ms < before_ms


def _small_runs(segments: Iterable[Segment], target_bytes: int) -> Iterator[list[Segment]]:
    """Maximal runs of small segments that follow each other, nothing missing between."""
    run: list[Segment] = []
    for segment in segments:
        small = 2 * segment.bytes < target_bytes
        if run and not (small and _follows(run[-1], segment)):
            yield run
            run = []
        if small:
            run.append(segment)
    if run:
        yield run


def _follows(before: Segment, after: Segment) -> bool:
    return before.partition == after.partition and before.end_offset == after.base_offset


def _groups(run: Sequence[Segment], limits: MergeLimits) -> Iterator[Sequence[Segment]]:
    """From left to right, the longest group at each segment that pays and fits the limits."""
    begin = 0
    while begin < len(run):
        end = _longest_group(run, begin, limits)
        if end > begin:
            yield run[begin:end]
        begin = max(end, begin + 1)


def _longest_group(run: Sequence[Segment], begin: int, limits: MergeLimits) -> int:
    """Where the longest group from ``begin`` on ends; ``begin`` if there is none."""
    longest = begin
    size = largest = 0
    oldest_ms, newest_ms = run[begin].oldest_mined_ms, run[begin].newest_mined_ms
    for last in range(begin, len(run)):
        size += run[last].bytes
        largest = max(largest, run[last].bytes)
        oldest_ms = min(oldest_ms, run[last].oldest_mined_ms)
        newest_ms = max(newest_ms, run[last].newest_mined_ms)
        if size > limits.bytes or newest_ms - oldest_ms > limits.span_ms:
            break
        if last > begin and size * GAIN_DENOMINATOR >= largest * GAIN_NUMERATOR:
            longest = last + 1
    return longest
