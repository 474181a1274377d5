"""Tasks: source subscription → transforms → sink, run in this process.

    async with Task(config, sink=MySink()) as task:
        await task.wait()

``config`` is a task file, or a mapping of its shape. Several tasks of one event loop run beside
each other, and one that fails leaves the others alone.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

import msgspec

from cachesvc.client import ClientError, Positions, SubscriptionReset
from cachesvc.sync import alarms
from cachesvc.sync.errors import InvalidTask, SyncError
from cachesvc.sync.parts import TaskLike, TaskParts, parts_of
from cachesvc.sync.runner.delivering import CLOSE_TIMEOUT_S, Delivering, TargetWentBack
from cachesvc.sync.runner.pipeline import STORE_TIMEOUT_S, Gate, Pipeline
from cachesvc.sync.runner.preparing import Preparing
from cachesvc.sync.runner.progress import Meter, TaskStatus, Trouble
from cachesvc.sync.runner.source import Session
from cachesvc.sync.sink import ONE_OWNER, Sink
from cachesvc.sync.transform import Transform

_SILENT_S = 30.0
_CANCEL_AGAIN_S = 0.5
_log = logging.getLogger("cachesvc.sync")


class Task:
    """A task. Belongs to one event loop; used in ``async with``, which starts and stops it.

    Args:
        task: Its settings, a mapping of the shape of a task file, or the path of one.
        sink: Instead of the one that the settings describe.
        transforms: Likewise.

    Raises:
        InvalidTask: The settings are wrong; the message names the setting by its path.
    """

    def __init__(
        self,
        task: TaskLike | TaskParts,
        *,
        sink: Sink | None = None,
        transforms: Iterable[Transform] | None = None,
    ) -> None:
        self._parts = task if isinstance(task, TaskParts) else parts_of(task, sink, transforms)
        self.config = self._parts.config
        self._meter = Meter()
        self._gate = Gate()
        self._pipeline: Pipeline | None = None
        self._session: Session | None = None
        self._entering_since_s: float | None = None
        self._running: asyncio.Task[bool] | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def start(self) -> None:
        """Begins; ``wait`` tells how it ends. Once only."""
        assert self._running is None, "a task is started once"
        self._running = asyncio.create_task(self._run_watched(), name=f"sync-{self.config.name}")

    async def wait(self) -> TaskStatus:
        """Waits until the task has ended: a full sync is complete, or it was stopped.

        Cancelled, it does not end the task.

        Raises:
            SyncError, ClientError: It has failed; the position is behind the last delivery that
                the sink confirmed.
        """
        assert self._running is not None, "a task is started first"
        await asyncio.wait({self._running})
        self._running.result()
        return self.status()

    async def stop(self) -> None:
        """Ends the task within its ``stop_timeout_s``, and a little to let go. Idempotent.

        The delivery in hand is finished, or given up after that time and comes again.
        """
        self._gate.stop()
        if self._running is None:
            return
        allowed_s = self.config.stop_timeout_s + STORE_TIMEOUT_S + CLOSE_TIMEOUT_S
        allowed_s += 0.0 if self._parts.webhook is None else alarms.CLOSE_TIMEOUT_S
        await asyncio.wait({self._running}, timeout=allowed_s)
        await _cancelled(self._running)
        if not self._running.cancelled():
            self._running.exception()  # whoever waits is told; nobody has to

    def ask_to_stop(self) -> None:
        """Has the task end; ``wait`` tells when it has. Idempotent."""
        self._gate.stop()

    def pause(self) -> None:
        """Lets no further delivery begin; the subscription and the sink stay open. Idempotent."""
        self._gate.pause()

    def resume(self) -> None:
        """Goes on after ``pause``. Idempotent."""
        self._gate.resume()

    def status(self) -> TaskStatus:
        """How far it is."""
        meter, config = self._meter, self.config
        return TaskStatus(
            name=config.name,
            state=self._state,
            mode=config.source.mode,
            subscription=config.subscription,
            started_ms=meter.started_ms,
            records=meter.records,
            changes=meter.changes,
            bytes=meter.bytes,
            deliveries=meter.deliveries,
            refused=meter.refused,
            retries=meter.retries,
            records_per_s=meter.records_per_s,
            bytes_waiting=0 if self._pipeline is None else self._pipeline.bytes_waiting,
            share=meter.share,
            left_s=meter.left_s,
            lag_records=meter.lag_records,
            confirmed_ms=meter.confirmed_ms,
            outside=self._session is not None and self._session.outside,
            outside_s=meter.outside_s + (0.0 if self._session is None else self._session.outside_s),
            trouble=self._trouble,
        )

    @property
    def _trouble(self) -> Trouble | None:
        """What is in the way; the service speaks every few seconds, so its silence is trouble."""
        running = self._running is not None and not self._running.done()
        silent_s = self._silent_s if running else 0.0
        if self._meter.trouble is not None or silent_s < _SILENT_S:
            return self._meter.trouble
        since_ms = self._meter.now_ms() - round(1000 * silent_s)
        what = f"nothing was heard of {self.config.source.service} for {silent_s:.0f} s"
        return Trouble("SERVICE_SILENT", what, since_ms)

    @property
    def _silent_s(self) -> float:
        if self._pipeline is not None:
            return self._pipeline.silent_s
        since_s = self._entering_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @property
    def _state(self) -> str:
        if self._running is not None and self._running.done():
            if self._running.cancelled() or self._running.exception() is not None:
                return "failed"
            return "done" if self._running.result() else "stopped"
        if self._gate.stopping.is_set():
            return "stopping"
        if self._gate.paused:
            return "paused"
        return "starting" if self._pipeline is None else "running"

    async def _run_watched(self) -> bool:
        """Runs to the end while somebody is told of alarms, where the settings say who."""
        webhook = self._parts.webhook
        if webhook is None:
            return await self._run()
        told = alarms.TaskAlarms(self.config.name, self.status, webhook)
        watching = asyncio.create_task(told.run())
        state = "failed"
        try:
            done = await self._run()
            state = "done" if done else "stopped"
            return done
        except asyncio.CancelledError:
            state = "stopped"
            raise
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            await told.end(msgspec.structs.replace(self.status(), state=state))

    async def _run(self) -> bool:
        """Runs to the end; says whether that is the end of a full sync."""
        parts = self._parts
        preparing = Preparing(self.config.name, parts.transforms)
        delivering = Delivering(
            self.config.name,
            parts.sink,
            parts.keeper,
            self.config.retry,
            self._meter,
            shared=self._shares,
        )
        try:
            return await self._until_stopped(preparing, delivering)
        except (SyncError, ClientError) as error:
            self._meter.trouble = Trouble(error.reason, str(error), self._meter.now_ms())
            raise
        except Exception as error:
            self._meter.trouble = Trouble("INTERNAL", repr(error), self._meter.now_ms())
            raise
        finally:
            preparing.close()
            await delivering.close()

    async def _until_stopped(self, preparing: Preparing, delivering: Delivering) -> bool:
        """Ends at once where nothing was begun yet; else the pipeline heeds the request to stop."""
        work = asyncio.create_task(self._sessions(preparing, delivering))
        stopping = asyncio.create_task(self._gate.stopping.wait())
        try:
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and self._pipeline is None:
                await _cancelled(work)
                return False
            return await work
        finally:
            for task in (work, stopping):
                task.cancel()
            await asyncio.wait({work, stopping})

    async def _sessions(self, preparing: Preparing, delivering: Delivering) -> bool:
        """One session after the other; a further one where positions were moved by others."""
        at = await delivering.open()
        if at is not None and self._shares:
            if not delivering.keeps_shared:
                raise InvalidTask(f"task {self.config.name}: its sink {ONE_OWNER}")
            at = None  # each partition is held against the target when it comes
        while True:
            try:
                return await self._run_session(at, preparing, delivering)
            except TargetWentBack as lost:
                at = lost.positions
            except SubscriptionReset:
                if at is not None and not self._shares:
                    raise
                at = None
                _log.warning("task %s: its positions were reset; goes on there", self.config.name)
            finally:
                self._pipeline = None
            if self._gate.stopping.is_set():
                return False

    @property
    def _shares(self) -> bool:
        return self.config.source.sharing == "shared"

    async def _run_session(
        self, at: Positions | None, preparing: Preparing, delivering: Delivering
    ) -> bool:
        self._entering_since_s = time.monotonic()
        async with self._parts.source.session(at) as session:
            self._entering_since_s = None
            self._session = session
            self._pipeline = Pipeline(
                self.config, session, preparing, delivering, self._meter, self._gate
            )
            try:
                return await self._pipeline.run()
            finally:
                self._session = None
                self._meter.outside_s += session.outside_s


async def _cancelled(task: "asyncio.Task[bool]") -> None:
    """Cancels until the task is over: a library may take a cancellation for its own answer."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)


async def run_task(
    task: TaskLike, *, sink: Sink | None = None, transforms: Iterable[Transform] | None = None
) -> TaskStatus:
    """Runs a task to its end: of a full sync; else until this is cancelled, which stops it.

    Raises:
        InvalidTask: The settings are wrong.
        SyncError, ClientError: The task has failed.
    """
    async with Task(task, sink=sink, transforms=transforms) as running:
        return await running.wait()
