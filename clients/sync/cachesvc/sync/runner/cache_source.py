"""The service as a task's source: the usual one."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

from cachesvc.client import (
    AtTimestamp,
    Bootstrap,
    Client,
    Earliest,
    Event,
    GapPolicy,
    Latest,
    Mode,
    NotFound,
    Position,
    Positions,
    Sharing,
    SnapshotStart,
    Start,
    Started,
    Stream,
    StreamSettings,
    Subscription,
    Tls,
    Unavailable,
)
from cachesvc.client.backoff import Backoff
from cachesvc.client.positions import PartitionKey
from cachesvc.sync.config import RetryConfig, SourceConfig, StartPosition, TaskConfig
from cachesvc.sync.task_file import secret, start_ms

_log = logging.getLogger("cachesvc.sync")


def client_of(source: SourceConfig, origin: str, task: str) -> Client:
    """The client of a task's service, which tells the task's name; reads secrets and certificates.

    Raises:
        InvalidTask: A secret is not there.
        OSError: A file of TLS cannot be read.
    """
    token = secret(source.token_env, source.token_file, origin, "source.token")
    tls = source.tls
    return Client(
        source.service,
        tls=None if tls is None else Tls(tls.ca_file, tls.cert_file, tls.key_file, tls.server_name),
        token=token,
        application=f"cachesvc-sync/{task}",
    )


def stream_settings(retry: RetryConfig) -> StreamSettings:
    """How a task's stream deals with trouble."""
    return StreamSettings(
        reconnect_delay_first_s=retry.delay_first_s,
        reconnect_delay_max_s=retry.delay_max_s,
        give_up_after_s=retry.give_up_after_s,
    )


class CacheSession:
    """A stream of the client as a session.

    Args:
        stream: It.
        client: Whose it is.
        subscription: Its name.
    """

    outside = False
    outside_s = 0.0

    def __init__(self, stream: Stream, client: Client, subscription: str) -> None:
        self._client = client
        self._subscription = subscription
        self._stream = stream
        self._events = stream.events()

    @property
    def started(self) -> Started:
        return self._stream.started

    @property
    def position(self) -> Positions:
        return self._stream.position

    async def next(self) -> Event | None:
        return await anext(self._events, None)

    async def source_ends(self) -> Mapping[PartitionKey, int]:
        found = await self._client.get_subscription(self._subscription)
        at = ((each.position, each.lag.records) for each in found.partitions)
        return {position.key: position.offset + lag for position, lag in at}

    async def commit(self, positions: Positions) -> None:
        await self._stream.commit(positions)


class CacheSource:
    """Subscribes at the service.

    Args:
        config: Of the task.
        client: Makes a client that is not open yet.
    """

    def __init__(self, config: TaskConfig, client: Callable[[], Client]) -> None:
        self._config = config
        self._client = client

    @asynccontextmanager
    async def session(self, start: Positions | None) -> AsyncIterator[CacheSession]:
        """See ``Source``."""
        settings = stream_settings(self._config.retry)
        async with self._client() as client:
            begin: Start | None = start or None
            if start and self._config.source.sharing == "shared":
                await go_back(client, self._config.subscription, start, settings)
                begin = None
            if begin is None and self._config.source.start is not None:
                begin = await self._first_start(client, settings)
            async with open_stream(client, self._config, begin, settings) as stream:
                # So that a second start finds where the first one was, whatever ends this one.
                await stream.commit(stream.started.positions)
                tell_snapshots(self._config.name, stream.started.snapshots)
                yield CacheSession(stream, client, self._config.subscription)

    async def _first_start(self, client: Client, settings: StreamSettings) -> Start | None:
        """The start of the settings, as long as the service has no position."""
        known = await stored(client, self._config.subscription, settings)
        # Of a shared one the service knows better which partitions have begun.
        shared = self._config.source.sharing == "shared"
        if known is not None and known.partitions and not shared:
            return None
        return configured_start(self._config.source)


async def go_back(
    client: Client, subscription: str, start: Positions, settings: StreamSettings
) -> None:
    """Has a shared subscription go on at positions that lie before its stored ones.

    Raises:
        ClientError: The service refuses it, or is away for too long.
    """
    known = await stored(client, subscription, settings)
    if known is None:
        return
    positions = Positions(each.position for each in known.partitions)
    back = [at for key, at in start.items() if key in positions and positions[key].is_after(at)]
    if back:  # else another task was faster
        await client.reset_subscription(subscription, start=positions.moved(*back))


def tell_snapshots(task: str, snapshots: Sequence[SnapshotStart]) -> None:
    """Says what a task begins with, as what its target has already is not emptied for it."""
    fresh = [each for each in snapshots if not each.resumed]
    if fresh:
        _log.warning(
            "task %s: begins %d partitions with snapshots, %d records in all; rows that the target "
            "has from before stay, also those whose keys were deleted since",
            task,
            len(fresh),
            sum(each.record_count for each in fresh),
        )


def open_stream(
    client: Client,
    config: TaskConfig,
    start: Start | None,
    settings: StreamSettings,
    end: Positions | None = None,
) -> Stream:
    """A stream on a task's subscription, not entered yet."""
    source = config.source
    # One that is told to begin at an end or a time of the log wants the log.
    begins_anew = start is None or isinstance(start, Positions)
    from_snapshot = source.bootstrap == "snapshot" and begins_anew
    return client.subscribe(
        config.subscription,
        mode=Mode[source.mode],
        topics=source.topics,
        topic_expression=source.topic_expression,
        connection=source.connection,
        start=start,
        end=end,
        filter=source.filter,
        bootstrap=Bootstrap.SNAPSHOT if from_snapshot else Bootstrap.NONE,
        gap_policy=GapPolicy.GO_ON if source.gaps == "go-on" else GapPolicy.STOP,
        sharing=Sharing[source.sharing.upper()],
        member=source.member,
        settings=settings,
    )


def configured_start(source: SourceConfig) -> Start | None:
    """What ``source.start`` means."""
    return start_at(source.start)


def start_at(start: str | int | Sequence[StartPosition] | None) -> Start | None:
    """What a start means that is written like ``source.start``."""
    match start:
        case None:
            return None
        case "earliest":
            return Earliest()
        case "latest":
            return Latest()
        case str() | int() as time:
            return AtTimestamp(start_ms(time))
        case positions:
            return [Position(each.topic, each.partition, each.offset) for each in positions]


async def stored(
    client: Client, subscription: str, settings: StreamSettings
) -> Subscription | None:
    """The durable side of a subscription; None if there is none. Waits as a stream does.

    Raises:
        ClientError: The service refuses to say, or is away for too long.
    """
    patience = Backoff(
        settings.reconnect_delay_first_s,
        settings.reconnect_delay_max_s,
        settings.give_up_after_s,
        Random(),
    )
    while True:
        try:
            return await client.get_subscription(subscription)
        except NotFound:
            return None
        except Unavailable:
            wait_s = patience.failed(time.monotonic())
            if wait_s is None:
                raise
            await asyncio.sleep(wait_s)
