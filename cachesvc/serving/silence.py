"""How long a client has been told nothing."""

import time
from collections.abc import Awaitable, Callable

Write = Callable[[bytes], Awaitable[None]]
"""Sends one response; waits while the client takes none."""


class Silence:
    """Writes, and knows when it last did.

    Args:
        write: Sends.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._written_s = time.monotonic()

    async def write(self, response: bytes) -> None:
        """Sends a response."""
        await self._write(response)
        self._written_s = time.monotonic()

    @property
    def lasts_s(self) -> float:
        """Seconds since the last response."""
        return time.monotonic() - self._written_s
