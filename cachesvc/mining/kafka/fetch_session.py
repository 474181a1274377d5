"""What a broker remembers of what is fetched from it, so that a quiet fetch names nothing. No I/O.

Kafka's fetch sessions (KIP-227, Fetch version 7): the first fetch names every partition, and the
broker's answer an id; each later one names only what has changed since, by a session epoch that
grows by one. The answer to such a fetch names only partitions that have something to tell. Brokers
keep a bounded number of sessions, drop old ones, and lose all when they end; then everything is
named anew. One that keeps none answers with the id 0, and everything is named every time.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cachesvc.mining.source import SourcePartition

SESSION_ID_NOT_FOUND = 70
INVALID_SESSION_EPOCH = 71
_NO_SESSION = 0
_NAME_ALL = 0
_EPOCH_MAX = (1 << 31) - 1


class Asked(NamedTuple):
    """What is asked for of one partition.

    Attributes:
        offset: The first one.
        leader_epoch: The epoch that its leader has to have; -1 for any.
        bytes_max: The most that may come, but for a single record batch.
        generation: Which stay of the partition at this source it is for.
    """

    offset: int
    leader_epoch: int
    bytes_max: int
    generation: int


@dataclass(frozen=True, slots=True)
class Naming:
    """What one fetch says of partitions.

    Attributes:
        session_id: Of the session; 0 for none.
        session_epoch: 0 if ``named`` is everything and a session is to begin.
        named: Partitions that are new, or asked for otherwise than before; in their order.
        forgotten: Partitions that are not to be fetched any more.
    """

    session_id: int
    session_epoch: int
    named: Sequence[tuple[SourcePartition, Asked]]
    forgotten: Sequence[SourcePartition]

    @property
    def full(self) -> bool:
        """Whether everything is named."""
        return self.session_epoch == _NAME_ALL


class FetchSession:
    """One session with one broker, which is asked one thing at a time.

    ``want`` and ``drop`` say what is to be fetched; ``request`` says what to tell the broker of
    that, and has to be followed by ``answered`` or ``lost``.

    Partitions are in the order in which they began to be wanted: whoever brought something and is
    wanted again comes last, as in the broker's own session.
    """

    def __init__(self) -> None:
        self._id = _NO_SESSION
        self._epoch = _NAME_ALL
        self._wanted: dict[SourcePartition, Asked] = {}
        self._named: dict[SourcePartition, Asked] = {}
        self._changed: dict[SourcePartition, None] = {}

    @property
    def wanted(self) -> Collection[SourcePartition]:
        """What is to be fetched; a view."""
        return self._wanted.keys()

    def asked(self, partition: SourcePartition) -> Asked | None:
        """What the last request, or one before it, asked for of a partition."""
        return self._named.get(partition)

    def want(self, partition: SourcePartition, asked: Asked) -> None:
        """Has a partition fetched, from the next request on; idempotent."""
        before = self._wanted.get(partition)
        if before == asked:
            return
        if before is None:
            self._changed.pop(partition, None)  # it comes last
        self._wanted[partition] = asked
        self._changed[partition] = None

    def drop(self, partition: SourcePartition) -> None:
        """Has a partition fetched no more; idempotent."""
        if self._wanted.pop(partition, None) is not None:
            self._changed[partition] = None

    def request(self) -> Naming:
        """What the next fetch has to say."""
        changed, self._changed = self._changed, {}
        if self._epoch == _NAME_ALL:
            self._named = dict(self._wanted)
            return Naming(self._id, _NAME_ALL, list(self._named.items()), ())
        named, forgotten = [], []
        for partition in changed:
            asked = self._wanted.get(partition)
            if asked == self._named.get(partition):
                continue
            if asked is None:
                forgotten.append(partition)
                del self._named[partition]
            else:
                named.append((partition, asked))
                self._named[partition] = asked
        return Naming(self._id, self._epoch, named, forgotten)

    def answered(self, session_id: int) -> None:
        """The broker took the last request, and the session goes by this id."""
        if session_id == _NO_SESSION:
            self._id, self._epoch = _NO_SESSION, _NAME_ALL
        else:
            self._id = session_id
            self._epoch = 1 if self._epoch == _EPOCH_MAX else self._epoch + 1

    def lost(self, error_code: int = 0) -> None:
        """Nobody knows whether the broker took the last request, or it said that it did not.

        Everything is named by the next one, which also ends the session if the broker has it.

        Args:
            error_code: What it said.
        """
        self._epoch = _NAME_ALL
        if error_code == SESSION_ID_NOT_FOUND:
            self._id = _NO_SESSION
