"""The leader epochs of the source that each log was mined from."""

from collections.abc import Collection, Iterable, Mapping

from cachesvc.errors import PreconditionFailed
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import GapCause, PartitionId
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH, EpochHistory

_NOTHING = EpochHistory()


class MinedEpochs:
    """Every log's epochs. Belongs to one event loop; ``load`` comes first.

    An epoch is noted when an append is accepted, and kept before that append is written, so that
    whatever a log holds after a crash, its epoch is known. Epochs change rarely.

    Args:
        catalogue: Where they are durable.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self._noted: dict[PartitionId, EpochHistory] = {}
        self._kept: dict[PartitionId, EpochHistory] = {}

    def load(self) -> None:
        """Reads what the catalogue has. Blocking."""
        self._kept = self._catalogue.call_blocking(lambda port: port.leader_epochs.list())
        self._noted = dict(self._kept)

    def before(self, partition: PartitionId, offset: int) -> int:
        """The epoch of what was mined last before ``offset``; ``UNKNOWN_EPOCH`` if not known."""
        return self._noted.get(partition, _NOTHING).before(offset)

    def check_older(self, partition: PartitionId, epoch: int) -> None:
        """Checks that records of ``epoch`` may lie before some that were mined.

        Epochs rise along a log, and whoever leads after an unclean election has a higher one than
        all leaders whose records are mined. So what it has where something is missing is not what
        was there.

        Raises:
            PreconditionFailed: ``SOURCE_TRUNCATED``: all that was mined is of earlier epochs.
        """
        newest = self._noted.get(partition, _NOTHING).newest
        if UNKNOWN_EPOCH < newest < epoch:
            raise PreconditionFailed(
                f"{partition}: what the source has before records of leader epoch {newest} is of"
                f" epoch {epoch}: it has lost what was there",
                reason=GapCause.SOURCE_TRUNCATED.name,
            )

    def note(self, partition: PartitionId, offset: int, epoch: int) -> None:
        """Notes the epoch of the append that begins at ``offset``."""
        before = self._noted.get(partition, _NOTHING)
        after = before.then(offset, epoch)
        if after is not before:
            self._noted[partition] = after

    def unkept(self, partitions: Iterable[PartitionId]) -> set[PartitionId]:
        """Those of them about which more is noted than kept."""
        return {each for each in partitions if self._noted.get(each) is not self._kept.get(each)}

    async def keep(self, partitions: Collection[PartitionId]) -> None:
        """Makes what was noted about them durable, at once.

        Raises:
            StoreUnwritable: The disk does not take it; nothing happened.
        """
        histories = {each: self._noted[each] for each in partitions}
        await self._catalogue.call(lambda port: port.leader_epochs.put(histories))
        self._kept.update(histories)

    def inherited(self, before: PartitionId, offset: int) -> EpochHistory:
        """What a log begins with that goes on at ``offset`` where the one before ended."""
        return self._noted.get(before, _NOTHING).until(offset)

    def add(self, histories: Mapping[PartitionId, EpochHistory]) -> None:
        """Follows what was made durable of new logs."""
        self._noted.update(histories)
        self._kept.update(histories)
