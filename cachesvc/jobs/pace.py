"""Reading no faster than so many bytes a second, on average."""

import asyncio
import time


class Pace:
    """Waits after each piece for as long as that may take.

    Args:
        bytes_per_s_max: Read in a second.
    """

    def __init__(self, bytes_per_s_max: int) -> None:
        self._bytes_per_s_max = bytes_per_s_max
        self._began_s = time.monotonic()

    def begin(self) -> None:
        """A piece is about to be read."""
        self._began_s = time.monotonic()

    async def end(self, size: int) -> None:
        """It was read, and has so many bytes."""
        lasts_s = size / self._bytes_per_s_max
        await asyncio.sleep(max(0.0, lasts_s - (time.monotonic() - self._began_s)))
