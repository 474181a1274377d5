"""When a snapshot is made, from what, and which snapshots stay.

A snapshot covers ``[base, end)`` of a partition without anything missing between. Invariants:

* A snapshot continues another one only where the log still has all from the end of that on, and
  nothing older: the result is what a snapshot of the whole range would have been.
* One that covers more of the past beats one that is continued: where a range below was mined
  afterwards, the next one is made anew from there.
* What a stream reads stays, whatever its age.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cachesvc.model import LostRange, Snapshot
from cachesvc.policy.coverage import OffsetRange


@dataclass(frozen=True, slots=True)
class SnapshotPlan:
    """A snapshot to make.

    Attributes:
        covered: What it will cover.
        previous: What it continues; None if it is made of segments alone.
    """

    covered: OffsetRange
    previous: Snapshot | None = None

    @property
    def read_from(self) -> int:
        """Where the records of segments begin to count."""
        return self.covered.begin if self.previous is None else self.previous.end_offset


def plan_snapshot(log: OffsetRange, snapshots: Sequence[Snapshot]) -> SnapshotPlan | None:
    """What to make of a partition now; None where there is nothing to add.

    Args:
        log: What segments have of it, nothing missing between.
        snapshots: Of the same partition, whole ones, in any order.
    """
    usable = [each for each in snapshots if each.base_offset <= log.begin <= each.end_offset]
    if not log:
        return None
    if not usable:
        return SnapshotPlan(log)
    previous = max(usable, key=lambda each: (each.end_offset, -each.base_offset))
    if previous.end_offset >= log.end:
        return None
    return SnapshotPlan(OffsetRange(previous.base_offset, log.end), previous)


def complete_from(plan: SnapshotPlan, lost: Sequence[LostRange]) -> int:
    """From where on every record counts in a snapshot that is made as planned.

    Args:
        plan: The plan.
        lost: What of the partition the source had deleted before it was mined.
    """
    previous = plan.previous
    begin = plan.covered.begin if previous is None else previous.complete_from_offset
    ends = (each.end for each in lost if begin < each.end <= plan.covered.end)
    return max(ends, default=begin)


def superseded(
    snapshots: Sequence[Snapshot], kept: int, read: Collection[str]
) -> tuple[Snapshot, ...]:
    """The snapshots of one partition that may go.

    Args:
        snapshots: All of them.
        kept: How many stay, the newest.
        read: Paths of those that somebody reads.
    """
    newest = sorted(snapshots, key=lambda each: (each.end_offset, each.file.created_ms))
    return tuple(each for each in newest[:-kept] if each.file.path not in read)
