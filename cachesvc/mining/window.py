"""How much a reader may have on its way to the service.

Invariant: ``unacknowledged_bytes`` is the sum over what was sent and not yet answered; it exceeds
``bytes_max`` by one append at most, because nothing is sent while there is no room.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

from cachesvc.mining.holdings import HeldPartition


@dataclass(frozen=True, slots=True)
class InFlight:
    """An append that the service has not answered.

    Attributes:
        held: Whose records they are.
        generation: Of ``held`` when they were sent.
        end_offset: Where they end.
        bytes: Their size.
        records: How many, turned away or not.
        base_offset: Where they begin.
    """

    held: HeldPartition
    generation: int
    end_offset: int
    bytes: int
    records: int = 0
    base_offset: int = 0


class AppendWindow:
    """Appends in flight, oldest first. Belongs to one event loop."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._in_flight: deque[InFlight] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._empty = asyncio.Event()
        self._empty.set()
        self.unacknowledged_bytes = 0

    def __len__(self) -> int:
        return len(self._in_flight)

    def sent(self, append: InFlight) -> None:
        """Notes an append that goes out now, behind all others; there has to be room."""
        assert self._room.is_set(), "an append was sent without room for it"
        self._in_flight.append(append)
        self.unacknowledged_bytes += append.bytes
        self._empty.clear()
        if self.unacknowledged_bytes >= self._bytes_max:
            self._room.clear()

    def answered(self) -> InFlight | None:
        """Takes out the oldest, which the service has answered; None if there is none."""
        if not self._in_flight:
            return None
        append = self._in_flight.popleft()
        self.unacknowledged_bytes -= append.bytes
        if self.unacknowledged_bytes < self._bytes_max:
            self._room.set()
        if not self._in_flight:
            self._empty.set()
        return append

    @property
    def has_room(self) -> bool:
        """Whether less than ``bytes_max`` is unacknowledged."""
        return self._room.is_set()

    async def wait_for_room(self) -> None:
        """Waits until less than ``bytes_max`` is unacknowledged. Cancel-safe."""
        await self._room.wait()

    async def wait_until_empty(self) -> None:
        """Waits until everything is answered. Cancel-safe."""
        await self._empty.wait()
