"""Questions of the service to a Kafka cluster."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.log.lookup import UNTIMED, SourceTopic
from cachesvc.mining.backoff import Backoff
from cachesvc.mining.kafka.cluster import (
    EARLIEST_TIMESTAMP,
    LATEST_TIMESTAMP,
    Cluster,
    KafkaSettings,
    error_name,
)
from cachesvc.mining.kafka.topic_metadata import Metadata
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.cluster_identity import ForeignAddress

_T = TypeVar("_T")
_UNKNOWN_OFFSET = -1
_UNKNOWN_TOPIC_OR_PARTITION = 3
_TOPIC_AUTHORIZATION_FAILED = 29
_UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
# How long a topic that was just made may take to show.
_UNKNOWN_PARTITION_GRACE_S = 1.0


class _UnknownPartition(SourceUnreachable):
    """The cluster answers, but knows no such partition."""


class KafkaCatalogue:
    """A ``SourceCatalogue``. Belongs to one event loop; calls may overlap.

    A call tries again by itself while brokers are away or leaders move, for
    ``settings.answer_timeout_s`` at most, and for as long as they say that they throttle. One that
    the brokers refuse ends at once.

    Means the first cluster that answers, in the order of ``settings.bootstrap_servers``, and that
    one alone from then on, unless it is told otherwise.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._cluster = Cluster(settings)
        self._timeout_s = settings.answer_timeout_s

    @property
    def throttled_s(self) -> float:
        """For how long questions had to wait because brokers throttle, all together."""
        return self._cluster.throttled_s

    @property
    def cluster_id(self) -> str:
        """See ``SourceLookup``."""
        return self._cluster.cluster_id

    @property
    def foreign(self) -> tuple[ForeignAddress, ...]:
        """See ``SourceLookup``."""
        return self._cluster.foreign

    def expect(self, cluster_id: str) -> None:
        """See ``SourceLookup``."""
        self._cluster.expect(cluster_id)

    def rule_out(self, cluster_id: str) -> None:
        """See ``SourceLookup``."""
        self._cluster.rule_out(cluster_id)

    async def try_addresses(self) -> None:
        """See ``SourceLookup``."""
        await self._cluster.try_bootstrap()

    async def clusters(self) -> Mapping[str, str]:
        """See ``SourceLookup``."""
        return await self._cluster.clusters()

    async def list_topics(self) -> Mapping[str, SourceTopic]:
        """Every topic, Kafka's own ones left out.

        Raises:
            SourceUnreachable: No broker answers in time.
        """
        return await self._try(self._list_topics)

    async def earliest_offsets(
        self, partitions: Sequence[tuple[str, int]]
    ) -> Mapping[tuple[str, int], int]:
        """The lowest offset that each partition still has.

        Raises:
            SourceUnreachable: Not all partitions are answered for in time, or one does not exist.
        """
        return await self._try(lambda: self._offsets(partitions, EARLIEST_TIMESTAMP))

    async def end_offsets(
        self, partitions: Sequence[tuple[str, int]]
    ) -> Mapping[tuple[str, int], int]:
        """The last stable offset of each partition.

        Raises:
            SourceUnreachable: As for ``earliest_offsets``.
        """
        return await self._try(lambda: self._offsets(partitions, LATEST_TIMESTAMP))

    async def offsets_at(
        self, partitions: Sequence[tuple[str, int]], timestamp_ms: int
    ) -> Mapping[tuple[str, int], int | None]:
        """The first offset whose timestamp is not before ``timestamp_ms``; None if there is none.

        ``UNTIMED`` where the leader answers that the partition's format has no timestamps.

        Raises:
            SourceUnreachable: As for ``earliest_offsets``.
        """
        # Negative timestamps mean other things to Kafka; no record is older than 1970.
        asked = max(timestamp_ms, 0)
        found = await self._try(lambda: self._offsets(partitions, asked))
        return {
            partition: None if offset == _UNKNOWN_OFFSET else offset
            for partition, offset in found.items()
        }

    async def close(self) -> None:
        """Ends the connections. Idempotent."""
        await self._cluster.close()

    async def _try(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        began_s, told_s = time.monotonic(), self._cluster.throttled_s
        failures: deque[SourceUnreachable] = deque(maxlen=1)
        answering = asyncio.ensure_future(_until_answered(ask, failures))
        try:
            while not answering.done():
                # A broker that throttles is not away.
                allowed_s = self._timeout_s + self._cluster.throttled_s - told_s
                left_s = began_s + allowed_s - time.monotonic()
                if left_s <= 0:
                    text = f"no answer from the cluster within {allowed_s:g} s"
                    raise failures[0] if failures else SourceUnreachable(text)
                await asyncio.wait({answering}, timeout=left_s)
            return answering.result()
        finally:
            answering.cancel()

    async def _metadata(self, topics: Collection[str] | None) -> Metadata:
        found = await self._cluster.metadata(topics)
        if not self.cluster_id:
            self.expect(found.cluster_id)
        return found

    async def _list_topics(self) -> dict[str, SourceTopic]:
        metadata = await self._metadata(None)
        return {
            name: SourceTopic(tuple(sorted(topic.leaders)), topic.topic_id)
            for name, topic in metadata.topics.items()
            if not topic.is_internal and topic.error_code == 0
        }

    async def _offsets(
        self, partitions: Sequence[tuple[str, int]], timestamp: int
    ) -> dict[tuple[str, int], int]:
        metadata = await self._metadata({topic for topic, _ in partitions})
        by_leader: defaultdict[int, dict[SourcePartition, int]] = defaultdict(dict)
        for topic, number in partitions:
            known = metadata.topics.get(topic)
            if known is None or number not in known.leaders:
                raise _UnknownPartition(f"{topic}/{number} does not exist")
            leader = known.leaders[number]
            if leader < 0:
                raise SourceUnreachable(f"{topic}/{number} has no leader at the moment")
            by_leader[leader][SourcePartition(topic, number)] = timestamp
        found: dict[tuple[str, int], int] = {}
        for leader, asked in by_leader.items():
            answer = await self._cluster.offsets(leader, asked)
            for partition in asked:
                error_code, offset = answer[partition]
                if error_code == _UNSUPPORTED_FOR_MESSAGE_FORMAT:
                    found[partition] = UNTIMED
                elif error_code:
                    raise _refusal(partition, error_code)
                else:
                    found[partition] = offset
        return found


async def _until_answered(
    ask: Callable[[], Awaitable[_T]], failures: deque[SourceUnreachable]
) -> _T:
    """Asks until that works, or is of no use; ``failures`` gets why it does not."""
    backoff = Backoff(0.05, 1.0)
    unknown_until = time.monotonic() + _UNKNOWN_PARTITION_GRACE_S
    while True:
        try:
            return await ask()
        except ConnectionUnusable:
            raise  # trying again soon is of no use
        except SourceUnreachable as error:
            failures.append(error)
            if isinstance(error, _UnknownPartition) and time.monotonic() > unknown_until:
                raise
        await asyncio.sleep(backoff.next())


def _refusal(partition: SourcePartition, error_code: int) -> SourceUnreachable:
    """What a leader's answer means that is an error for one partition."""
    name = error_name(error_code)
    metadata = {"topic": partition.topic, "partition": partition.number}
    if error_code == _TOPIC_AUTHORIZATION_FAILED:
        return ConnectionUnusable(
            f"{partition}: the cluster does not let this connection's user look into the topic"
            f" ({name}); grant DESCRIBE and READ",
            reason="TOPIC_NOT_AUTHORIZED",
            metadata=metadata,
        )
    if error_code == _UNKNOWN_TOPIC_OR_PARTITION:
        return _UnknownPartition(f"{partition}: {name}", metadata=metadata)
    return SourceUnreachable(
        f"{partition}: its leader answers {name}", reason="SOURCE_ERROR", metadata=metadata
    )
