"""One session of a task: reading, transforms, writing and storing positions side by side."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress

from cachesvc.client import (
    Batch,
    ClientError,
    Event,
    Gap,
    PartitionAdded,
    PartitionsAssigned,
    PartitionsRevoked,
    Positions,
    Progress,
    Started,
    Superseded,
)
from cachesvc.sync.config import TaskConfig
from cachesvc.sync.runner.cache_source import tell_snapshots
from cachesvc.sync.runner.confirming import Confirming
from cachesvc.sync.runner.delivering import Delivering
from cachesvc.sync.runner.pending import Pending
from cachesvc.sync.runner.pieces import Piece, passed
from cachesvc.sync.runner.preparing import Preparing
from cachesvc.sync.runner.progress import Meter
from cachesvc.sync.runner.source import Session

ENDS_EVERY_S = 15.0
"""How often it is asked where the source ends, while nobody says so."""
STORE_TIMEOUT_S = 5.0
"""How long the last positions may take to be stored, once a task has to end."""

_log = logging.getLogger("cachesvc.sync")


class Gate:
    """Whether a task may go on, and whether it has to end. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.stopping = asyncio.Event()

    @property
    def paused(self) -> bool:
        """Whether the next delivery has to wait."""
        return not self._open.is_set()

    def pause(self) -> None:
        """Lets nothing begin that has not begun yet. Idempotent."""
        if not self.stopping.is_set():
            self._open.clear()

    def resume(self) -> None:
        """Lets things go on. Idempotent."""
        self._open.set()

    def stop(self) -> None:
        """Ends things, for good. Idempotent."""
        self.stopping.set()
        self._open.set()

    async def passed(self) -> None:
        """Waits while paused."""
        await self._open.wait()


