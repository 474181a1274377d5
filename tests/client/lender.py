"""The service's end of a stream's shared memory, as docs/shared-memory.md has it, byte by byte."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pyarrow as pa
from pyarrow import ipc

from cachesvc.client.shared_memory import SharedMemory
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.fake_log import Key, encode, record

ORDERS: Key = ("orders", 0)
CAPACITY = 1 << 20


def about(kind: bytes, number: int) -> bytes:
    return kind + struct.pack("<q", number)


def stream_of(batch: pb.Batch) -> bytes:
    """The records of a batch as an uncompressed Arrow IPC stream."""
    with ipc.open_stream(batch.arrow_ipc) as reader:
        table = reader.read_all()
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def records_stream(begin: int, end: int) -> bytes:
    """The records at ``[begin, end)`` of the fake log."""
    return stream_of(encode(ORDERS, [record(ORDERS, each) for each in range(begin, end)], end))


class Lender:
    """Lends what it is told to, and hears what the client says.

    Args:
        connection: Its end, which does not block.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.heard: list[bytes] = []
        self.files: dict[int, int] = {}

    def lend(self, number: int, data: bytes, capacity: int = CAPACITY) -> int:
        """Fills a block, which the client is told of the first time; the bytes that it has."""
        is_new = number not in self.files
        if is_new:
            self.files[number] = os.memfd_create("lender")
            os.ftruncate(self.files[number], capacity)
        self.overwrite(number, data)
        if is_new:
            self.introduce(number, capacity, self.files[number])
        return len(data)

    def overwrite(self, number: int, data: bytes) -> None:
        os.pwrite(self.files[number], data, 0)

    def introduce(self, number: int, capacity: int, *descriptors: int) -> None:
        message = b"m" + struct.pack("<qq", number, capacity)
        if descriptors:
            socket.send_fds(self.connection, [message], descriptors)
        else:
            self.connection.send(message)

    def forget(self, number: int) -> None:
        self.connection.send(about(b"f", number))

    def listen(self) -> list[bytes]:
        """All that the client has said so far; an empty packet where it has hung up."""
        while b"" not in self.heard:
            try:
                self.heard.append(self.connection.recv(64))
            except BlockingIOError:
                break
            except ConnectionResetError:
                continue  # it has not read all; what it said before is still to come
        return self.heard

    def done(self, number: int) -> int:
        """How often the client has said that it is done with a batch of a block."""
        return self.listen().count(about(b"d", number))

    @property
    def is_hung_up_on(self) -> bool:
        return b"" in self.listen()

    def close(self) -> None:
        self.connection.close()
        for descriptor in self.files.values():
            os.close(descriptor)
        self.files.clear()


@contextmanager
def lending() -> Iterator[tuple[SharedMemory, Lender]]:
    """Both ends of a connection."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    memory = SharedMemory(theirs)
    with closing(Lender(ours)) as lender:
        try:
            yield memory, lender
        finally:
            memory.close()


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """The socket where clients come, under the name that the protocol has."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as sock:
        sock.bind(f"\0cachesvc-shared-memory-{port}")
        sock.listen()
        yield sock
