"""Batches of a stream, several in one message.

A message costs gRPC on both sides about 0.2 ms however little is in it (docs/findings.md), so what
is ready at the same moment goes together, and so does what becomes ready while a message is on its
way. Nothing waits for anything else: what is held goes as soon as nothing more is ready.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cachesvc.serving.wire_format import tag, varint
from cachesvc.v1 import log_cache_pb2 as pb

_BATCHES = tag(pb.SubscribeResponse.DESCRIPTOR.fields_by_name["batches"].number)
_SMALL_BYTES = 64 << 10
JOINED_BYTES_MAX = 256 << 10
"""Of a message that has several."""
_HANDED_OVER_BYTES_MAX = 2 << 20
"""Of records that lie in shared memory, and that the client has not been told of."""


class JoinedBatches:
    """Writes what a stream sends, in its order.

    Args:
        write: Where to.
        joins: Whether the client takes several batches in a message.
    """

    def __init__(self, write: Callable[[bytes], Coroutine[Any, Any, None]], *, joins: bool) -> None:
        self._write = write
        self._joins = joins
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._handed_over_bytes = 0
        self._writing: asyncio.Task[None] | None = None

    @property
    def holds(self) -> bool:
        """Whether there is something that has not been sent yet."""
        return bool(self._held) or self._writing is not None

    async def event(self, response: bytes) -> None:
        """Sends an event, and before it what is held."""
        await self.flush()
        await self._write(response)

    async def batch(self, response: bytes) -> None:
        """Sends a ``batch`` event, or holds it until ``flush``."""
        if not self._joins or len(response) > _SMALL_BYTES:
            await self.event(response)
            return
        self._held.append(response)
        self._held_bytes += len(response)
        if self._held_bytes > JOINED_BYTES_MAX - 2 * _SMALL_BYTES:
            await self.flush()

    async def handed_over(self, response: bytes, carried_bytes: int) -> None:
        """Sends a ``batch`` event whose records lie in shared memory.

        The message is small, so it goes at once, or with others once the last one has gone.
        """
        if not self._joins:
            await self.event(response)
            return
        self._held.append(response)
        self._held_bytes += len(response)
        self._handed_over_bytes += carried_bytes
        if self._handed_over_bytes >= _HANDED_OVER_BYTES_MAX:
            await self._written()
        if self._held and (self._writing is None or self._writing.done()):
            await self._written()
            self._writing = asyncio.ensure_future(self._write_held())

    async def flush(self) -> None:
        """Sends what is held; returns when everything was written."""
        await self._written()
        await self._write_held()

    async def begin_to_flush(self) -> None:
        """Sends what is held, unless somebody does already."""
        if self._writing is None or self._writing.done():
            await self.flush()

    def close(self) -> None:
        """Gives up what was not written; idempotent."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing.add_done_callback(_heed)

    async def _written(self) -> None:
        """Returns when nothing is being written. Raises what the write raised."""
        if self._writing is not None:
            await self._writing
            self._writing = None

    async def _write_held(self) -> None:
        while self._held:
            held, size = self._held, self._held_bytes
            self._held, self._held_bytes, self._handed_over_bytes = [], 0, 0
            # Its field has the same number in both messages: the bytes are those of an element.
            joined = held[0] if len(held) == 1 else b"".join((_BATCHES, varint(size), *held))
            await self._write(joined)


def _heed(writing: "asyncio.Task[None]") -> None:
    """Takes note of how a write ended that nobody waits for, which else is said in the log."""
    if not writing.cancelled():
        writing.exception()
