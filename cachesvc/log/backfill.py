"""What is missing of partitions and wanted by somebody, so that readers mine it afterwards.

Coverage is a set of ranges (``stretches``). Whoever reads a partition wants everything from its
position on; what of that no stretch has is mined once, for all who want it. Nobody's holes are left
alone: they cost nothing until somebody comes.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from cachesvc.errors import PreconditionFailed
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.stretches import Stretches
from cachesvc.model import PartitionId
from cachesvc.policy.coverage import OffsetRange


@dataclass(frozen=True, slots=True)
class _Want:
    """Offsets from ``begin`` on; up to ``end``, or to all that is known."""

    begin: int
    end: int | None

    def needs(self, hole: OffsetRange) -> bool:
        """Whether the first offset of a hole is wanted. Who waits further up has a place there."""
        return (
            bool(hole) and self.begin <= hole.begin and (self.end is None or hole.begin < self.end)
        )


class Backfill:
    """Who wants what. Belongs to one event loop.

    Args:
        stretches: What there is.
    """

    def __init__(self, stretches: Stretches) -> None:
        self._stretches = stretches
        self._wants: dict[PartitionId, dict[Hashable, _Want]] = {}
        self.on_change: Callable[[], None] = lambda: None
        """Called when something else may have to be mined now."""

    def want(
        self, who: Hashable, partition: PartitionId, begin: int, end: int | None = None
    ) -> None:
        """Notes that somebody reads from ``begin`` on, up to ``end`` if there is one."""
        self._wants.setdefault(partition, {})[who] = _Want(begin, end)
        if self._stretches.below(partition):
            self.on_change()

    def leave(self, who: Hashable, partition: PartitionId) -> None:
        """Ends that; idempotent."""
        wants = self._wants.get(partition, {})
        wants.pop(who, None)
        if not wants:
            self._wants.pop(partition, None)
        if self._stretches.below(partition):
            self.on_change()

    def wanted(self, partition: PartitionId) -> OffsetRange | None:
        """What has to be mined next: of the lowest hole that somebody wants, what is wanted."""
        log = self.growing(partition)
        if log is None:
            return None
        hole = _hole(log)
        wants = self._wants.get(partition, {}).values()
        ends = [want.end for want in wants if want.needs(hole)]
        furthest = max((hole.end if end is None else end for end in ends), default=hole.end)
        return OffsetRange(hole.begin, min(hole.end, furthest))

    def growing(self, partition: PartitionId) -> PartitionLog | None:
        """The log that takes what has to be mined next."""
        for log in self._stretches.below(partition):
            if log.ended_by is None and self._is_wanted(log):
                return log
        return None

    def taking(self, partition: PartitionId, begin: int, end: int) -> PartitionLog:
        """The log that takes ``[begin, end)`` of what is missing.

        Raises:
            PreconditionFailed: ``NOT_WANTED``: nobody needs the range any more, or not from there.
        """
        for log in self._stretches.below(partition):
            if log.accepted_end_offset == begin and begin < end <= (log.ceiling or 0):
                self._stretches.swallow(log, end)
                return log
        raise PreconditionFailed(
            f"{partition}: nothing is missing that begins at offset {begin} and ends at {end}",
            reason="NOT_WANTED",
        )

    def tend(self, join: Callable[[PartitionLog], None]) -> None:
        """Lets stretches that have come up to the next one join it, and forgets useless ones."""
        for log in self._stretches.all_below():
            if log.complete:
                join(log)
            elif log.blank and not self._is_wanted(log):
                self._stretches.drop(log)

    def _is_wanted(self, log: PartitionLog) -> bool:
        hole = _hole(log)
        return any(want.needs(hole) for want in self._wants.get(log.id, {}).values())


def _hole(log: PartitionLog) -> OffsetRange:
    """What is missing between a lower stretch and the one above it."""
    assert log.ceiling is not None
    begin = log.accepted_end_offset
    return OffsetRange(begin, max(begin, log.ceiling))
