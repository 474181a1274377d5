"""Connections to the brokers of one cluster, and the questions that both ports ask."""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aiokafka import errors
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    RequestTimedOutError,
)
from aiokafka.protocol.api import Request
from aiokafka.protocol.offset import OffsetRequest

from cachesvc.errors import ConnectionUnusable, SourceChanged, SourceUnreachable
from cachesvc.mining.kafka.broker_connection import BrokerConnection
from cachesvc.mining.kafka.failures import (
    Attempt,
    connect_failure,
    none_of,
    request_failure,
    turned_away,
)
from cachesvc.mining.kafka.identity import Identity
from cachesvc.mining.kafka.leader_epochs import EpochEndsRequest
from cachesvc.mining.kafka.refusals import LeftAlone
from cachesvc.mining.kafka.security import PLAINTEXT, Security, open_broker
from cachesvc.mining.kafka.topic_metadata import Metadata, TopicMetadataRequest, parse_metadata
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.addresses import parse_address
from cachesvc.policy.cluster_identity import ForeignAddress

READ_UNCOMMITTED = 0
READ_COMMITTED = 1
LATEST_TIMESTAMP = -1
EARLIEST_TIMESTAMP = -2

_CLOSE_TIMEOUT_S = 2.0
# aiokafka does not know them.
_ERROR_NAMES = {74: "FencedLeaderEpoch", 75: "UnknownLeaderEpoch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """How to talk to one cluster.

    Attributes:
        bootstrap_servers: HOST:PORT each.
        security: What the listeners ask for.
        client_id: Under what name brokers log and meter this client.
        connect_timeout_s: For connecting, which includes the first exchange.
        request_timeout_s: How long a broker that was asked may be silent; over ``fetch_wait_s``.
        answer_timeout_s: For one call of a catalogue, retries included, throttling not.
        fetch_bytes_max: Fetched but not yet polled, over all partitions. A single record batch
            that is larger is fetched all the same. One fetch may ask for less (``FetchSize``).
        partition_bytes_max: In one fetch of one partition; likewise.
        fetch_wait_s: How long the broker may wait for records before it answers without any.
        metadata_interval_s: Between looks at leaders, topic ids and idle high watermarks.
    """

    bootstrap_servers: tuple[str, ...]
    security: Security = PLAINTEXT
    client_id: str = "cachesvc"
    connect_timeout_s: float = 5.0
    request_timeout_s: float = 15.0
    answer_timeout_s: float = 10.0
    fetch_bytes_max: int = 50 << 20
    partition_bytes_max: int = 8 << 20
    fetch_wait_s: float = 0.5
    metadata_interval_s: float = 5.0


class Channel(Enum):
    """Which connection to a broker: it answers one request at a time, and some take long."""

    CONTROL = "control"
    FETCH = "fetch"
    PRODUCE = "produce"


@dataclass(frozen=True, slots=True)
class _Link:
    """An open connection to a broker, and the cluster that the broker says it is of."""

    connection: BrokerConnection
    cluster_id: str


class RequestUnknown(SourceUnreachable):
    """The broker does not speak the request, and does not mind having been asked."""


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
        self.throttled_s = 0.0
        """For how long requests had to wait because brokers throttle, all together."""
        self._brokers: Mapping[int, tuple[str, int]] = {}
        self._brokers_of = ""
        self._bootstrap = [parse_address(server) for server in settings.bootstrap_servers]
        self._refusals = LeftAlone(1.0, 30.0)
        self._silences = LeftAlone(0.5, 2.0)
        self._proven: set[tuple[str, int]] = set()
        self._identity = Identity()
        self._links: dict[tuple[str, int, Channel], _Link] = {}
        self._connecting: defaultdict[tuple[str, int, Channel], asyncio.Lock] = defaultdict(
            asyncio.Lock
        )

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
                await self._connect(host, port, Channel.CONTROL)

        await asyncio.gather(*(one(host, port) for host, port in self._bootstrap))

    async def clusters(self) -> dict[str, str]:
        """What the cluster at each bootstrap address calls itself now, whichever is meant.

        Raises:
            SourceUnreachable: None of them answers; those that do not are left out else.
        """
        failures: list[SourceUnreachable] = []

        async def told(host: str, port: int) -> str | None:
            try:
                link = await self._open(host, port)
            except SourceUnreachable as error:
                failures.append(error)
                return None
            await _closed([link])
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
                response = await self._request(host, port, Channel.CONTROL, request)
                found = parse_metadata(response)
                self._check(host, port, found.cluster_id)
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
        connected = {
            (host, port)
            for (host, port, _), link in self._links.items()
            # The first address that answers decides which cluster is meant.
            if self.cluster_id and link.connection.connected()
        }
        return sorted(
            dict.fromkeys([*known, *self._bootstrap]),
            key=lambda at: (self._silences.last(*at) is not None, at not in connected),
        )

    def silence(self, node: int) -> SourceUnreachable | None:
        """How a node was silent when it was last asked; None if it was not."""
        at = self._brokers.get(node)
        return self._silences.last(*at) if at is not None else None

    def address(self, node: int) -> str:
        """A node for people: HOST:PORT, where that is known."""
        return "{}:{}".format(*self._brokers[node]) if node in self._brokers else f"node {node}"

    async def send(self, node: int, channel: Channel, request: Request[Any]) -> Any:
        """A broker's answer to one request."""
        if node not in self._brokers:
            raise SourceUnreachable(f"node {node} is not known")
        host, port = self._brokers[node]
        return await self._request(host, port, channel, request)

    async def tell(self, node: int, channel: Channel, request: Request[Any]) -> None:
        """Sends a request that has no answer."""
        if node not in self._brokers:
            raise SourceUnreachable(f"node {node} is not known")
        host, port = self._brokers[node]
        link = await self._connect(host, port, channel)
        try:
            await link.connection.tell(request, self.settings.request_timeout_s)
        except (KafkaError, OSError, TimeoutError) as error:
            link.connection.close()
            raise request_failure(host, port, error) from error

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
        links, self._links = self._links, {}
        await _closed(links.values())

    async def _request(self, host: str, port: int, channel: Channel, request: Request[Any]) -> Any:
        link = await self._connect(host, port, channel)
        try:
            answer = await self._exchange(host, port, link.connection, request)
        except SourceUnreachable as error:
            # How long a fetch takes says nothing of the broker.
            silent = isinstance(error.__cause__, TimeoutError | RequestTimedOutError)
            if silent and channel is Channel.CONTROL:
                self._silences.note(host, port, error)
            raise
        # Another cluster may be meant by now.
        self._check(host, port, link.cluster_id)
        return answer

    def _check(self, host: str, port: int, told: str) -> None:
        """Hangs up on a broker of another cluster than the one that is meant.

        Raises:
            SourceChanged: It is.
        """
        try:
            self._identity.check(host, port, told)
        except SourceChanged:
            for channel in Channel:
                link = self._links.pop((host, port, channel), None)
                if link is not None:
                    link.connection.close()
            raise

    async def _exchange(
        self, host: str, port: int, connection: BrokerConnection, request: Request[Any]
    ) -> Any:
        try:
            self.throttled_s += connection.muted_s
            answer = await connection.ask(request, self.settings.request_timeout_s)
        except (IncompatibleBrokerVersion, NotImplementedError) as error:
            raise RequestUnknown(f"{host}:{port}: {error}") from error
        except (KafkaError, OSError, TimeoutError) as error:
            connection.close()
            proven = (host, port) in self._proven or self.settings.security.mechanism is not None
            if isinstance(error, KafkaConnectionError) and not proven:
                raise turned_away(host, port) from error
            raise request_failure(host, port, error) from error
        self._proven.add((host, port))
        return answer

    async def _connect(self, host: str, port: int, channel: Channel) -> _Link:
        """A connection to a broker of the cluster that is meant."""
        key = (host, port, channel)
        async with self._connecting[key]:
            link = self._links.get(key)
            if link is None or not link.connection.connected():
                try:
                    link = await self._open(host, port)
                except SourceUnreachable:
                    self._identity.forget(host, port)
                    raise
            self._links[key] = link
            self._check(host, port, link.cluster_id)
            return link

    async def _open(self, host: str, port: int) -> _Link:
        """A new connection, of whichever cluster."""
        settings = self.settings
        self._refusals.check(host, port)
        self._silences.check(host, port)
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                connection = await open_broker(
                    host,
                    port,
                    settings.security,
                    client_id=settings.client_id,
                    request_timeout_s=settings.request_timeout_s,
                )
                try:
                    # An answer about no topic tells of the cluster alone.
                    answer = await self._exchange(host, port, connection, TopicMetadataRequest(()))
                except BaseException:
                    connection.close()
                    raise
        except TimeoutError as error:
            failure = connect_failure(Attempt(host, port), error)
            self._silences.note(host, port, failure)
            raise failure from error
        except ConnectionUnusable as error:
            self._refusals.note(host, port, error)
            raise
        self._refusals.forget(host, port)
        self._silences.forget(host, port)
        return _Link(connection, parse_metadata(answer).cluster_id)


async def _closed(links: Iterable[_Link]) -> None:
    """Closes connections, and waits until they are: TLS takes its leave."""
    closing = [future for each in links if (future := each.connection.close()) is not None]
    if closing:
        await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)


def error_name(error_code: int) -> str:
    """What Kafka calls an error."""
    return _ERROR_NAMES.get(error_code) or str(errors.for_code(error_code).__name__)
