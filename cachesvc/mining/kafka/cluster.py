"""Connections to the brokers of one cluster, and the questions that both ports ask."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError, KafkaError
from aiokafka.protocol.api import Request
from aiokafka.protocol.offset import OffsetRequest

from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka.failures import Attempt, connect_failure
from cachesvc.mining.kafka.leader_epochs import EpochEndsRequest
from cachesvc.mining.kafka.refusals import Refusals
from cachesvc.mining.kafka.security import PLAINTEXT, Security, open_broker
from cachesvc.mining.kafka.topic_metadata import Metadata, TopicMetadataRequest, parse_metadata
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.addresses import parse_address

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
        request_timeout_s: For one request; more than ``fetch_wait_s``.
        answer_timeout_s: For one call of a catalogue, retries included.
        fetch_bytes_max: Fetched but not yet polled, over all partitions. A single record batch
            that is larger is fetched all the same.
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
    """Which connection to a broker: it answers one request at a time, and a fetch takes long."""

    CONTROL = "control"
    FETCH = "fetch"


class RequestUnknown(SourceUnreachable):
    """The broker does not speak the request, and does not mind having been asked."""


class Cluster:
    """Sends requests to brokers; connects on demand. Belongs to one event loop.

    Every method raises ``SourceUnreachable`` within the timeouts of its settings, and closes the
    connection that failed, so that the next call begins with a new one. A broker that refuses this
    client (``ConnectionUnusable``) is not asked again at once.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self._brokers: Mapping[int, tuple[str, int]] = {}
        self._bootstrap = [parse_address(server) for server in settings.bootstrap_servers]
        self._refusals = Refusals()
        self._proven: set[tuple[str, int]] = set()
        self._connections: dict[tuple[str, int, Channel], AIOKafkaConnection] = {}
        self._connecting: defaultdict[tuple[str, int, Channel], asyncio.Lock] = defaultdict(
            asyncio.Lock
        )

    async def metadata(
        self, topics: Collection[str] | None, *, with_rights: bool = False
    ) -> Metadata:
        """What any broker says of some topics, or of all; asks one after the other."""
        known = list(self._brokers.values())
        random.shuffle(known)
        failures: list[SourceUnreachable] = []
        for host, port in dict.fromkeys([*known, *self._bootstrap]):
            try:
                response = await self._request(
                    host,
                    port,
                    Channel.CONTROL,
                    TopicMetadataRequest(topics, with_rights=with_rights),
                )
            except SourceUnreachable as error:
                failures.append(error)
                continue
            found = parse_metadata(response)
            self._brokers = found.brokers or self._brokers
            return found
        raise _none_of(failures)

    async def send(self, node: int, channel: Channel, request: Request[Any]) -> Any:
        """A broker's answer to one request."""
        if node not in self._brokers:
            raise SourceUnreachable(f"node {node} is not known")
        host, port = self._brokers[node]
        return await self._request(host, port, channel, request)

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
        connections, self._connections = self._connections, {}
        closing = [future for c in connections.values() if (future := c.close()) is not None]
        if closing:
            await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)

    async def _request(self, host: str, port: int, channel: Channel, request: Request[Any]) -> Any:
        connection = await self._connect(host, port, channel)
        try:
            answer = await connection.send(request)
        except (IncompatibleBrokerVersion, NotImplementedError) as error:
            raise RequestUnknown(f"{host}:{port}: {error}") from error
        except (KafkaError, OSError, TimeoutError) as error:
            connection.close()
            proven = (host, port) in self._proven or self.settings.security.mechanism is not None
            if isinstance(error, KafkaConnectionError) and not proven:
                raise _turned_away(host, port) from error
            raise _unreachable(host, port, error) from error
        self._proven.add((host, port))
        return answer

    async def _connect(self, host: str, port: int, channel: Channel) -> AIOKafkaConnection:
        key = (host, port, channel)
        settings = self.settings
        async with self._connecting[key]:
            connection = self._connections.get(key)
            if connection is not None and connection.connected():
                return connection
            self._refusals.check(host, port)
            try:
                async with asyncio.timeout(settings.connect_timeout_s):
                    connection = await open_broker(
                        host,
                        port,
                        settings.security,
                        client_id=settings.client_id,
                        request_timeout_s=settings.request_timeout_s,
                    )
            except TimeoutError as error:
                raise connect_failure(Attempt(host, port), error) from error
            except ConnectionUnusable as error:
                self._refusals.note(host, port, error)
                raise
            self._refusals.forget(host, port)
            self._connections[key] = connection
            return connection


def error_name(error_code: int) -> str:
    """What Kafka calls an error."""
    return _ERROR_NAMES.get(error_code) or str(errors.for_code(error_code).__name__)


def _none_of(failures: Sequence[SourceUnreachable]) -> SourceUnreachable:
    """The error of several brokers; what somebody has to mend comes before what passes."""
    texts = "; ".join(dict.fromkeys(str(failure) for failure in failures))
    for failure in failures:
        if isinstance(failure, ConnectionUnusable):
            text = f"no broker can be used: {texts}"
            return ConnectionUnusable(text, reason=failure.reason, metadata=failure.metadata)
    reasons = {failure.reason for failure in failures} - {SourceUnreachable.default_reason}
    return SourceUnreachable(f"no broker answers: {texts}", reason=min(reasons, default=None))


def _turned_away(host: str, port: int) -> SourceUnreachable:
    """A broker that wants authentication closes the connection at the first real request."""
    return SourceUnreachable(
        f"{host}:{port}: the broker closed the connection at the first request; does it ask for "
        "authentication on this port? If so, add a sasl or kerberos table",
        reason="AUTHENTICATION_REQUIRED",
        metadata={"host": host, "port": port},
    )


def _unreachable(host: str, port: int, error: Exception) -> SourceUnreachable:
    return SourceUnreachable(
        f"{host}:{port}: {str(error) or type(error).__name__}",
        metadata={"host": host, "port": port},
    )
