"""When who mines what is looked at: for news, because of the time, and where something waits."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from cachesvc.assignment.log_creation import RETRY_S
from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import PreconditionFailed
from cachesvc.request_ids import current_request_id, working_for

_log = logging.getLogger(__name__)
# Per partition and subscription: what happens to many at once is planned for once.
_SPACING_S, _SPACING_S_MAX = 50e-6, 1.0


class Planned(Protocol):
    """What is planned for. ``assignment.assignments.Assignments`` is this."""

    @property
    def size(self) -> int:
        """How many partitions and subscriptions there are."""

    @property
    def waits(self) -> bool:
        """Whether partitions wait for their logs."""

    def tick(self) -> bool:
        """Does what time asks for; whether that is a reason to plan."""

    async def plan(self, source: Source) -> bool:
        """Plans one connection; whether that was all it should be, or is to be tried again.

        Raises:
            PreconditionFailed: The store does not take it.
        """

    async def retry(self, source: Source) -> None:
        """Has logs made of what waits of a connection, as far as that is possible by now."""


class Planning:
    """Runs plans, one at a time for each connection. Belongs to one event loop.

    A connection whose cluster does not answer keeps no other waiting. Where nothing changes,
    planning is rare: at many partitions it takes its time.

    Args:
        sources: The connections.
        planned: Does it.
        tick_s: Between looks at what time asks for.
        interval_s: Between two plans at most.
    """

    def __init__(
        self, sources: Sources, planned: Planned, tick_s: float, interval_s: float
    ) -> None:
        self._sources = sources
        self._planned = planned
        self._tick_s = tick_s
        self._interval_s = max(tick_s, interval_s)
        self._dirty = asyncio.Event()
        # Connections, and for which call they have to be planned again; None: they have not.
        self._under_way: dict[str, str | None] = {}
        self._failed = False
        self._next_s = 0.0
        self._asked_for = ""  # the newest call for which something has to be planned

    def again(self) -> None:
        """Has a plan made soon, on behalf of the call that the caller works for."""
        self._asked_for = current_request_id() or self._asked_for
        self._dirty.set()

    async def run(self) -> None:
        """Plans until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                by_time = self._planned.tick()
                news = self._dirty.is_set() or self._failed
                self._dirty.clear()
                if news or by_time or time.monotonic() >= self._next_s:
                    self._failed = False
                    self._next_s = time.monotonic() + self._interval_s
                    asked_for, self._asked_for = self._asked_for, ""
                    with working_for(asked_for):
                        self._begin(tasks, self._plan)
                    await asyncio.sleep(min(self._planned.size * _SPACING_S, _SPACING_S_MAX))
                elif self._planned.waits:
                    self._begin(tasks, self._planned.retry)
                pause_s = min(self._tick_s, RETRY_S) if self._planned.waits else self._tick_s
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._dirty.wait()

    def _begin(self, tasks: asyncio.TaskGroup, work: Callable[[Source], Awaitable[None]]) -> None:
        for source in self._sources.all():
            if source.name not in self._under_way:
                self._under_way[source.name] = None
                tasks.create_task(self._do(source, work))
            elif work == self._plan:
                before = self._under_way[source.name]
                self._under_way[source.name] = current_request_id() or before or ""

    async def _do(self, source: Source, work: Callable[[Source], Awaitable[None]]) -> None:
        await work(source)
        asked_for = self._under_way.pop(source.name)
        if asked_for is not None:
            with working_for(asked_for):
                self.again()

    async def _plan(self, source: Source) -> None:
        try:
            if not await self._planned.plan(source):
                self._failed = True
        except PreconditionFailed as error:
            self._failed = True
            fields = {"connection": source.name, "error": str(error)}
            _log.warning(
                "topics cannot be assigned, trying again",
                extra={"event": "assignment_failed", **fields},
            )
