"""What the service and the process of a query say to each other, over two pipes.

Each message is a kind, a length and a body. The process gets a ``Query``, says which logs that
names, gets a ``View`` of them, and answers with columns, rows and an end, or with a failure at any
point. Its input stays open for as long as the service wants the answer.
"""

import struct
from typing import BinaryIO

import msgspec
from msgspec import Struct

from cachesvc.bounds import Bounds

HEADER = struct.Struct("<cI")
BODY_BYTES_MAX = 256 << 20

QUERY = b"Q"
NAMED = b"N"
VIEW = b"V"
COLUMNS = b"C"
ROWS = b"R"
DONE = b"D"
FAILED = b"F"


class Query(Struct, frozen=True):
    """What a process is to answer.

    Attributes:
        sql: One SELECT statement.
        explain: Whether to run it for its plan, which is then the answer.
        directory: Holds what it may read, and its temporary files.
        bounds: What it may take.
    """

    sql: str
    explain: bool
    directory: str
    bounds: Bounds


class NamedLog(Struct, frozen=True, order=True):
    """A log as a query names it: ``log('orders', connection := 'main')``.

    Attributes:
        topic: The first argument.
        connection: The other one; empty where it is left out.
        typed: Whether it is ``log_table``.
        snapshot: Whether it is ``snapshot``.
    """

    topic: str
    connection: str
    typed: bool
    snapshot: bool = False


class JournalPart(Struct, frozen=True):
    """The frames of a journal as it was when the view was taken.

    Attributes:
        path: A hard link to it.
        incarnation: Of its topic.
        partition: Its number.
        pieces: Bytes of the file, ``[begin, end)`` each, whole frames.
    """

    path: str
    incarnation: int
    partition: int
    pieces: list[tuple[int, int]]


class Cut(Struct, frozen=True):
    """Where a partition's log begins within its first segment."""

    incarnation: int
    partition: int
    begin: int


class SnapshotEnd(Struct, frozen=True):
    """The position that the snapshot of a partition stands for."""

    incarnation: int
    partition: int
    end: int


class LogView(Struct, frozen=True):
    """What a named log is, or the snapshots of a topic.

    Attributes:
        named: As the query names it.
        connection: Whose topic it is.
        segments: The directory of its Parquet files; empty without any.
        journals: What is not in them yet.
        cuts: What of them is not in the log any more.
        structure: The types of the values' fields, for ``log_table``, as JSON for ``from_json``.
        ends: Of snapshots.
    """

    named: NamedLog
    connection: str
    segments: str
    journals: list[JournalPart]
    cuts: list[Cut]
    structure: str
    ends: list[SnapshotEnd] = []


class Column(Struct, frozen=True):
    """A column of the answer, with DuckDB's name of its type."""

    name: str
    type: str


class Done(Struct, frozen=True):
    """The end of an answer."""

    rows: int


class Failure(Struct, frozen=True):
    """Why there is no answer, or no more of it; see docs/errors.md for the reason."""

    reason: str
    message: str


def encode(kind: bytes, body: bytes | memoryview) -> list[bytes | memoryview]:
    """A message as buffers to write one after the other."""
    return [HEADER.pack(kind, len(body)), body]


def pack(kind: bytes, content: object) -> bytes:
    """A message whose body is a struct, or a list of them."""
    return b"".join(encode(kind, msgspec.msgpack.encode(content)))


def read_message(file: BinaryIO, expected: bytes) -> bytes:
    """The body of the next message. Blocking.

    Raises:
        EOFError: The other side is gone.
    """
    kind, size = HEADER.unpack(_read_exactly(file, HEADER.size))
    assert kind == expected, (kind, expected)
    return _read_exactly(file, size)


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data
