"""The brokers of one cluster, and the questions that both ports ask of them."""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import errors
from aiokafka.protocol.api import Request
from aiokafka.protocol.offset import OffsetRequest

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.failures import (
    Attempt,
    none_of,
)
from cachesvc.mining.kafka.identity import Identity
from cachesvc.mining.kafka.leader_epochs import EpochEndsRequest
from cachesvc.mining.kafka.links import Channel, Links, closed
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.mining.kafka.topic_metadata import Metadata, TopicMetadataRequest, parse_metadata
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.addresses import parse_address
from cachesvc.policy.cluster_identity import ForeignAddress

READ_UNCOMMITTED = 0
READ_COMMITTED = 1
LATEST_TIMESTAMP = -1
EARLIEST_TIMESTAMP = -2

# aiokafka does not know them.
_ERROR_NAMES = {74: "FencedLeaderEpoch", 75: "UnknownLeaderEpoch"}


class Cluster:
    """Sends requests to brokers; connects on demand. Belongs to one event loop.

    Every method raises ``SourceUnreachable`` within the timeouts of its settings, and closes the
    connection that failed, so that the next call begins with a new one. A broker that refuses this
    client (``ConnectionUnusable``) is not asked again at once, nor is one that did not answer in
    time; one that throttles, when it wants.

    Every connection begins with the question which cluster the broker is of, whatever it is for,
    and nothing that a broker of another one says is used (``SourceChanged``): addresses that it
    tells do not get among those of the cluster.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self._brokers: Mapping[int, tuple[str, int]] = {}
        self._brokers_of = ""
        self._bootstrap = [parse_address(server) for server in settings.bootstrap_servers]
        self._identity = Identity()
        self._links = Links(settings, self._identity)

    @property
    def throttled_s(self) -> float:
        """For how long requests had to wait because brokers throttle, all together."""
        return self._links.throttled_s

    @property
    def cluster_id(self) -> str:
        """The id of the cluster that is meant; empty while any will do."""
        return self._identity.cluster_id

    @property
    def foreign(self) -> tuple[ForeignAddress, ...]:
        """Addresses that led to another cluster when they were last tried."""
        return self._identity.foreign({*self._bootstrap, *self._brokers.values()})

    def expect(self, cluster_id: str) -> None:
        """Believes brokers of this cluster alone from now on; of any with an empty id."""
        self._identity.expect(cluster_id)
        if self._brokers_of != cluster_id:
            self._brokers = {}

    def rule_out(self, cluster_id: str) -> None:
        """Believes brokers of any cluster from now on but of this one."""
        self._identity.rule_out(cluster_id)
        self._brokers = {}

    async def try_bootstrap(self) -> None:
        """Tries every bootstrap address; ``foreign`` has those that lead elsewhere."""

        async def one(host: str, port: int) -> None:
            with contextlib.suppress(SourceUnreachable):
                await self._links.connect(host, port, Channel.CONTROL)

        await asyncio.gather(*(one(host, port) for host, port in self._bootstrap))

    async def clusters(self) -> dict[str, str]:
        """What the cluster at each bootstrap address calls itself now, whichever is meant.

        Raises:
            SourceUnreachable: None of them answers; those that do not are left out else.
        """
        failures: list[SourceUnreachable] = []

        async def told(host: str, port: int) -> str | None:
            try:
                link = await self._links.open(host, port)
            except SourceUnreachable as error:
                failures.append(error)
                return None
            await closed([link])
            return link.cluster_id

        found = await asyncio.gather(*(told(host, port) for host, port in self._bootstrap))
        if len(failures) == len(found):
            raise none_of(failures)
        named = [Attempt(host, port).address for host, port in self._bootstrap]
        return {at: each for at, each in zip(named, found, strict=True) if each is not None}

    async def metadata(self, topics: Collection[str] | None) -> Metadata:
        """What any broker says of some topics, or of all; asks one after the other.

        Those that are connected come first, and those that were silent last.
        """
        failures: list[SourceUnreachable] = []
        for host, port in self._by_readiness():
            try:
                request = TopicMetadataRequest(topics)
                response = await self._links.request(host, port, Channel.CONTROL, request)
                found = parse_metadata(response)
                self._links.check(host, port, found.cluster_id)
            except SourceUnreachable as error:
                failures.append(error)
                continue
            self._brokers = found.brokers or self._brokers
            self._brokers_of = found.cluster_id
            return found
        raise none_of(failures)

    def _by_readiness(self) -> list[tuple[str, int]]:
        known = list(self._brokers.values())
        random.shuffle(known)
        # The first address that answers decides which cluster is meant.
        connected = self._links.connected() if self.cluster_id else set()
        return sorted(
            dict.fromkeys([*known, *self._bootstrap]),
            key=lambda at: (self._links.silence(*at) is not None, at not in connected),
        )

    def silence(self, node: int) -> SourceUnreachable | None:
        """How a node was silent when it was last asked; None if it was not."""
        at = self._brokers.get(node)
        return self._links.silence(*at) if at is not None else None

    def address(self, node: int) -> str:
        """A node for people: HOST:PORT, where that is known."""
        return "{}:{}".format(*self._brokers[node]) if node in self._brokers else f"node {node}"

    async def send(self, node: int, channel: Channel, request: Request[Any]) -> Any:
        """A broker's answer to one request."""
        if node not in self._brokers:
            raise SourceUnreachable(f"node {node} is not known")
        host, port = self._brokers[node]
        return await self._links.request(host, port, channel, request)

    async def tell(self, node: int, channel: Channel, request: Request[Any]) -> None:
        """Sends a request that has no answer."""
        if node not in self._brokers:
            raise SourceUnreachable(f"node {node} is not known")
        host, port = self._brokers[node]
        await self._links.tell(host, port, channel, request)

    async def offsets(
        self,
        node: int,
        timestamps: Mapping[SourcePartition, int],
        isolation: int = READ_COMMITTED,
    ) -> dict[SourcePartition, tuple[int, int]]:
        """Error code and offset per partition, asked of the node that leads them all.

        Args:
            node: The leader.
            timestamps: What to look for: milliseconds, or one of the ``_TIMESTAMP`` constants.
            isolation: With READ_COMMITTED the latest offset is the last stable one.
        """
        by_topic: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for (topic, number), timestamp in timestamps.items():
            by_topic[topic].append((number, timestamp))
        request = OffsetRequest(-1, isolation, list(by_topic.items()))
        response = await self.send(node, Channel.CONTROL, request)
        return {
            # Behind the timestamp; newer versions add the leader's epoch.
            SourcePartition(topic, number): (error_code, found[1])
            for topic, partitions in response.topics
            for number, error_code, *found in partitions
        }

    async def epoch_ends(
        self, node: int, asked: Mapping[SourcePartition, tuple[int, int]]
    ) -> dict[SourcePartition, tuple[int, int, int]]:
        """Error code, epoch and its end per partition, asked of the node that leads them all.

        The epoch is the newest one in the leader's log that is not after the one asked about, -1 if
        there is none.

        Args:
            node: The leader.
            asked: Its own epoch, and the one that is asked about.

        Raises:
            RequestUnknown: The broker does not tell.
        """
        response = await self.send(node, Channel.CONTROL, EpochEndsRequest(asked))
        return {
            SourcePartition(topic, number): (error_code, epoch, end_offset)
            for topic, partitions in response.topics
            for error_code, number, epoch, end_offset in partitions
        }

    async def close(self) -> None:
        """Closes all connections. Idempotent."""
        await self._links.close()


def error_name(error_code: int) -> str:
    """What Kafka calls an error."""
    return _ERROR_NAMES.get(error_code) or str(errors.for_code(error_code).__name__)
