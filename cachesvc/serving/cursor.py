"""Where a stream is in one partition, and what follows from that."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import LostRange, MiningState, Snapshot

# States in which mining cannot tell how far the source is, and of which a client is told at once.
STUCK = (
    MiningState.BLOCKED,
    MiningState.SOURCE_UNREACHABLE,
    MiningState.FAILED,
    MiningState.STOPPED,
    MiningState.PAUSED,
)


@dataclass(slots=True, eq=False)
class Cursor:
    """Where a stream is in one partition.

    Attributes:
        log: The partition's log.
        position: The next offset to deliver.
        end: Where the stream ends in this partition; None if it never does.
        listener: What the log calls when it changes.
        stuck: The state that holds mining up, as the client knows it; None while none does.
        left: Whether the topic's next incarnation has no such partition, and the gap there was
            told.
        snapshot: What it reads, and the log only from its end on; None once it is through.
        told: The end of the last gap in the snapshot that its client knows.
        untold: The first offset that it moved over without a word to its client, because a filter
            left nothing; None if there is none.
        epoch: Of the partition's assignment to a member; 0 for a subscriber that shares nothing.
    """

    log: PartitionLog
    position: int
    end: int | None
    listener: Callable[[], None] = field(default=lambda: None)
    stuck: MiningState | None = None
    left: bool = False
    snapshot: Snapshot | None = None
    told: int = 0
    untold: int | None = None
    epoch: int = 0

    @property
    def ended(self) -> bool:
        """Whether the stream is complete in this partition."""
        return self.left or (self.end is not None and self.position >= self.end)

    @property
    def gap_in_snapshot(self) -> LostRange | None:
        """What the snapshot lacks here because it was lost before, and the client was not told.

        What was lost since it was made it still has. Where that cannot be told apart it is a gap;
        nothing is left out for it.
        """
        lost = self.log.lost_at(self.position)
        return lost if lost is not None and self._lacks(lost) and lost.end > self.told else None

    @property
    def next_gap(self) -> int | None:
        """Where the next gap behind the position begins, of what it reads."""
        if self.snapshot is None:
            return self.log.next_gap(self.position)
        begins = (each.begin for each in self.log.lost if self._lacks(each))
        return min((begin for begin in begins if begin > self.position), default=None)

    def _lacks(self, lost: LostRange) -> bool:
        return self.snapshot is not None and lost.end <= self.snapshot.complete_from_offset

    @property
    def readable(self) -> bool:
        """Whether there is something to look at now: records, or news of them."""
        log = self.log
        if self.snapshot is not None:
            return not self.ended
        if not log.reaches(self.position) and log.ended_by is None:
            return not self.ended
        behind = self.position < max(log.log_end_offset, log.log_start_offset)
        over = log.ended_by is not None and self.position >= log.accepted_end_offset
        return (behind or over) and not self.ended

    @property
    def at_tail(self) -> bool:
        """Whether everything that the source is known to have was delivered."""
        if self.ended:
            return True
        if self.snapshot is not None or self.log.above is not None:
            return False
        if self.position < self.log.log_end_offset:
            return False
        if self.log.mining_lag is not None:
            return self.log.mining_lag == 0
        return self.log.source.state in STUCK
