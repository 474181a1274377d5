"""Where a stream is in one partition, and what follows from that."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningState

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
    """

    log: PartitionLog
    position: int
    end: int | None
    listener: Callable[[], None] = field(default=lambda: None)
    stuck: MiningState | None = None
    left: bool = False

    @property
    def ended(self) -> bool:
        """Whether the stream is complete in this partition."""
        return self.left or (self.end is not None and self.position >= self.end)

    @property
    def readable(self) -> bool:
        """Whether there is something to look at now: records, or news of them."""
        log = self.log
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
        if self.position < self.log.log_end_offset or self.log.above is not None:
            return False
        if self.log.mining_lag is not None:
            return self.log.mining_lag == 0
        return self.log.source.state in STUCK
