"""Questions of the service to a Kafka cluster."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from cachesvc.backoff import Backoff
from cachesvc.clusters.lookup import UNTIMED, Answers, SourceTopic, TopicPartition
from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka.cluster import EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, Cluster, error_name
from cachesvc.mining.kafka.leaders import Leaders
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.mining.kafka.topic_metadata import Metadata
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.cluster_identity import ForeignAddress

_T = TypeVar("_T")
_UNKNOWN_OFFSET = -1
_UNKNOWN_TOPIC_OR_PARTITION = 3
_TOPIC_AUTHORIZATION_FAILED = 29
_UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
# How long a topic that was just made may take to show, and a new leader to be known.
_SETTLE_S = 1.0


class _Unsettled(SourceUnreachable):
    """The cluster answers, and knows no such partition, or no leader of it."""


class KafkaCatalogue:
    """A ``SourceCatalogue``. Belongs to one event loop; calls may overlap.

    A call tries again by itself while all brokers are away, for ``settings.answer_timeout_s`` at
    most, and for as long as they say that they throttle; one that the brokers refuse ends at once.
    Leaders are asked side by side: one that is away is told for its partitions, and holds up the
    others' answers for a moment at most.

    Means the first cluster that answers, in the order of ``settings.bootstrap_servers``, and that
    one alone from then on, unless it is told otherwise.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._cluster = Cluster(settings)
        self._leaders = Leaders(self._cluster)
        self._timeout_s = settings.answer_timeout_s
        self._unsettled_s: dict[TopicPartition, float] = {}
        """Since when, on the monotonic clock."""

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

    async def earliest_offsets(self, partitions: Sequence[TopicPartition]) -> Answers[int]:
        """The lowest offset that each partition still has.

        Raises:
            SourceUnreachable: No broker answers in time.
        """
        return await self._offsets(partitions, EARLIEST_TIMESTAMP)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> Answers[int]:
        """The last stable offset of each partition.

        Raises:
            SourceUnreachable: No broker answers in time.
        """
        return await self._offsets(partitions, LATEST_TIMESTAMP)

    async def offsets_at(
        self, partitions: Sequence[TopicPartition], timestamp_ms: int
    ) -> Answers[int | None]:
        """The first offset whose timestamp is not before ``timestamp_ms``; None if there is none.

        ``UNTIMED`` where the leader answers that the partition's format has no timestamps.

        Raises:
            SourceUnreachable: No broker answers in time.
        """
        # Negative timestamps mean other things to Kafka; no record is older than 1970.
        answers = await self._offsets(partitions, max(timestamp_ms, 0))
        found = {
            partition: None if offset == _UNKNOWN_OFFSET else offset
            for partition, offset in answers.found.items()
        }
        return Answers(found, answers.failed)

    async def close(self) -> None:
        """Ends the connections. Idempotent."""
        await self._leaders.close()
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

    async def _offsets(self, partitions: Sequence[TopicPartition], timestamp: int) -> Answers[int]:
        """What the leaders say, after a moment for those that are only changing.

        Raises:
            SourceUnreachable: No broker answers in time.
        """
        backoff = Backoff(0.05, 0.5)
        found: dict[TopicPartition, int] = {}
        rest = list(partitions)
        while True:
            answers = await self._try(partial(self._ask_leaders, rest, timestamp))
            found.update(answers.found)
            rest = list(answers.failed)
            if not self._about_to_settle(answers):
                return Answers(found, answers.failed)
            await asyncio.sleep(backoff.next())

    def _about_to_settle(self, answers: Answers[int]) -> bool:
        """Whether it pays to ask again at once for what has failed: it did not fail for long."""
        now_s = time.monotonic()
        for partition in answers.found:
            self._unsettled_s.pop(partition, None)
        passing = [each for each, error in answers.failed.items() if isinstance(error, _Unsettled)]
        since_s = [self._unsettled_s.setdefault(each, now_s) for each in passing]
        return any(now_s - each < _SETTLE_S for each in since_s)

    async def _ask_leaders(
        self, partitions: Sequence[TopicPartition], timestamp: int
    ) -> Answers[int]:
        if not partitions:
            return Answers({})
        metadata = await self._metadata({topic for topic, _ in partitions})
        by_leader: defaultdict[int, dict[SourcePartition, int]] = defaultdict(dict)
        failed: dict[TopicPartition, SourceUnreachable] = {}
        for topic, number in partitions:
            partition, known = SourcePartition(topic, number), metadata.topics.get(topic)
            if known is None or number not in known.leaders:
                failed[partition] = _Unsettled(f"{partition} does not exist")
            elif known.leaders[number] < 0:
                failed[partition] = _Unsettled(f"{partition} has no leader at the moment")
            else:
                by_leader[known.leaders[number]][partition] = timestamp
        found: dict[TopicPartition, int] = {}
        answers = await self._leaders.ask(
            {node: partial(self._cluster.offsets, node, asked) for node, asked in by_leader.items()}
        )
        for node, answer in answers.items():
            if isinstance(answer, SourceUnreachable):
                failed.update(dict.fromkeys(by_leader[node], answer))
                continue
            for partition in by_leader[node]:
                error_code, offset = answer[partition]
                if error_code == _UNSUPPORTED_FOR_MESSAGE_FORMAT:
                    found[partition] = UNTIMED
                elif error_code:
                    failed[partition] = _refusal(partition, error_code)
                else:
                    found[partition] = offset
        return Answers(found, failed)


async def _until_answered(
    ask: Callable[[], Awaitable[_T]], failures: deque[SourceUnreachable]
) -> _T:
    """Asks until that works, or is of no use; ``failures`` gets why it does not."""
    backoff = Backoff(0.05, 1.0)
    while True:
        try:
            return await ask()
        except ConnectionUnusable:
            raise  # trying again soon is of no use
        except SourceUnreachable as error:
            failures.append(error)
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
        return _Unsettled(f"{partition}: {name}", metadata=metadata)
    text = f"{partition}: its leader answers {name}"
    return _Unsettled(text, reason="SOURCE_ERROR", metadata=metadata)
