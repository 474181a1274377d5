"""Connections to brokers by address, and what is known of each: refusals, silences, its cluster.

Every connection begins with the question which cluster the broker is of, whatever it is for, and
nothing that a broker of another one says is used.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    RequestTimedOutError,
)
from aiokafka.protocol.api import Request

from cachesvc.errors import ConnectionUnusable, SourceChanged, SourceUnreachable
from cachesvc.mining.kafka.broker_connection import BrokerConnection
from cachesvc.mining.kafka.failures import Attempt, connect_failure, request_failure, turned_away
from cachesvc.mining.kafka.identity import Identity
from cachesvc.mining.kafka.refusals import LeftAlone
from cachesvc.mining.kafka.security import open_broker
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.mining.kafka.topic_metadata import TopicMetadataRequest, parse_metadata

_CLOSE_TIMEOUT_S = 2.0


class Channel(Enum):
    """Which connection to a broker: it answers one request at a time, and some take long."""

    CONTROL = "control"
    FETCH = "fetch"
    PRODUCE = "produce"


@dataclass(frozen=True, slots=True)
class Link:
    """An open connection to a broker, and the cluster that the broker says it is of."""

    connection: BrokerConnection
    cluster_id: str


class RequestUnknown(SourceUnreachable):
    """The broker does not speak the request, and does not mind having been asked."""


class Links:
    """Connections to the brokers of one cluster; connects on demand. Belongs to one event loop.

    What goes wrong closes the connection that failed, so that the next call begins with a new one.

    Args:
        settings: How to connect.
        identity: Which cluster is meant.
    """

    def __init__(self, settings: KafkaSettings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self.throttled_s = 0.0
        """For how long requests had to wait because brokers throttle, all together."""
        self._refusals = LeftAlone(1.0, 30.0)
        self._silences = LeftAlone(0.5, 2.0)
        self._proven: set[tuple[str, int]] = set()
        self._links: dict[tuple[str, int, Channel], Link] = {}
        self._connecting: defaultdict[tuple[str, int, Channel], asyncio.Lock] = defaultdict(
            asyncio.Lock
        )

    def connected(self) -> set[tuple[str, int]]:
        """Addresses to which there is an open connection."""
        return {
            (host, port)
            for (host, port, _), link in self._links.items()
            if link.connection.connected()
        }

    def silence(self, host: str, port: int) -> SourceUnreachable | None:
        """How a broker was silent when it was last asked; None if it was not."""
        return self._silences.last(host, port)

    async def request(self, host: str, port: int, channel: Channel, request: Request[Any]) -> Any:
        """A broker's answer to one request."""
        link = await self.connect(host, port, channel)
        try:
            answer = await self._exchange(host, port, link.connection, request)
        except SourceUnreachable as error:
            # How long a fetch takes says nothing of the broker.
            silent = isinstance(error.__cause__, TimeoutError | RequestTimedOutError)
            if silent and channel is Channel.CONTROL:
                self._silences.note(host, port, error)
            raise
        # Another cluster may be meant by now.
        self.check(host, port, link.cluster_id)
        return answer

    def check(self, host: str, port: int, told: str) -> None:
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
            answer = await connection.ask(request, self._settings.request_timeout_s)
        except (IncompatibleBrokerVersion, NotImplementedError) as error:
            raise RequestUnknown(f"{host}:{port}: {error}") from error
        except (KafkaError, OSError, TimeoutError) as error:
            connection.close()
            proven = (host, port) in self._proven or self._settings.security.mechanism is not None
            if isinstance(error, KafkaConnectionError) and not proven:
                raise turned_away(host, port) from error
            raise request_failure(host, port, error) from error
        self._proven.add((host, port))
        return answer

    async def connect(self, host: str, port: int, channel: Channel) -> Link:
        """A connection to a broker of the cluster that is meant."""
        key = (host, port, channel)
        async with self._connecting[key]:
            link = self._links.get(key)
            if link is None or not link.connection.connected():
                try:
                    link = await self.open(host, port)
                except SourceUnreachable:
                    self._identity.forget(host, port)
                    raise
            self._links[key] = link
            self.check(host, port, link.cluster_id)
            return link

    async def open(self, host: str, port: int) -> Link:
        """A new connection, of whichever cluster."""
        settings = self._settings
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
        return Link(connection, parse_metadata(answer).cluster_id)

    async def tell(self, host: str, port: int, channel: Channel, request: Request[Any]) -> None:
        """Sends a request that has no answer."""
        link = await self.connect(host, port, channel)
        try:
            await link.connection.tell(request, self._settings.request_timeout_s)
        except (KafkaError, OSError, TimeoutError) as error:
            link.connection.close()
            raise request_failure(host, port, error) from error

    async def close(self) -> None:
        """Closes all connections. Idempotent."""
        links, self._links = self._links, {}
        await closed(links.values())


async def closed(links: Iterable[Link]) -> None:
    """Closes connections, and waits until they are: TLS takes its leave."""
    closing = [future for each in links if (future := each.connection.close()) is not None]
    if closing:
        await asyncio.wait(closing, timeout=_CLOSE_TIMEOUT_S)
