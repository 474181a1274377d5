"""What runs for one connection."""

import asyncio
from collections.abc import Sequence
from contextvars import Context

from cachesvc.clusters.sources import Source, Sources
from cachesvc.mining.supervisor import ReaderProcess
from cachesvc.mining.watch import watch


class ConnectionWork:
    """What runs for one connection: looks at its cluster and, once needed, the local readers.

    Args:
        source: The connection as the log sees it.
        readers: Processes that are kept running from ``start_readers`` on.
    """

    def __init__(self, source: Source, readers: Sequence[ReaderProcess]) -> None:
        self.source = source
        self.readers = readers
        self.reading = False
        """Whether readers were asked for."""
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, tasks: asyncio.TaskGroup, sources: Sources, look_interval_s: float) -> None:
        """Runs until stopped, or until the group ends."""
        self._group = tasks
        self._tasks = [tasks.create_task(watch(sources, self.source, look_interval_s))]
        if self.reading:
            self._run_readers(tasks)

    def start_readers(self) -> None:
        """Has the readers run as long as this does, now or from ``start`` on. Idempotent."""
        if not self.reading:
            self.reading = True
            if self._group is not None:
                self._run_readers(self._group)

    def _run_readers(self, tasks: asyncio.TaskGroup) -> None:
        # Not in the name of the call that led to this: they live on.
        self._tasks += [
            tasks.create_task(reader.run(), context=Context()) for reader in self.readers
        ]

    async def stop(self) -> None:
        """Ends it for good, readers cleanly in bounded time. Idempotent."""
        self._group = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.source.lookup.close()
