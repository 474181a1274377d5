"""Records that a service on this machine hands over in memory, instead of in messages.

A stream has a connection to the service besides its call: a Unix socket, over which the memory
comes as descriptors, and over which the stream says what it has taken and what it is done with. The
service fills again what the stream is done with, so that is said once nothing refers to the memory
any more: no table, no column, no slice of one, whoever holds it. docs/shared-memory.md of the
service has every byte of what is said.
"""

import asyncio
import contextlib
import ipaddress
import itertools
import mmap
import os
import secrets
import socket
import struct
import sys
import weakref
from typing import Self
from urllib.parse import urlsplit

import pyarrow as pa

from cachesvc.client.errors import Unavailable

_TOKEN_BYTES = 16
_BLOCK = struct.Struct("<cqq")
_ABOUT = struct.Struct("<cq")
_TAKEN, _DONE = b"t", b"d"
_HERE, _GONE = b"m", b"f"


class SharedMemory:
    """One connection's memory. Belongs to one event loop, but for what is let go of.

    Args:
        connection: To the service; does not block.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._memory: dict[int, mmap.mmap] = {}
        # A piece may be let go of in any thread, and anywhere: adding and taking away are atomic.
        self._lent: set[int] = set()
        self._loans = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard = asyncio.Event()
        self._lost = ""
        self._ends = False
        self._process = os.getpid()
        self.token = secrets.token_bytes(_TOKEN_BYTES)
        """What the call names, so that the service knows whose connection this is."""

    @classmethod
    def reach(cls, target: str) -> Self | None:
        """A connection to the service at a target; None where there is none to be had.

        It is not to be had where the service is not of this machine, or does not share memory, and
        where the process has no descriptor left.
        """
        port = _local_port(target)
        if port is None or not sys.platform.startswith("linux"):
            return None
        try:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        except OSError:
            return None
        memory = cls(connection)
        try:
            connection.connect(f"\0cachesvc-shared-memory-{port}")
            connection.send(memory.token)
        except OSError:
            connection.close()
            return None
        return memory

    async def take(self, number: int, length: int) -> pa.Buffer:
        """What the service has handed over; it stays as it is until nothing refers to it.

        Raises:
            Unavailable: It does not come; the stream has to begin anew, without.
        """
        if self._loop is None and not self._lost:
            # Not before: what names a block is the service, and so the other end is.
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._connection, self._hear)
            self._hear()
        while (memory := self._memory.get(number)) is None:
            if self._lost:
                raise Unavailable(
                    f"memory of the service cannot be had: {self._lost}", reason="NO_SHARED_MEMORY"
                )
            self._heard.clear()
            await self._heard.wait()
        if not 0 <= length <= len(memory):
            raise Unavailable(f"a block has no {length} bytes", reason="NO_SHARED_MEMORY")
        view = memoryview(memory)[:length]
        loan = next(self._loans)
        self._lent.add(loan)
        weakref.finalize(view, self._done, number, loan).atexit = False
        with contextlib.suppress(OSError):  # the call tells that the service is gone
            self._connection.send(_ABOUT.pack(_TAKEN, number))
        return pa.py_buffer(view)

    def close(self) -> None:
        """Ends the connection as soon as nothing refers to its memory; idempotent."""
        self._stop_hearing()
        self._memory.clear()
        self._ends = True
        self._close_if_over()

    def _done(self, number: int, loan: int) -> None:
        """Nothing refers to a piece any more. In whichever thread let go of it."""
        if os.getpid() != self._process:
            return  # where this one was forked from somebody may refer to it
        with contextlib.suppress(OSError):
            self._connection.send(_ABOUT.pack(_DONE, number))
        self._lent.discard(loan)
        self._close_if_over()

    def _close_if_over(self) -> None:
        if self._ends and not self._lent:
            self._connection.close()

    def _hear(self) -> None:
        """Heeds what has come, at once: memory that the service has given up takes room here."""
        try:
            while True:
                message, descriptors, *_ = socket.recv_fds(self._connection, _BLOCK.size + 1, 1)
                try:
                    self._heed(message, descriptors)
                finally:
                    for descriptor in descriptors:
                        os.close(descriptor)
        except BlockingIOError:
            pass
        except (OSError, ValueError, OverflowError) as error:
            # Not the error itself: its traceback has whoever called, and what they refer to.
            self._lost = str(error) or repr(error)
            self._stop_hearing()
        self._heard.set()

    def _stop_hearing(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.remove_reader(self._connection)

    def _heed(self, message: bytes, descriptors: list[int]) -> None:
        if len(message) == _ABOUT.size:
            self._memory.pop(_ABOUT.unpack(message)[1], None)
            return
        if len(message) != _BLOCK.size or not descriptors:
            raise ConnectionError("the connection was closed" if not message else "no descriptor")
        _, number, capacity = _BLOCK.unpack(message)
        if os.fstat(descriptors[0]).st_size < capacity:  # sealed: it will not become shorter
            raise ConnectionError("a block is shorter than it should be")
        self._memory[number] = mmap.mmap(
            descriptors[0], capacity, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ
        )


def _local_port(target: str) -> int | None:
    """The port of a target that is this machine's own, under a name that says so."""
    address = target.removeprefix("ipv4:").removeprefix("ipv6:").removeprefix("dns:")
    try:
        parts = urlsplit(f"//{address.strip('/')}")
        host, port = parts.hostname, parts.port
        if host == "localhost" or (host and ipaddress.ip_address(host).is_loopback):
            return port
    except ValueError:
        pass
    return None
