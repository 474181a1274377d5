"""Small batches of a stream, several in one message.

A message costs gRPC on both sides about 0.2 ms however little is in it (docs/findings.md), so what
is ready at the same moment goes together. Nothing waits for anything: what is held goes as soon as
nothing else is ready.
"""

from collections.abc import Awaitable, Callable

from cachesvc.serving.wire_format import tag, varint
from cachesvc.v1 import log_cache_pb2 as pb

_BATCHES = tag(pb.SubscribeResponse.DESCRIPTOR.fields_by_name["batches"].number)
_SMALL_BYTES = 64 << 10
JOINED_BYTES_MAX = 256 << 10
"""Of a message that has several."""


class JoinedBatches:
    """Writes what a stream sends, in its order.

    Args:
        write: Where to.
        joins: Whether the client takes several batches in a message.
    """

    def __init__(self, write: Callable[[bytes], Awaitable[None]], *, joins: bool) -> None:
        self._write = write
        self._joins = joins
        self._held: list[bytes] = []
        self._held_bytes = 0

    @property
    def holds(self) -> bool:
        """Whether there is something that has not been sent yet."""
        return bool(self._held)

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

    async def flush(self) -> None:
        """Sends what is held."""
        if not self._held:
            return
        held, size = self._held, self._held_bytes
        self._held, self._held_bytes = [], 0
        # Its field has the same number in both messages, so that the bytes are those of an element.
        response = held[0] if len(held) == 1 else b"".join((_BATCHES, varint(size), *held))
        await self._write(response)
