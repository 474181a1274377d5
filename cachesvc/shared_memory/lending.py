"""Records in shared memory, filled once for all neighbours that want the same ones."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from cachesvc.errors import DamagedFile, StoreUnreadable
from cachesvc.shared_memory.blocks import Blocks
from cachesvc.shared_memory.filling import PARTS, Filled, Payload, fill
from cachesvc.shared_memory.neighbours import LOANS_MAX, Neighbour

T = TypeVar("T")


class Run(Protocol):
    """Runs blocking work beside the event loop; raises what it raises."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass(slots=True, eq=False)
class _Flight:
    """A block that is being filled, and how many wait for it."""

    task: "asyncio.Task[Filled | None]"
    waiting: int = 0
    left: bool = False


class Lending:
    """Lends records to neighbours. Belongs to one event loop.

    Args:
        blocks: What to lend of.
        run: Runs what blocks.
        on_filled: Called when blocks may be no more because another was filled.
    """

    def __init__(
        self, blocks: Blocks, run: Run, on_filled: Callable[[], None] = lambda: None
    ) -> None:
        self._blocks = blocks
        self._run = run
        self._on_filled = on_filled
        self._filled: dict[Hashable, Filled] = {}
        self._flights: dict[Hashable, _Flight] = {}
        self.handed_over = 0
        """How often records went this way."""
        self.hits = 0
        """How often they were there already, or on their way."""
        self.misses = 0
        """How often they had to be decoded."""

    @property
    def bytes(self) -> int:
        """Of all memory."""
        return self._blocks.used_bytes

    def lends_to(self, neighbour: Neighbour) -> bool:
        """Whether a neighbour may be handed more; one that keeps everything is not."""
        if neighbour.ended or neighbour.loans >= LOANS_MAX:
            return False
        return neighbour.lent_bytes <= self._blocks.bytes_max // PARTS

    async def fill(
        self, owner: Hashable, content: Hashable, payloads: Sequence[Payload], *, keep: bool
    ) -> Filled | None:
        """Has records in memory, for the caller to hand over or to let go of.

        None where that cannot be, and they have to go another way. Cancel-safe.

        Args:
            owner: Whose they are; memory that has had records of one owner never has others'.
            content: What tells them from all others.
            payloads: They, at least one.
            keep: Whether others are likely to want the same.
        """
        filled = self._filled.get(content)
        if filled is not None and self._blocks.hold(filled.block, content):
            self.hits += 1
            return filled
        flight = self._flights.get(content)
        if flight is not None:
            self.hits += 1
        else:
            self.misses += 1
            work = partial(fill, self._blocks, owner, payloads, content, keep=keep)
            flight = self._flights[content] = _Flight(asyncio.ensure_future(self._fill(work)))
            flight.task.add_done_callback(lambda _: self._landed(content))
        flight.waiting += 1
        try:
            filled = await asyncio.shield(flight.task)
            if filled is None or not self._blocks.hold(filled.block, content):
                return None
            return filled
        finally:
            flight.waiting -= 1
            if flight.task.done():
                self._leave(flight)

    def let_go(self, filled: Filled) -> None:
        """Ends the hold of a caller of ``fill``."""
        self._blocks.let_go(filled.block)

    def hand_over(self, neighbour: Neighbour, filled: Filled) -> Filled | None:
        """Passes the hold of a caller of ``fill`` on to a neighbour; None if that is gone."""
        if self.lends_to(neighbour) and neighbour.lend(filled.block, filled.length):
            self.handed_over += 1
            return filled
        self.let_go(filled)
        return None

    async def _fill(self, work: Callable[[], Filled | None]) -> Filled | None:
        try:
            return await self._run(work)
        except (DamagedFile, StoreUnreadable, OSError):
            return None  # damage is told by whoever sends them, memory may be there again

    def _landed(self, content: Hashable) -> None:
        flight = self._flights.pop(content)
        self._on_filled()
        if flight.task.cancelled() or (filled := flight.task.result()) is None:
            return
        self._filled[content] = filled
        for stale in [at for at, of in self._filled.items() if of.block.content != at]:
            del self._filled[stale]
        if not flight.waiting:
            self._leave(flight)

    def _leave(self, flight: _Flight) -> None:
        """Ends the hold of the one who filled, once nobody waits for that any more."""
        if flight.waiting or flight.left or flight.task.cancelled():
            return
        flight.left = True
        filled = flight.task.result()
        if filled is not None:
            self._blocks.let_go(filled.block)
