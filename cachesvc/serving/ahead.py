"""The batch that a stream is likely to send next, made while the one before is on its way.

Records that are handed over in shared memory are decoded by the service. A stream that catches up
would wait for that at every batch; with this, it and its client work on one while the next is made.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from cachesvc.errors import CacheError
from cachesvc.log.partition_log import PartitionLog
from cachesvc.serving.cursor import Cursor
from cachesvc.serving.forms import Part
from cachesvc.shared_memory.filling import Filled
from cachesvc.shared_memory.lending import Lending

AHEAD_MAX = 2
"""Batches; what one stream then has made at a time, and what its client takes meanwhile."""


class _Place(NamedTuple):
    """What a batch depends on: one that was made for another place is of no use."""

    log: PartitionLog
    path: str
    position: int
    end: int | None
    next_gap: int | None

    @classmethod
    def of(cls, cursor: Cursor) -> "_Place":
        path = "" if cursor.snapshot is None else cursor.snapshot.file.path
        return cls(cursor.log, path, cursor.position, cursor.end, cursor.next_gap)


class Made(NamedTuple):
    """A batch that was made ahead.

    Attributes:
        run: What is in it.
        filled: The memory that has it, held once; None where it has to go another way.
    """

    run: Sequence[Part]
    filled: Filled | None


class Ahead:
    """Makes batches ahead. Belongs to one stream.

    Args:
        lending: Fills the memory.
        make: What comes at a cursor, without moving it; None where nothing does.
    """

    def __init__(
        self, lending: Lending, make: Callable[[Cursor], Coroutine[Any, Any, Made | None]]
    ) -> None:
        self._lending = lending
        self._make = make
        self._tasks: dict[_Place, asyncio.Task[Made | None]] = {}

    def begin(self, cursors: Iterable[Cursor]) -> None:
        """Begins with what some cursors are at, and forgets what was made for others."""
        places = {_Place.of(cursor): cursor for cursor in cursors}
        for place in self._tasks.keys() - places.keys():
            self._forget(place)
        for place in places.keys() - self._tasks.keys():
            self._tasks[place] = asyncio.ensure_future(self._made(places[place]))

    async def take(self, cursor: Cursor) -> Made | None:
        """What was made for where a cursor is, and is the caller's to let go of then.

        None if nothing was, or it failed: whoever makes it anew is told why. Cancel-safe.
        """
        place = _Place.of(cursor)
        task = self._tasks.get(place)
        if task is None:
            return None
        made = await asyncio.shield(task)
        del self._tasks[place]
        return made

    def close(self) -> None:
        """Forgets what was made; idempotent."""
        for place in list(self._tasks):
            self._forget(place)

    def _forget(self, place: _Place) -> None:
        task = self._tasks.pop(place)
        task.add_done_callback(self._let_go)
        task.cancel()

    def _let_go(self, task: "asyncio.Task[Made | None]") -> None:
        made = None if task.cancelled() else task.result()
        if made is not None and made.filled is not None:
            self._lending.let_go(made.filled)

    async def _made(self, cursor: Cursor) -> Made | None:
        try:
            return await self._make(cursor)
        except CacheError:
            return None
