"""The batch that a stream is likely to send next, made while the one before is on its way.

Records that are handed over in shared memory are decoded by the service. A stream that catches up
would wait for that at every batch; with this, it and its client work on one while the next is made.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
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


class _Begun(NamedTuple):
    place: _Place
    task: "asyncio.Task[Made | None]"


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
        self._begun: dict[Cursor, _Begun] = {}

    def begin(self, cursors: Iterable[Cursor]) -> None:
        """Begins with what some cursors are at, and forgets what was made for others.

        It is made with a copy of the cursor: if that moved meanwhile, frames of one place would
        be cut for another one, and kept for all streams as those of that.
        """
        wanted = {cursor: _Place.of(cursor) for cursor in cursors}
        for cursor, begun in list(self._begun.items()):
            if wanted.get(cursor) != begun.place:
                self.forget(cursor)
        for cursor, place in wanted.items():
            if cursor not in self._begun:
                making = asyncio.ensure_future(self._made(replace(cursor)))
                self._begun[cursor] = _Begun(place, making)

    async def take(self, cursor: Cursor) -> Made | None:
        """What was made for where a cursor is, and is the caller's to let go of then.

        None if nothing was, or it failed: whoever makes it anew is told why. Cancel-safe.
        """
        begun = self._begun.get(cursor)
        if begun is None:
            return None
        if begun.place != _Place.of(cursor):
            self.forget(cursor)
            return None
        made = await asyncio.shield(begun.task)
        del self._begun[cursor]
        return made

    def forget(self, cursor: Cursor) -> None:
        """Lets go of what was made for a cursor, if anything was."""
        begun = self._begun.pop(cursor, None)
        if begun is not None:
            begun.task.add_done_callback(self._let_go)
            begun.task.cancel()

    def close(self) -> None:
        """Forgets everything; idempotent."""
        for cursor in list(self._begun):
            self.forget(cursor)

    def _let_go(self, task: "asyncio.Task[Made | None]") -> None:
        made = None if task.cancelled() else task.result()
        if made is not None and made.filled is not None:
            self._lending.let_go(made.filled)

    async def _made(self, cursor: Cursor) -> Made | None:
        try:
            return await self._make(cursor)
        except CacheError:
            return None
