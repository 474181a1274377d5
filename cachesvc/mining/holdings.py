"""What a reader holds: the partitions assigned to it, and how far it has mined each. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cachesvc.backoff import Backoff
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.blocking import Blockage
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH

_NARROWER = 64
_FAILURES_MAX = 4


@dataclass(frozen=True, slots=True)
class AssignedTopic:
    """A topic as the service assigns it.

    Attributes:
        topic: Its name.
        incarnation: Which incarnation of it.
        epoch: Goes with every append.
        resume_offsets: Where to go on, per partition; -1 for the source's earliest.
        source_id: The cluster's own id of this incarnation of it; empty where that is not known.
        end_offsets: Where to end, per partition; nowhere for those that it does not name.
        leader_epochs: Of the record batch before each resume offset, where that is known.
        attempts: How often the service has had each partition tried again.
    """

    topic: str
    incarnation: int
    epoch: int
    resume_offsets: Mapping[int, int]
    source_id: str = ""
    end_offsets: Mapping[int, int] = field(default_factory=dict)
    leader_epochs: Mapping[int, int] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class HeldPartition:
    """A partition in this reader's hands, under one epoch.

    Attributes:
        partition: Which one.
        incarnation: Which incarnation of its topic.
        epoch: Goes with every append.
        source_id: The cluster's own id of the topic; empty where that is not known.
        next_offset: Where the next append begins; -1 for wherever the source begins.
        end_offset: Where mining of it is done; None for never.
        generation: Grows when mining moves; what was fetched or sent in an older generation does
            not count.
        blocked: Why mining stopped at ``next_offset``; None while it did not.
        failure: Why mining does not get on; empty while it does.
        setbacks: How often in a row it had to go back without getting on.
        leader_epoch: Of the record batch before ``next_offset``.
        attempt: How often the service has had it tried again.
        suspect_end: Up to there records go in small appends, to find the one that fails.
        suspect_rows: How many records in one then.
    """

    partition: SourcePartition
    incarnation: int
    epoch: int
    next_offset: int
    source_id: str = ""
    end_offset: int | None = None
    generation: int = 0
    blocked: Blockage | None = None
    failure: str = ""
    setbacks: int = 0
    leader_epoch: int = UNKNOWN_EPOCH
    attempt: int = 0
    suspect_end: int = -1
    suspect_rows: int = 0
    _backoff: Backoff = field(default_factory=Backoff)

    @property
    def done(self) -> bool:
        """Whether nothing of it is left to mine."""
        return self.end_offset is not None and self.next_offset >= self.end_offset

    def rows_max(self, usual: int) -> int:
        """How many records go into one append now."""
        return min(usual, self.suspect_rows) if self.next_offset < self.suspect_end else usual

    def suspect_all(self, end_offset: int, rows: int) -> None:
        """A reader has died before ``end_offset``, with so many records in an append at most."""
        self.suspect_end = end_offset
        self.suspect_rows = max(1, rows // _NARROWER)

    def suspect(self, begin_offset: int, end_offset: int, rows: int) -> bool:
        """Something in a range fails, in an append of so many records at most.

        Whether that is told apart by now: it is a single record, which has failed often enough.
        The next appends are smaller otherwise, so that what is good before it goes on its way.
        """
        before = min(rows, self.suspect_rows) if begin_offset < self.suspect_end else rows
        if before <= 1 and self.setbacks >= _FAILURES_MAX - 1:
            return True
        self.suspect_end = max(end_offset, self.suspect_end)
        self.suspect_rows = max(1, before // _NARROWER)
        return False

    def get_on(self) -> None:
        """The service took an append."""
        if self.setbacks:
            self.setbacks = 0
            self.failure = ""
            self._backoff.reset()

    def go_back(self, offset: int, leader_epoch: int, why: str) -> float:
        """Goes on from ``offset``, whatever is on its way; returns the seconds to wait before.

        The first time in a row nothing is waited for, and nothing is made of it.
        """
        self.next_offset = offset
        self.leader_epoch = leader_epoch
        self.generation += 1
        self.setbacks += 1
        if self.setbacks == 1:
            return 0.0
        self.failure = why
        return self._backoff.next()


@dataclass(frozen=True, slots=True)
class Changes:
    """What a new assignment means for the source.

    Attributes:
        dropped: Not to be mined any more, or not in the way it was.
        taken: To be mined from now on, from ``next_offset`` on.
    """

    dropped: Sequence[SourcePartition]
    taken: Sequence[HeldPartition]


class Holdings:
    """All partitions that a reader holds, by name."""

    def __init__(self) -> None:
        self._held: dict[SourcePartition, HeldPartition] = {}
        self._lost: dict[str, tuple[int, int]] = {}

    def __iter__(self) -> Iterator[HeldPartition]:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def get(self, partition: SourcePartition) -> HeldPartition | None:
        """The partition, if it is held."""
        return self._held.get(partition)

    def holds(self, held: HeldPartition, generation: int) -> bool:
        """Whether work begun for ``held`` in that generation of it still counts."""
        return self._held.get(held.partition) is held and held.generation == generation

    def assign(self, topics: Sequence[AssignedTopic]) -> Changes:
        """Takes over the whole of an assignment.

        A partition that is held under the same epoch and attempt, to the same end, stays as it is,
        whatever its resume offset says: the service told it before it saw what is on its way. A
        topic lost by ``lose`` comes back with a newer epoch only.
        """
        wanted = {
            SourcePartition(topic.topic, number): (topic, offset)
            for topic in topics
            if (topic.incarnation, topic.epoch) > self._lost.get(topic.topic, (0, 0))
            for number, offset in topic.resume_offsets.items()
        }
        dropped = [p for p, held in self._held.items() if not _same(held, wanted.get(p))]
        for partition in dropped:
            del self._held[partition]
        taken = [
            HeldPartition(
                partition,
                topic.incarnation,
                topic.epoch,
                offset,
                topic.source_id,
                topic.end_offsets.get(partition.number),
            )
            for partition, (topic, offset) in wanted.items()
            if partition not in self._held
        ]
        for held in taken:
            epochs = wanted[held.partition][0].leader_epochs
            held.leader_epoch = epochs.get(held.partition.number, UNKNOWN_EPOCH)
            held.attempt = wanted[held.partition][0].attempts.get(held.partition.number, 0)
        self._held.update({held.partition: held for held in taken})
        named = {topic.topic for topic in topics}
        self._lost = {topic: epoch for topic, epoch in self._lost.items() if topic in named}
        return Changes(dropped, taken)

    def lose(self, topic: str, incarnation: int, epoch: int) -> list[SourcePartition]:
        """Gives up a topic that somebody else mines by now; what was held of it."""
        newest = (incarnation, epoch)
        self._lost[topic] = max(newest, self._lost.get(topic, newest))
        lost = [
            partition
            for partition, held in self._held.items()
            if partition.topic == topic and (held.incarnation, held.epoch) <= newest
        ]
        for partition in lost:
            del self._held[partition]
        return lost


def _same(held: HeldPartition, wanted: tuple[AssignedTopic, int] | None) -> bool:
    if wanted is None:
        return False
    topic, _ = wanted
    number = held.partition.number
    end, attempt = topic.end_offsets.get(number), topic.attempts.get(number, 0)
    has = held.epoch, held.incarnation, held.end_offset, held.attempt
    return has == (topic.epoch, topic.incarnation, end, attempt)
