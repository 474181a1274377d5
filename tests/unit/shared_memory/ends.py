"""The client's end of a connection, as docs/shared-memory.md has it, byte by byte."""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import struct
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from cachesvc.shared_memory.blocks import Block, Blocks
from cachesvc.shared_memory.neighbours import Neighbour

MIB = 1 << 20


async def turns(number: int = 5) -> None:
    """Lets the event loop do what is ready, which includes reading sockets."""
    for _ in range(number):
        await asyncio.sleep(0)


def about(kind: bytes, number: int) -> bytes:
    return kind + struct.pack("<q", number)


class End:
    """What a client has, and what it says."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def says(self, kind: bytes, number: int) -> None:
        self.connection.send(about(kind, number))

    def hears(self) -> tuple[bytes, list[int]]:
        """The next packet, and descriptors that came with it; BlockingIOError without one."""
        packet, descriptors, *_ = socket.recv_fds(self.connection, 64, 4)
        return packet, descriptors

    def is_hung_up_on(self) -> bool:
        try:
            return self.hears()[0] == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:  # with something unread
            return True

    def maps(self) -> tuple[int, mmap.mmap]:
        """The number and the memory of the block that it is told of next."""
        packet, (descriptor,) = self.hears()
        kind, number, capacity = packet[:1], *struct.unpack("<qq", packet[1:])
        assert kind == b"m"
        try:
            return number, mmap.mmap(descriptor, capacity, mmap.MAP_SHARED, mmap.PROT_READ)
        finally:
            os.close(descriptor)


@contextmanager
def met(blocks: Blocks) -> Iterator[tuple[Neighbour, End, list[Neighbour]]]:
    """A neighbour, its client's end, and those that were closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    closed: list[Neighbour] = []
    neighbour = Neighbour(ours, blocks, closed.append)
    with theirs:
        try:
            yield neighbour, End(theirs), closed
        finally:
            neighbour.close()


def filled(blocks: Blocks, content: Hashable = "content", owner: str = "orders") -> Block:
    """A block with one holder."""
    block = blocks.take(owner, 1, keep=True)
    assert block is not None
    blocks.filled(block, content)
    return block


def lent(neighbour: Neighbour, block: Block, length: int = 100) -> None:
    assert neighbour.lend(block, length)
