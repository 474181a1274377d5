"""Parquet files of a store: written once, durable before they are named, checked when read."""

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from crc32c import crc32c

from cachesvc.errors import DamagedFile
from cachesvc.store import layout
from cachesvc.store.file_store import ReadableFile
from cachesvc.store.journal import sync_directory
from cachesvc.store.recoding import FRAME_ROWS, pieces_of
from cachesvc.store.record_schema import DECODING_ERRORS

ROW_GROUP_ROWS = 24_576
ROW_GROUP_VALUE_BYTES = 16 << 20
_TAIL = struct.Struct("<I4s")
_MAGIC = b"PAR1"
# Lengths apart from texts compress better; keys often begin like the one before (docs/findings.md).
_ENCODINGS = {
    "offset": "DELTA_BINARY_PACKED",
    "timestamp": "DELTA_BINARY_PACKED",
    "key": "DELTA_BYTE_ARRAY",
    "value": "DELTA_LENGTH_BYTE_ARRAY",
}


@dataclass(slots=True)
class Written:
    """What a new file holds; times as in ``Segment``. Without rows there may be no file."""

    name: str = ""
    rows: int = 0
    bytes: int = 0
    min_timestamp_ms: int = 0
    max_timestamp_ms: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        times = pc.min_max(batch.column(1).cast(pa.int64()))
        low, high = times["min"].as_py(), times["max"].as_py()
        self.min_timestamp_ms = min(low, self.min_timestamp_ms) if self.rows else low
        self.max_timestamp_ms = max(high, self.max_timestamp_ms) if self.rows else high
        self.rows += batch.num_rows


def write_parquet(
    directory: Path,
    stem: str,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    metadata: dict[str, str],
    zstd_level: int,
    *,
    keep_empty: bool = True,
) -> Written:
    """Writes, makes durable and names a Parquet file; with ``keep_empty`` also one without rows.

    Where it fails nothing stays behind, so that trying again on a full disk takes no more of it.
    """
    path = directory / (stem + layout.TEMPORARY_SUFFIX)
    try:
        written = _write_rows(path, schema, tables, metadata, zstd_level, keep_empty=keep_empty)
        if written.bytes:
            written.name = layout.data_file_name(stem, crc32c(_read_footer(path)))
            path = path.rename(directory / written.name)
            sync_directory(directory)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return written


def _read_footer(path: ReadableFile) -> bytes:
    """The footer's bytes: metadata, its length, magic. They end the file.

    Raises:
        DamagedFile: The file does not end like a Parquet file.
    """
    with path.open("rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL.size))
        tail = file.read(_TAIL.size) or b""
        length, magic = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, b"")
        begin = size - _TAIL.size - length
        if magic != _MAGIC or begin < len(_MAGIC):
            raise DamagedFile(f"{path} does not end like a Parquet file")
        file.seek(begin)
        return file.read(size - begin) or b""


def read_checked_footer(path: ReadableFile) -> bytes:
    """The same, if it is what was written.

    Raises:
        DamagedFile: Its checksum does not hold.
        OSError: The system does not let it be read; FileNotFoundError where it is gone.
    """
    footer = _read_footer(path)
    if crc32c(footer) != layout.footer_checksum(path.name):
        raise DamagedFile(f"{path}: the checksum of the footer does not hold")
    return footer


def _write_rows(
    path: Path,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    metadata: dict[str, str],
    zstd_level: int,
    *,
    keep_empty: bool,
) -> Written:
    written = Written()
    writer = None
    try:
        for batch in _regroup(tables, schema):
            writer = writer or _open_writer(path, schema, metadata, zstd_level)
            writer.write_batch(batch, row_group_size=ROW_GROUP_ROWS)
            written.add(batch)
        if writer is None and keep_empty:
            writer = _open_writer(path, schema, metadata, zstd_level)
    finally:
        if writer is not None:
            writer.close()
    if writer is not None:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            written.bytes = file.seek(0, os.SEEK_END)
    return written


@contextmanager
def open_parquet(path: ReadableFile) -> Iterator[pq.ParquetFile]:
    """A Parquet file to read from, with its checksums verified. Blocking.

    Of a remote file, a row group is read in one go.

    Pages are verified as they are read. The footer is verified before anything looks at it: Arrow
    ends the process over some kinds of damage to it.

    Raises:
        DamagedFile: The footer's checksum does not hold, or what is read within the context makes
            no sense.
        OSError: The system does not let it be read; FileNotFoundError where it is gone.
    """
    try:
        read_checked_footer(path)
        local = isinstance(path, Path)
        source = path if local else path.open("rb", buffering=0)
        with pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=not local) as file:
            yield file
    except DECODING_ERRORS as error:
        if isinstance(error, OSError) and error.errno:  # Arrow's own for bad bytes have none
            raise
        raise DamagedFile(f"{path}: {error}") from error


def _open_writer(
    path: Path, schema: pa.Schema, metadata: dict[str, str], zstd_level: int
) -> pq.ParquetWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    return pq.ParquetWriter(
        path,
        schema.with_metadata(metadata),
        compression="zstd",
        compression_level=zstd_level,
        use_dictionary=["timestamp_type", *(["reason"] if "reason" in schema.names else [])],
        column_encoding=_ENCODINGS,
        write_statistics=["offset", "timestamp"],
        write_page_checksum=True,
        data_page_size=2 * ROW_GROUP_VALUE_BYTES,  # one page: zstd sees all of it
        max_rows_per_page=ROW_GROUP_ROWS,
        store_schema=True,
    )


def _regroup(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that each make one row group."""
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for table in tables:
        for batch in table.cast(schema).to_batches():
            for piece in pieces_of(batch, FRAME_ROWS, ROW_GROUP_VALUE_BYTES):
                full = (
                    rows + piece.num_rows > ROW_GROUP_ROWS
                    or size + piece.nbytes > ROW_GROUP_VALUE_BYTES
                )
                if pending and full:
                    yield _combine(pending)
                    pending, rows, size = [], 0, 0
                pending.append(piece)
                rows += piece.num_rows
                size += piece.nbytes
    if rows:
        yield _combine(pending)


def _combine(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
