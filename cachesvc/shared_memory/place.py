"""Shared memory of a service: everything of it, and when it is given back."""

import asyncio

from cachesvc.shared_memory.blocks import Blocks
from cachesvc.shared_memory.door import Door
from cachesvc.shared_memory.lending import Lending, Run
from cachesvc.shared_memory.neighbours import Neighbour

_IDLE_S_MAX = 10.0


class SharedMemory:
    """Records for processes of this machine, in memory that they share with the service.

    Belongs to one event loop.

    Args:
        bytes_max: Of all there is.
        run: Runs blocking work.
        retires: Whether memory that a stream has seen is not used again once it has ended, because
            its client may be refused from then on.

    Attributes:
        lending: Hands records over.
    """

    def __init__(self, bytes_max: int, run: Run, *, retires: bool) -> None:
        self._blocks = Blocks(bytes_max)
        self._run = run
        self._retires = retires
        self._door = Door(self._blocks)
        self.lending = Lending(self._blocks, run, self._door.tell_gone)

    def open(self, port: int) -> None:
        """Lets in whoever reaches the service on that port from this machine."""
        self._door.open(port)

    def claim(self, token: bytes) -> Neighbour | None:
        """The connection of the stream that names a token; None where there is none for it."""
        return self._door.claim(token)

    def end(self, neighbour: Neighbour) -> None:
        """Ends a stream's connection; idempotent."""
        neighbour.end(retire=self._retires)
        self._door.tell_gone()

    async def run(self) -> None:
        """Gives memory back that nobody uses for a while, until cancelled; then all of it."""
        try:
            while True:
                handed_over = self.lending.handed_over
                await asyncio.sleep(_IDLE_S_MAX)
                if handed_over == self.lending.handed_over:
                    await self._run(self._blocks.clear)  # pages by the ten thousand take a while
                self._door.tell_gone()
        finally:
            self._door.close()
            self._blocks.clear()