class Pipeline:
    """Carries what one session gives to the sink.

    Args:
        config: Of the task.
        session: Where changes come from.
        preparing: Applies the transforms.
        delivering: Writes.
        meter: Counts.
        gate: Pauses and stops.
    """

    def __init__(
        self,
        config: TaskConfig,
        session: Session,
        preparing: Preparing,
        delivering: Delivering,
        meter: Meter,
        gate: Gate,
    ) -> None:
        self._config = config
        self._session = session
        self._preparing = preparing
        self._delivering = delivering
        self._meter = meter
        self._gate = gate
        self._pending = Pending(config.batch)
        self._confirming = Confirming(session, config.retry, meter)
        self._idle = True
        self._complete = False
        self._failure: Exception | None = None
        self._waiting_since_s: float | None = None
        delivering.on_confirmed = self._confirming.confirm

    @property
    def silent_s(self) -> float:
        """Seconds for which the source was waited for in vain; 0 where it is not its turn."""
        since_s = self._waiting_since_s
        if since_s is None or self._session.outside:
            return 0.0
        return time.monotonic() - since_s

    @property
    def bytes_waiting(self) -> int:
        """Bytes that were read and wait for the sink."""
        return self._pending.bytes

    async def run(self) -> bool:
        """Runs until the session is complete or the task has to stop.

        Returns:
            Whether it is complete: everything is written, and its end is stored.

        Raises:
            SyncError, ClientError, TargetWentBack: What ended it.
        """
        self._meter.began(self._session.started.positions, self._session.started.end)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read())
                storing = tasks.create_task(self._confirming.run())
                writing = tasks.create_task(self._write())
                stopping = tasks.create_task(self._heed_stop(reading, writing))
                looking = tasks.create_task(self._look_at_ends())
                await asyncio.wait({writing})
                reading.cancel()
                await self._store_all()
                for task in (storing, stopping, looking):
                    task.cancel()
        except BaseExceptionGroup as group:
            raise next(_leaves(group)) from None
        if self._failure is not None:
            raise self._failure
        return self._finished

    @property
    def _finished(self) -> bool:
        """Whether all there is to read was read and written."""
        return self._complete and not self._gate.stopping.is_set() and self._failure is None

    def _fail(self, error: Exception, *, drop: bool) -> None:
        """Takes note of what ends this; what waits is still written unless it is to be dropped."""
        self._failure = self._failure or error
        self._pending.end(drop=drop)

    async def _read(self) -> None:
        try:
            while (event := await self._hear()) is not None:
                await self._take(event)
            if self._delivering.keeps_shared:
                await self._put_passed()
            self._complete = True
            self._pending.end()
        except Exception as error:
            self._fail(error, drop=isinstance(error, Superseded))

    async def _hear(self) -> Event | None:
        self._waiting_since_s = time.monotonic()
        try:
            return await self._session.next()
        finally:
            self._waiting_since_s = None

    async def _look_at_ends(self) -> None:
        """A stream that is never quiet, or is read more slowly than it comes, does not say them."""
        while True:
            await asyncio.sleep(ENDS_EVERY_S)
            if self._meter.ends_age_s >= ENDS_EVERY_S and not self._session.outside:
                with suppress(ClientError):
                    self._meter.saw_ends(await self._session.source_ends())

    async def _take(self, event: Event) -> None:
        match event:
            case Batch():
                await self._pending.put(await self._preparing.prepare(event))
            case Progress():
                self._meter.saw(event.partitions)
                await self._pass_holes()
            case Gap():
                self._tell_gap(event)
            case Started() if event.resumed:
                _log.info("task %s: connected again", self._config.name)
            case PartitionAdded():
                self._meter.reached(Positions((event.start,)))
            case PartitionsAssigned():
                tell_snapshots(self._config.name, event.snapshots)
                self._delivering.assigned(event.positions)
                self._meter.reached(event.positions)
            case PartitionsRevoked():
                await self._let_go(event.positions)

    async def _let_go(self, positions: Positions) -> None:
        """Stores what is another task's now, as soon as all that came of it is written.

        An empty piece of each partition follows what came before; the sink need not get it soon.
        """
        for position in positions.values():
            await self._pending.put(passed(position))
        self._meter.left(positions)

    async def _pass_holes(self) -> None:
        """Where nothing is on its way, only holes lie before the session's position."""
        if self._idle and self._pending.empty:
            self._meter.reached(self._session.position)
            if self._delivering.keeps_shared:
                await self._put_passed()
            else:
                self._confirming.confirm(self._session.position)

    async def _put_passed(self) -> None:
        """Has the target take note of holes as well: it is never behind what is stored."""
        for position in self._delivering.unwritten(self._session.position):
            await self._pending.put(passed(position))

    async def _write(self) -> None:
        try:
            while pieces := await self._next():
                await self._delivering.deliver(pieces)
                self._idle = True
        except Exception as error:
            self._fail(error, drop=True)

    async def _next(self) -> list[Piece]:
        await self._gate.passed()
        pieces = await self._pending.take()
        self._idle = not pieces
        if self._gate.paused:
            await self._gate.passed()
        return [] if self._gate.stopping.is_set() else pieces

    async def _store_all(self) -> None:
        """Waits until positions are stored; of what is complete, the end as well."""
        if self._finished:
            self._confirming.confirm(self._session.position)
            await self._settled_or_to_stop()
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._confirming.settled()
        except TimeoutError:
            _log.warning(
                "task %s: the last positions are not stored; what lies behind them comes again",
                self._config.name,
            )

    async def _settled_or_to_stop(self) -> None:
        waits = [
            asyncio.create_task(self._confirming.settled()),
            asyncio.create_task(self._gate.stopping.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    async def _heed_stop(
        self, reading: "asyncio.Task[None]", writing: "asyncio.Task[None]"
    ) -> None:
        await self._gate.stopping.wait()
        reading.cancel()
        self._pending.end(drop=True)
        await asyncio.wait({writing}, timeout=self._config.stop_timeout_s)
        if not writing.done():
            _log.warning(
                "task %s: the delivery in hand was given up after %s s",
                self._config.name,
                self._config.stop_timeout_s,
            )
            writing.cancel()

    def _tell_gap(self, gap: Gap) -> None:
        stops = self._config.source.gaps == "stop"
        _log.warning(
            "task %s: offsets %d to %d (exclusive) of %s/%d cannot be given any more: %s%s",
            self._config.name,
            gap.begin_offset,
            gap.end_offset,
            gap.topic,
            gap.partition,
            gap.cause.name,
            '; source.gaps = "go-on" goes on behind them' if stops else "",
        )


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors of a group, the first one first."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
