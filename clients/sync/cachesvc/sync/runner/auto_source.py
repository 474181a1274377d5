"""A source that goes around the service while that is away, and comes back.

Inside, a stream of the client is read. Once the service has been away for the time of the settings,
or says that it cannot give a range, the broker is read from where the stream had got to: outside.
From then on the service is asked now and then, and as soon as it answers, a new stream begins where
the broker had got to. Both changes happen between two batches, so nothing is left out and nothing
comes twice. Positions that are confirmed outside are kept in a file until the service has them.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from cachesvc.client import (
    Batch,
    Client,
    ClientError,
    DataLoss,
    Event,
    Mode,
    NotFound,
    Positions,
    Start,
    Started,
    SubscriptionDeleted,
    SubscriptionTakenOver,
    Unavailable,
)
from cachesvc.sync.config import TaskConfig
from cachesvc.sync.runner.cache_source import (
    CacheSession,
    configured_start,
    open_stream,
    stored,
    stream_settings,
)
from cachesvc.sync.runner.kept_positions import KeptPositions
from cachesvc.sync.runner.source import Broker

_log = logging.getLogger("cachesvc.sync")

_SILENCE_S_MIN = 10.0
_SILENCE_S_MAX = 60.0
_ASK_EVERY_S_MIN = 1.0
_ASK_EVERY_S_MAX = 60.0
_TELL_EVERY_S = 300.0


class AutoSession:
    """Reads the cache, or the broker while the cache is away.

    Args:
        config: Of the task.
        client: Open.
        broker: Makes a reader of the broker.
        kept: Keeps positions while outside.
    """

    def __init__(
        self,
        config: TaskConfig,
        client: Client,
        broker: Callable[[], Broker],
        kept: KeptPositions,
    ) -> None:
        self._config = config
        self._client = client
        self._make_broker = broker
        self._kept = kept
        after_s = config.source.outside_after_s
        self._settings = replace(
            stream_settings(config.retry),
            give_up_after_s=after_s,
            silence_max_s=min(max(after_s, _SILENCE_S_MIN), _SILENCE_S_MAX),
        )
        self._inside: CacheSession | None = None
        self._inside_stack = AsyncExitStack()
        self._broker: Broker | None = None
        self._broker_stack = AsyncExitStack()
        self._asking: asyncio.Task[None] | None = None
        self._getting: asyncio.Task[Batch] | None = None
        self._started: Started | None = None
        self._position = Positions()
        self._confirmed = Positions()
        self._changing = asyncio.Lock()
        self._ask_every_s = _ASK_EVERY_S_MIN
        self._outside_since_s: float | None = None
        self._outside_before_s = 0.0

    @property
    def started(self) -> Started:
        """See ``Session``: how the first stream began; outside from the start, where that began."""
        assert self._started is not None, "opened first"
        return self._started

    @property
    def position(self) -> Positions:
        """See ``Session``."""
        return self._position if self._inside is None else self._inside.position

    @property
    def outside(self) -> bool:
        """See ``Session``."""
        return self._outside_since_s is not None

    @property
    def outside_s(self) -> float:
        """See ``Session``."""
        since_s = self._outside_since_s
        now = 0.0 if since_s is None else time.monotonic() - since_s
        return self._outside_before_s + now

    async def open(self, at: Positions | None) -> None:
        """Begins inside, or outside where the service is away and the position is known.

        Raises:
            ClientError: The service refuses; or it is away for too long, and nobody knows the
                position.
        """
        kept = await asyncio.to_thread(self._kept.read)
        began_s = time.monotonic()
        give_up_after_s = self._config.retry.give_up_after_s
        while True:
            try:
                await self._begin_inside(at, kept)
            except Unavailable as error:
                known = at or kept
                if known:
                    self._started = Started(0, known, Positions(), "")
                    self._position = self._confirmed = known
                    await self._leave(error)
                    return
                if give_up_after_s is not None and time.monotonic() > began_s + give_up_after_s:
                    raise
                _log.warning(
                    "task %s: the service is away (%s: %s), and no position is known to read the "
                    "broker from; waits",
                    self._config.name,
                    error.reason,
                    error,
                )
            else:
                return

    async def next(self) -> Event | None:
        """See ``Session``."""
        while True:
            if self._inside is not None:
                try:
                    return await self._inside.next()
                except (Unavailable, DataLoss) as error:
                    await self._leave(error)
            batch = await self._next_outside()
            if batch is not None:
                self._position = self._position.moved(batch.position)
                return batch

    async def commit(self, positions: Positions) -> None:
        """See ``Session``. Outside, in the file."""
        self._confirmed = self._confirmed.moved(*positions.values())
        inside = self._inside
        if inside is not None:
            try:
                await inside.commit(positions)
            except ClientError:
                if self._inside is inside:
                    raise
            else:
                return
        async with self._changing:
            if self._inside is None:
                await asyncio.to_thread(self._kept.write, self._confirmed)
                return
        await self._inside.commit(positions)

    async def close(self) -> None:
        """Lets go of both ways. Idempotent."""
        await self._stop_outside()
        await self._inside_stack.aclose()

    # Inside

    async def _begin_inside(self, at: Positions | None, kept: Positions) -> None:
        """The first stream; what an earlier run kept goes to the service."""
        start: Start | None = at or None
        if start is None:
            known = await stored(self._client, self._config.subscription, self._settings)
            of_service = () if known is None else (each.position for each in known.partitions)
            start = _furthest(kept, Positions(of_service)) if kept else None
            if known is None or not known.partitions:
                start = start or configured_start(self._config.source)
        stream = open_stream(self._client, self._config, start, self._settings)
        await self._inside_stack.enter_async_context(stream)
        self._inside = CacheSession(stream)
        self._started = stream.started
        self._position = self._confirmed = stream.started.positions
        await stream.commit(stream.started.positions)
        if kept:
            await asyncio.to_thread(self._kept.forget)

    async def _come_back(self) -> bool:
        """Begins a stream where the broker had got to; says whether the service let it."""
        full = Mode[self._config.source.mode] is Mode.FULL
        end = self.started.end or None if full else None
        stack = AsyncExitStack()
        stream = open_stream(self._client, self._config, self._position, self._settings, end)
        try:
            await stack.enter_async_context(stream)
            async with self._changing:
                # Whatever was confirmed until now is in the file, and goes with it.
                known = stream.started.positions
                await stream.commit(
                    Positions(each for key, each in self._confirmed.items() if key in known)
                )
                await self._stop_outside()
                self._inside_stack, self._inside = stack, CacheSession(stream)
                await asyncio.to_thread(self._kept.forget)
        except (Unavailable, DataLoss) as error:
            await stack.aclose()
            _log.info("task %s: not back yet (%s: %s)", self._config.name, error.reason, error)
            return False
        except BaseException:
            await stack.aclose()
            raise
        self._started = Started(
            stream.started.epoch,
            self.started.positions,
            self.started.end or stream.started.end,
            stream.started.connection,
        )
        before_s, self._outside_before_s = self._outside_before_s, self.outside_s
        self._outside_since_s = None
        _log.warning(
            "task %s: back at the cache after %.1f s around it",
            self._config.name,
            self._outside_before_s - before_s,
        )
        return True

    # Outside

    async def _leave(self, error: ClientError) -> None:
        """Goes on with the broker, from where the stream had got to.

        Raises:
            DataLoss: The broker lacks the range as well.
        """
        async with self._changing:
            if self._inside is not None:
                self._position = self._inside.position
                self._inside = None
            await self._inside_stack.aclose()
            self._inside_stack = AsyncExitStack()
            await asyncio.to_thread(self._kept.write, self._confirmed)
        self._outside_since_s = time.monotonic()
        refused = isinstance(error, DataLoss)
        self._ask_every_s = self._longer() if refused else _ASK_EVERY_S_MIN
        _log.warning(
            "task %s: the cache cannot be read (%s: %s); reads the broker itself from now on, "
            "which is the load that the cache exists to avoid",
            self._config.name,
            error.reason,
            error,
        )
        broker = self._make_broker()
        self._broker = await self._broker_stack.enter_async_context(broker)
        broker.read(self._position, self.started.end)
        self._getting = asyncio.create_task(broker.next())
        self._asking = asyncio.create_task(self._until_it_answers())

    async def _next_outside(self) -> Batch | None:
        """The next batch of the broker; None once back inside."""
        assert self._getting is not None
        assert self._asking is not None
        await asyncio.wait({self._getting, self._asking}, return_when=asyncio.FIRST_COMPLETED)
        if self._getting.done():
            batch = self._getting.result()
            assert self._broker is not None
            self._getting = asyncio.create_task(self._broker.next())
            return batch
        self._asking.result()
        if not await self._come_back():
            self._ask_every_s = self._longer()
            self._asking = asyncio.create_task(self._until_it_answers())
        return None

    async def _until_it_answers(self) -> None:
        """Returns once the service does.

        Raises:
            Superseded: The subscription belongs to somebody else by now, or to nobody.
        """
        name, epoch = self._config.subscription, self.started.epoch
        told_s = time.monotonic()
        while True:
            await asyncio.sleep(self._ask_every_s)
            if time.monotonic() > told_s + _TELL_EVERY_S:
                told_s = time.monotonic()
                _log.warning(
                    "task %s: has read the broker itself for %.0f s in all",
                    self._config.name,
                    self.outside_s,
                )
            try:
                found = await self._client.get_subscription(name)
            except Unavailable:
                continue
            except NotFound as error:
                raise SubscriptionDeleted(f"subscription {name!r} is no more") from error
            if epoch and found.epoch > epoch:
                raise SubscriptionTakenOver(f"a newer subscriber has taken subscription {name!r}")
            return

    def _longer(self) -> float:
        return min(2 * self._ask_every_s, _ASK_EVERY_S_MAX)

    async def _stop_outside(self) -> None:
        for task in (self._getting, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()
        self._getting = self._asking = None
        await self._broker_stack.aclose()
        self._broker_stack = AsyncExitStack()
        self._broker = None


def _furthest(some: Positions, others: Positions) -> Positions:
    """Of each partition the position that lies behind the other."""
    return Positions(
        (
            *some.values(),
            *(
                position
                for key, position in others.items()
                if key not in some or position.is_after(some[key])
            ),
        )
    )


class AutoSource:
    """See ``AutoSession``.

    Args:
        config: Of the task.
        client: Makes a client that is not open yet.
        broker: Makes a reader of the broker.
        kept: Keeps positions while outside.
    """

    def __init__(
        self,
        config: TaskConfig,
        client: Callable[[], Client],
        broker: Callable[[], Broker],
        kept: KeptPositions,
    ) -> None:
        self._config = config
        self._client = client
        self._broker = broker
        self._kept = kept

    @asynccontextmanager
    async def session(self, start: Positions | None) -> AsyncIterator[AutoSession]:
        """See ``Source``."""
        async with self._client() as client:
            session = AutoSession(self._config, client, self._broker, self._kept)
            try:
                await session.open(start)
                yield session
            finally:
                await session.close()
