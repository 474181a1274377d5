"""What is missing of partitions and wanted by somebody, so that readers mine it afterwards.

Coverage is a set of ranges (``coverage_ranges``). Whoever reads a partition wants everything from
its position on; what of that is missing is mined once, for all who want it. What nobody wants is
left alone: it costs nothing until somebody comes.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cachesvc.errors import PreconditionFailed
from cachesvc.log.coverage_ranges import CoverageRanges
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId
from cachesvc.policy.coverage import OffsetRange


@dataclass(frozen=True, slots=True)
class _Want:
    """Offsets from ``begin`` on; up to ``end``, or to all that is known."""

    begin: int
    end: int | None

    def needs(self, missing: OffsetRange) -> bool:
        """Whether the first missing offset is wanted. Who waits further up has a range there."""
        return (
            bool(missing)
            and self.begin <= missing.begin
            and (self.end is None or missing.begin < self.end)
        )


class Backfill:
    """Who wants what. Belongs to one event loop.

    Args:
        ranges: What there is.
    """

    def __init__(self, ranges: CoverageRanges) -> None:
        self._ranges = ranges
        self._wants: dict[PartitionId, dict[Hashable, _Want]] = {}
        self.on_change: Callable[[], None] = lambda: None
        """Called when something else may have to be mined now."""

    def want(
        self, who: Hashable, partition: PartitionId, begin: int, end: int | None = None
    ) -> None:
        """Notes that somebody reads from ``begin`` on, up to ``end`` if there is one."""
        self._wants.setdefault(partition, {})[who] = _Want(begin, end)
        if self._ranges.below(partition):
            self.on_change()

    def leave(self, who: Hashable, partition: PartitionId) -> None:
        """Ends that; idempotent."""
        wants = self._wants.get(partition, {})
        wants.pop(who, None)
        if not wants:
            self._wants.pop(partition, None)
        if self._ranges.below(partition):
            self.on_change()

    def wanted(self, partition: PartitionId) -> OffsetRange | None:
        """What has to be mined next: what is wanted of the lowest missing range that is."""
        log = self.growing(partition)
        if log is None:
            return None
        missing = _missing(log)
        wants = self._wants.get(partition, {}).values()
        ends = [want.end for want in wants if want.needs(missing)]
        furthest = max((missing.end if end is None else end for end in ends), default=missing.end)
        return OffsetRange(missing.begin, min(missing.end, furthest))

    def growing(self, partition: PartitionId) -> PartitionLog | None:
        """The log that takes what has to be mined next."""
        for log in self._ranges.below(partition):
            if log.ended_by is None and self._is_wanted(log):
                return log
        return None

    def taking(self, partition: PartitionId, begin: int, end: int) -> PartitionLog:
        """The log that takes ``[begin, end)`` of what is missing.

        Raises:
            PreconditionFailed: ``NOT_WANTED``: nobody needs the range any more, or not from there.
        """
        for log in self._ranges.below(partition):
            if log.accepted_end_offset == begin and begin < end <= (log.ceiling or 0):
                self._ranges.swallow(log, end)
                return log
        raise PreconditionFailed(
            f"{partition}: nothing is missing that begins at offset {begin} and ends at {end}",
            reason="NOT_WANTED",
        )

    def tend(self, join: Callable[[PartitionLog], None]) -> None:
        """Lets ranges that have come up to the next one join it, and forgets useless ones."""
        for log in self._ranges.all_below():
            if log.complete:
                join(log)
            elif log.blank and not self._is_wanted(log):
                self._ranges.drop(log)

    def _is_wanted(self, log: PartitionLog) -> bool:
        missing = _missing(log)
        return any(want.needs(missing) for want in self._wants.get(log.id, {}).values())


def _missing(log: PartitionLog) -> OffsetRange:
    """What is missing between a lower range and the one above it."""
    assert log.ceiling is not None
    begin = log.accepted_end_offset
    return OffsetRange(begin, max(begin, log.ceiling))
