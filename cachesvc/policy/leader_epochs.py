"""Leader epochs: what shows that a source has lost records that were mined, and has others instead.

Each leader of a Kafka partition has an epoch, greater than those before, and every record batch
carries the epoch of the leader that took it (KIP-101). Two logs with the same epoch at one offset
are the same up to there. So the epoch of the record batch that was mined last, and where it ends at
the present leader, tell whether that leader's log continues what was mined.
"""

from dataclasses import dataclass

UNKNOWN_EPOCH = -1
"""Stands for the epoch of records that carry none, or of which nobody knows it."""

_STARTS_MAX = 16


def continues(epoch: int, offset: int, found_epoch: int, end_offset: int) -> bool:
    """Whether a leader's log has everything that was mined up to an offset.

    Args:
        epoch: Of the record batch that ends before ``offset``.
        offset: Where mining goes on.
        found_epoch: The newest epoch in the leader's log that is not after ``epoch``.
        end_offset: Where ``found_epoch`` ends in it.
    """
    # A leader that never knew the epoch has other records of an earlier one at these offsets.
    return found_epoch == epoch and offset <= end_offset


@dataclass(frozen=True, slots=True)
class EpochHistory:
    """Which leader epochs a partition's log was mined from: the newest few.

    Invariant: offsets rise strictly, and neighbours have different epochs.

    Attributes:
        starts: Offset of the first append of each epoch, with the epoch.
    """

    starts: tuple[tuple[int, int], ...] = ()

    def before(self, offset: int) -> int:
        """The epoch of what was mined last before ``offset``; unknown where nothing was."""
        for start, epoch in reversed(self.starts):
            if start < offset:
                return epoch
        return UNKNOWN_EPOCH

    @property
    def newest(self) -> int:
        """The highest epoch that anything was mined of; unknown where nothing was."""
        return max((epoch for _, epoch in self.starts), default=UNKNOWN_EPOCH)

    def then(self, offset: int, epoch: int) -> "EpochHistory":
        """The history with an append at ``offset``; what it had from there on did not come about.

        Itself if that is nothing new.
        """
        last = self.starts[-1] if self.starts else (-1, UNKNOWN_EPOCH)
        if last[0] < offset and last[1] == epoch:
            return self
        kept = self.until(offset).starts
        if (kept[-1][1] if kept else UNKNOWN_EPOCH) != epoch:
            kept = (*kept, (offset, epoch))[-_STARTS_MAX:]
        return EpochHistory(kept)

    def until(self, offset: int) -> "EpochHistory":
        """The part of the history that is about what lies before ``offset``."""
        return EpochHistory(tuple(start for start in self.starts if start[0] < offset))
