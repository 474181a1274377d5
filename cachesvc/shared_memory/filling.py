"""Records into shared memory: decoded once, for all who read them there."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from cachesvc.errors import DamagedFile
from cachesvc.shared_memory.blocks import Block, Blocks
from cachesvc.store.recoding import FRAME_ROWS
from cachesvc.store.record_schema import (
    DECODING_ERRORS,
    END_OF_STREAM,
    RECORD_SCHEMA,
    RECORD_SCHEMA_MESSAGE,
)

_GROWTH = 2
"""Records take at least so many times as much as they do as they are kept, nearly always."""
PARTS = 2
"""One piece, and all that one neighbour holds when it is handed another, have at most the budget
divided by this."""
_WRITE_OPTIONS = ipc.IpcWriteOptions(use_threads=False)


class Payload(NamedTuple):
    """Records as they are kept.

    Attributes:
        data: An encapsulated record batch message, or a Parquet file.
        is_file: Whether it is the latter.
    """

    data: bytes | memoryview
    is_file: bool


class Filled(NamedTuple):
    """A block, held once, and how much of it was filled."""

    block: Block
    length: int


def fill(
    blocks: Blocks,
    owner: Hashable,
    payloads: Sequence[Payload],
    content: Hashable,
    *,
    keep: bool,
) -> Filled | None:
    """Writes records into a block, as an uncompressed Arrow IPC stream. Blocking.

    Args:
        blocks: Where to take it from; ``owner`` and ``keep`` are for ``Blocks.take``.
        owner: Whose records these are.
        payloads: They, at least one.
        content: What the block then holds.
        keep: Whether what other blocks hold is wanted.

    Returns:
        The block; None where there is no room, or they are more than one piece may have: what
        compresses well can be hundreds of times as much once it is decoded.

    Raises:
        DamagedFile: They do not decode.
        OSError: The system gives no memory.
    """
    kept_bytes = sum(len(payload.data) for payload in payloads)
    if not blocks.has_room(owner, _GROWTH * kept_bytes):
        return None  # decoding would be for nothing
    batches = []
    length = len(RECORD_SCHEMA_MESSAGE) + len(END_OF_STREAM)
    for batch in (batch for payload in payloads for batch in _decoded(payload)):
        batches.append(batch)
        length += ipc.get_record_batch_size(batch)
        if length > blocks.bytes_max // PARTS:
            return None
    block = blocks.take(owner, length, keep=keep)
    if block is None:
        return None
    try:
        _write(block, batches)
    except BaseException:
        blocks.let_go(block, retire=True)
        raise
    blocks.filled(block, content)
    return Filled(block, length)


def _write(block: Block, batches: Iterable[pa.RecordBatch]) -> None:
    with (
        pa.FixedSizeBufferWriter(pa.py_buffer(block.memory)) as sink,
        ipc.new_stream(sink, RECORD_SCHEMA, options=_WRITE_OPTIONS) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def _decoded(payload: Payload) -> Iterator[pa.RecordBatch]:
    try:
        if payload.is_file:
            yield from _rows_of(payload.data)
        else:
            yield ipc.read_record_batch(pa.py_buffer(payload.data), RECORD_SCHEMA)
    except (*DECODING_ERRORS, EOFError) as error:
        raise DamagedFile(f"a payload cannot be decoded: {error}") from error


def _rows_of(data: bytes | memoryview) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, whose checksums were looked at when it was read."""
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        rows = 0
        for decoded in file.iter_batches(
            FRAME_ROWS, columns=RECORD_SCHEMA.names, use_threads=False
        ):
            decoded.validate()
            rows += decoded.num_rows
            yield decoded.cast(RECORD_SCHEMA)
        if rows != file.metadata.num_rows:
            raise DamagedFile(f"a row group has {rows} rows of {file.metadata.num_rows}")
