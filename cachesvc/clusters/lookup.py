"""Questions to a cluster, as a port.

It is implemented on Kafka by ``mining.kafka``; the log and its edges know this much only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from cachesvc.errors import SourceUnreachable
from cachesvc.policy.cluster_identity import ForeignAddress

T = TypeVar("T")
TopicPartition = tuple[str, int]
"""A partition by its topic's name and its number."""
UNTIMED = -2
"""Instead of the offset at a time: the source keeps no timestamps of the partition."""


@dataclass(frozen=True, slots=True)
class SourceTopic:
    """A topic as its cluster describes it.

    Attributes:
        partitions: Their numbers, ascending.
        id: The cluster's own id, which a topic of the same name does not inherit; empty if it has
            no such ids (Kafka before 2.8).
    """

    partitions: tuple[int, ...]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What a cluster says of partitions, each for itself: its leader answers, or it does not.

    Attributes:
        found: What was asked, of those whose leaders answered.
        failed: Why there is no answer, of all others.
    """

    found: Mapping[TopicPartition, T]
    failed: Mapping[TopicPartition, SourceUnreachable] = field(default_factory=dict)

    def all(self) -> Mapping[TopicPartition, T]:
        """What was asked, of all.

        Raises:
            SourceUnreachable: One of them has no answer.
        """
        for error in self.failed.values():
            raise error
        return self.found


class SourceLookup(Protocol):
    """Questions to a cluster that cost no record; bounded in time.

    All raise ``SourceUnreachable`` where the cluster as a whole does not answer. A partition that
    does not exist, has no leader, or one that cannot be asked, is among those that failed; it holds
    up no other.

    Answers are of one cluster: the first one that answers, in the
    order in which its addresses are configured, or the one that ``expect`` names. Addresses that
    lead to another one are set aside; where no other is left, the error is ``SOURCE_CHANGED``.
    """

    @property
    def cluster_id(self) -> str:
        """What the cluster that is meant calls itself; empty while any will do."""

    @property
    def foreign(self) -> tuple[ForeignAddress, ...]:
        """Addresses that led to another cluster when they were last tried."""

    def expect(self, cluster_id: str) -> None:
        """Means this cluster from now on; with an empty id the next one that answers."""

    def rule_out(self, cluster_id: str) -> None:
        """Means the next cluster that answers and is not this one."""

    async def try_addresses(self) -> None:
        """Tries all configured addresses, so that ``foreign`` knows of them. Raises nothing."""

    async def clusters(self) -> Mapping[str, str]:
        """What the cluster at each configured address calls itself now, of those that answer."""

    async def list_topics(self) -> Mapping[str, SourceTopic]:
        """Every topic, Kafka's own ones left out."""

    async def earliest_offsets(self, partitions: Sequence[TopicPartition]) -> Answers[int]:
        """The lowest offset that each partition still has."""

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> Answers[int]:
        """The last stable offset of each partition: where a read of committed records ends."""

    async def offsets_at(
        self, partitions: Sequence[TopicPartition], timestamp_ms: int
    ) -> Answers[int | None]:
        """The first offset whose timestamp is not before ``timestamp_ms``, None, or ``UNTIMED``."""

    async def close(self) -> None:
        """Ends the connections. Idempotent."""
