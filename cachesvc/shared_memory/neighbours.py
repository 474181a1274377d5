"""Processes of this machine that take records from shared memory.

Each stream of theirs has a connection besides its call: a Unix socket over which descriptors of
memory come, and over which it says what it has taken and what it is done with.
docs/shared-memory.md has every byte.
"""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterable

from cachesvc.shared_memory.blocks import Block, Blocks

_AHEAD_BYTES_MAX = 8 << 20
"""Of what a neighbour was told of and has not taken; at least one piece."""
LOANS_MAX = 100
"""What a neighbour has at a time. It says two things of each, and has to be able to say them while
nobody listens: a socket has room for 278, and what it cannot say is never given back."""
_MESSAGES_A_ROUND = 64
_BLOCK = struct.Struct("<cqq")
_ABOUT = struct.Struct("<cq")
_TAKEN, _DONE = b"t", b"d"
_HERE, _GONE = b"m", b"f"


class Neighbour:
    """One stream's connection. Belongs to one event loop.

    Args:
        connection: Its socket, which does not block.
        blocks: What it is lent of.
        on_closed: Called once, when it is closed.
    """

    def __init__(
        self, connection: socket.socket, blocks: Blocks, on_closed: Callable[["Neighbour"], None]
    ) -> None:
        self._connection = connection
        self._blocks = blocks
        self._on_closed = on_closed
        self._known: set[int] = set()
        self._untold: set[int] = set()
        self._lent: Counter[Block] = Counter()
        self._by_number: dict[int, Block] = {}
        self._untaken: dict[Block, int] = {}
        self.told_bytes = 0
        """Of all that it was lent ever; what is lent is in the message that is made next."""
        self._taken_bytes = 0
        self._moved = asyncio.Event()
        self.ended = False
        """Whether nothing is handed over any more: what follows has to go another way."""
        self.closed = False
        """Whether its connection is closed."""
        asyncio.get_running_loop().add_reader(connection, self._hear)

    @property
    def lent_bytes(self) -> int:
        """Of blocks that it has not given back."""
        return sum(block.capacity for block in self._lent)

    @property
    def loans(self) -> int:
        """How often something was handed over that it has not given back."""
        return self._lent.total()

    async def taken(self, told_bytes: int) -> None:
        """Waits until it has taken most of what it has been told of, or is gone.

        Args:
            told_bytes: As ``told_bytes`` was when the message was made that told it.
        """
        while told_bytes - self._taken_bytes >= _AHEAD_BYTES_MAX and not self.ended:
            self._moved.clear()
            await self._moved.wait()

    def lend(self, block: Block, length: int) -> bool:
        """Hands over a block, which has a holder for it, who ends when it is given back.

        False if it cannot be told of it: the holder is still the caller's.
        """
        if self.ended or not self._introduce(block):
            return False
        self._lent[block] += 1
        self._by_number[block.number] = block
        self._untaken[block] = self._untaken.get(block, 0) + length
        self.told_bytes += length
        return True

    def forget(self, numbers: Iterable[int]) -> None:
        """Tells it which blocks are no more, of those that it knows.

        What its socket has no room for is told the next time.
        """
        self._untold |= self._known.intersection(numbers)
        with contextlib.suppress(OSError):  # it keeps some memory for longer
            for number in sorted(self._untold):
                self._connection.send(_ABOUT.pack(_GONE, number))
                self._untold.discard(number)
                self._known.discard(number)

    def end(self, *, retire: bool) -> None:
        """Hands nothing over any more; idempotent. Closes it once everything is given back.

        Args:
            retire: Whether to use nothing again that it has ever seen.
        """
        if retire:
            self._blocks.retire(self._known)
        self.ended = True
        self._moved.set()
        if not self._lent:
            self.close()

    def close(self) -> None:
        """Ends it; idempotent. What it has not given back it may go on reading: that is retired."""
        self.ended = True
        if self.closed:
            return
        self.closed = True
        asyncio.get_running_loop().remove_reader(self._connection)
        self._connection.close()
        self._moved.set()
        for block, times in self._lent.items():
            for _ in range(times):
                self._blocks.let_go(block, retire=True)
        self._lent.clear()
        self._on_closed(self)

    def _introduce(self, block: Block) -> bool:
        if block.number in self._known:
            return True
        message = _BLOCK.pack(_HERE, block.number, block.capacity)
        try:
            socket.send_fds(self._connection, [message], [block.descriptor])
        except OSError:
            return False
        self._known.add(block.number)
        return True

    def _hear(self) -> None:
        for _ in range(_MESSAGES_A_ROUND):
            try:
                message = self._connection.recv(_ABOUT.size + 1)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if len(message) != _ABOUT.size:
                self._leave()
                return
            kind, number = _ABOUT.unpack(message)
            block = self._by_number.get(number)
            if block is None or kind not in (_TAKEN, _DONE):
                self._leave()
                return
            if kind == _TAKEN:
                self._take(block)
            else:
                self._give_back(block)

    def _take(self, block: Block) -> None:
        self._taken_bytes += self._untaken.pop(block, 0)
        self._moved.set()

    def _give_back(self, block: Block) -> None:
        self._lent[block] -= 1
        if not self._lent[block]:
            del self._lent[block], self._by_number[block.number]
        self._blocks.let_go(block)
        if self.ended and not self._lent:
            self.close()

    def _leave(self) -> None:
        """It has closed its end, which it does once it reads nothing any more, or has died."""
        for block in list(self._lent):
            while block in self._lent:
                self._give_back(block)
        self.close()
