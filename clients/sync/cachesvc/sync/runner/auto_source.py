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
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import msgspec

from cachesvc.client import (
    Client,
    ClientError,
    DataLoss,
    Event,
    Mode,
    Positions,
    Start,
    Started,
    SubscriptionReset,
    Unavailable,
)
from cachesvc.client.positions import PartitionKey
from cachesvc.sync.config import TaskConfig
from cachesvc.sync.errors import TargetUnavailable
from cachesvc.sync.runner.cache_source import (
    CacheSession,
    configured_start,
    open_stream,
    stored,
    stream_settings,
)
from cachesvc.sync.runner.kept_positions import KeptPositions
from cachesvc.sync.runner.outside import Outside
from cachesvc.sync.runner.source import Broker
from cachesvc.sync.runner.told import Told

_log = logging.getLogger("cachesvc.sync")

_SILENCE_S_MIN = 10.0
_SILENCE_S_MAX = 60.0
# Meanwhile the broker is not read.
_COME_BACK_S_MAX = 5.0


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
        self._kept = kept
        after_s = config.source.outside_after_s
        self._settings = replace(
            stream_settings(config.retry),
            give_up_after_s=after_s,
            silence_max_s=min(max(after_s, _SILENCE_S_MIN), _SILENCE_S_MAX),
        )
        self._inside: CacheSession | None = None
        self._inside_stack = AsyncExitStack()
        self._outside = Outside(config.name, config.subscription, client, broker, after_s)
        self._started: Started | None = None
        self._position = Positions()
        self._confirmed = Positions()
        self._committing: asyncio.Future[None] | None = None
        self._changing = asyncio.Lock()
        self._told = Told()

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
        return self._outside.used

    @property
    def outside_s(self) -> float:
        """See ``Session``."""
        return self._outside.seconds

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
                if self._inside is None and known:
                    self._started = Started(0, known, Positions(), "")
                    self._position = self._confirmed = known
                if self._started is not None:
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
            batch = await self._outside.next()
            if batch is not None:
                self._position = self._position.moved(batch.position)
                return batch
            await self._come_back()

    async def source_ends(self) -> Mapping[PartitionKey, int]:
        """See ``Session``. The service is asked, which may be away."""
        return {} if self._inside is None else await self._inside.source_ends()

    async def commit(self, positions: Positions) -> None:
        """See ``Session``. Outside, in the file."""
        self._confirmed = self._confirmed.moved(*positions.values())
        while True:
            if self._inside is not None and await self._commit_inside(self._inside, positions):
                return
            async with self._changing:
                if self._inside is None:
                    await asyncio.to_thread(self._kept.write, self._confirmed)
                    return

    async def _commit_inside(self, inside: CacheSession, positions: Positions) -> bool:
        """Whether the service has them; not where the stream was left meanwhile."""
        self._told.maybe(positions)
        committing = self._committing = asyncio.ensure_future(inside.commit(positions))
        try:
            await asyncio.wait({committing})
        finally:
            committing.cancel()
        if self._inside is inside:
            committing.result()
        done = not committing.cancelled() and committing.exception() is None
        if done:
            self._told.surely(positions)
        return done

    async def close(self) -> None:
        """Lets go of both ways. Idempotent."""
        await self._outside.end()
        await self._inside_stack.aclose()

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
        self._inside = CacheSession(stream, self._client, self._config.subscription)
        self._started = stream.started
        self._position = self._confirmed = stream.started.positions
        await stream.commit(stream.started.positions)
        self._told.surely(stream.started.positions)
        if kept:
            await asyncio.to_thread(self._kept.forget)

    async def _leave(self, error: ClientError) -> None:
        """Goes on with the broker, from where the stream had got to."""
        epoch = 0 if self._inside is None else self._inside.started.epoch
        async with self._changing:
            if self._inside is not None:
                self._position = self._inside.position
                self._inside = None
            if self._committing is not None:
                self._committing.cancel()  # it would wait for the service
            await self._inside_stack.aclose()
            await self._keep_what_is_confirmed()
        _log.warning(
            "task %s: the cache cannot be read (%s: %s); reads the broker itself from now on, "
            "which is the load that the cache exists to avoid",
            self._config.name,
            error.reason,
            error,
        )
        # What was refused now is likely to be refused again.
        patient = isinstance(error, DataLoss)
        await self._outside.begin(self._position, self.started.end, epoch, patient=patient)

    async def _keep_what_is_confirmed(self) -> None:
        try:
            await asyncio.to_thread(self._kept.write, self._confirmed)
        except TargetUnavailable as error:
            # The next commit tries again, for as long as it takes.
            _log.warning("task %s: %s", self._config.name, error)

    async def _obey_reset(self) -> None:
        """Ends the session where somebody moved the stored positions while the task was outside.

        Raises:
            SubscriptionReset: They were; what was kept meanwhile does not count any more.
        """
        found = self._outside.found
        if found is None:
            return
        has = Positions(each.position for each in found.partitions)
        strange = self._told.strange(has)
        if not strange:
            self._told.surely(has)
            return
        async with self._changing:
            await asyncio.to_thread(self._kept.forget)
        first = min(strange.values())
        text = f"the positions of subscription {found.name!r} were reset while the task was around "
        text += f"the cache: {first.topic}/{first.partition} is at offset {first.offset}"
        _log.warning("task %s: %s", self._config.name, text)
        raise SubscriptionReset(text)

    async def _come_back(self) -> None:
        """Goes on with a stream from where the broker had got to, if the service lets it."""
        await self._obey_reset()
        self._told.maybe(self._position)
        self._told.maybe(self._confirmed)
        full = Mode[self._config.source.mode] is Mode.FULL
        end = self.started.end or None if full else None
        stream = open_stream(self._client, self._config, self._position, self._settings, end)
        try:
            async with asyncio.timeout(_COME_BACK_S_MAX):
                await self._inside_stack.enter_async_context(stream)
            async with self._changing:
                # Whatever was confirmed until now is in the file, and goes with it.
                known = stream.started.positions
                ours = Positions(each for key, each in self._confirmed.items() if key in known)
                await stream.commit(ours)
                self._told.surely(ours)
                await self._outside.end()
                self._inside = CacheSession(stream, self._client, self._config.subscription)
                await asyncio.to_thread(self._kept.forget)
        except (Unavailable, DataLoss, TimeoutError) as error:
            await self._inside_stack.aclose()
            _log.info("task %s: not back at the cache yet: %s", self._config.name, error)
            self._outside.stay()
            return
        if not self.started.end:
            self._started = msgspec.structs.replace(self.started, end=stream.started.end)
        _log.warning(
            "task %s: back at the cache; was around it for %.1f s in all",
            self._config.name,
            self.outside_s,
        )


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
