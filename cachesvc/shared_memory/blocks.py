"""Blocks of memory that processes of this machine share: made, filled, lent, and used again.

The pages of a block cost several times what is then done with them the first time somebody touches
them (docs/findings.md), so a block is used again and again. Each belongs to one topic: a process
that was handed a block can look at it for as long as it likes, and so must never find there what
it may not read.
"""

import contextlib
import fcntl
import itertools
import mmap
import os
import threading
from collections.abc import Hashable, Set
from dataclasses import dataclass, field

# Of linux/fcntl.h, since Linux 5.1; not in Python's module. What is mapped already stays writable.
_F_SEAL_FUTURE_WRITE = 0x10
_CAPACITY_STEP = 1 << 20


def can_share_memory() -> bool:
    """Whether this system knows all that it takes."""
    return hasattr(os, "memfd_create") and hasattr(fcntl, "F_ADD_SEALS")


@dataclass(slots=True, eq=False)
class Block:
    """Memory that is written by this process alone, and read by those that it was handed to.

    Attributes:
        number: Never that of another block of this process.
        owner: Whose records it may have.
        capacity: Bytes.
        descriptor: What to hand over; reading is all that it allows.
        memory: The same, to write to.
        holders: How many read or write it now.
        content: What it holds; None while that changes.
        retired: Whether it is never to be filled again.
    """

    number: int
    owner: Hashable
    capacity: int
    descriptor: int
    memory: mmap.mmap = field(repr=False)
    holders: int = 1
    content: Hashable | None = None
    retired: bool = False


class Blocks:
    """All blocks of a process. May be used by any thread.

    Args:
        bytes_max: Of all blocks together.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self._lock = threading.Lock()
        self._bytes = 0
        self._all: set[Block] = set()
        self._numbers = itertools.count(1)
        self._idle: dict[Block, None] = {}  # the one that was used last comes last
        self._gone: list[int] = []

    @property
    def used_bytes(self) -> int:
        """Of all blocks that there are."""
        return self._bytes

    def take(self, owner: Hashable, size: int, *, keep: bool) -> Block | None:
        """A block to fill, with one holder; None if there is no room for it.

        Args:
            owner: Whose records it is to have.
            size: Bytes that it needs.
            keep: Whether what idle blocks hold is wanted again soon, so that it is kept as long as
                there is room for another block.

        Raises:
            OSError: The system gives no memory or no descriptor.
        """
        capacity = -(-size // _CAPACITY_STEP) * _CAPACITY_STEP
        with self._lock:
            fitting = [
                each
                for each in self._idle
                if each.owner == owner and size <= each.capacity <= 2 * capacity
            ]
            if fitting and not (keep and self._bytes + capacity <= self.bytes_max):
                return self._taken(fitting[0] if keep else fitting[-1])
            idle_bytes = sum(each.capacity for each in self._idle)
            if self._bytes - idle_bytes + capacity > self.bytes_max:
                return None
            while self._bytes + capacity > self.bytes_max:
                self._destroy(next(iter(self._idle)))
            block = _made(next(self._numbers), owner, capacity)
            self._bytes += capacity
            self._all.add(block)
            return block

    def has_room(self, owner: Hashable, size: int) -> bool:
        """Whether there is about that much for ``take`` now."""
        with self._lock:
            if any(each.owner == owner and each.capacity >= size for each in self._idle):
                return True
            idle_bytes = sum(each.capacity for each in self._idle)
            return self._bytes - idle_bytes + size <= self.bytes_max

    def filled(self, block: Block, content: Hashable) -> None:
        """Says what a block that was taken holds now; it stays as it is while it has holders."""
        with self._lock:
            block.content = content

    def hold(self, block: Block, content: Hashable) -> bool:
        """Has one holder more, if it still holds that."""
        with self._lock:
            if block.content != content:
                return False
            block.holders += 1
            self._idle.pop(block, None)
            return True

    def let_go(self, block: Block, *, retire: bool = False) -> None:
        """Has one holder less; without any it may be filled again, unless it is retired."""
        with self._lock:
            block.holders -= 1
            block.retired |= retire
            if block.holders:
                return
            self._idle[block] = None
            if block.retired:
                self._destroy(block)

    def retire(self, numbers: Set[int]) -> None:
        """Has some never filled again."""
        with self._lock:
            for block in [each for each in self._all if each.number in numbers]:
                block.retired = True
                if block in self._idle:
                    self._destroy(block)

    def clear(self) -> None:
        """Gives back what nobody holds."""
        with self._lock:
            while self._idle:
                self._destroy(next(iter(self._idle)))

    def gone(self) -> list[int]:
        """The numbers of the blocks that are no more since this was asked last."""
        with self._lock:
            gone, self._gone = self._gone, []
            return gone

    def _taken(self, block: Block) -> Block:
        del self._idle[block]
        block.holders, block.content = 1, None
        return block

    def _destroy(self, block: Block) -> None:
        del self._idle[block]
        self._all.discard(block)
        block.content = None
        self._bytes -= block.capacity
        self._gone.append(block.number)
        os.close(block.descriptor)
        with contextlib.suppress(BufferError):  # then it goes with whoever looks at it
            block.memory.close()


def _made(number: int, owner: Hashable, capacity: int) -> Block:
    descriptor = os.memfd_create("cachesvc-records", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, capacity)
        memory = mmap.mmap(descriptor, capacity)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())
    except BaseException:
        os.close(descriptor)
        raise
    return Block(number, owner, capacity, descriptor, memory)


def _seals() -> int:
    """Nobody changes its size or writes to it, but for whom has it mapped already."""
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL | _F_SEAL_FUTURE_WRITE
