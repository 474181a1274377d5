"""Segments: immutable Parquet files of one partition, readable by any tool.

Written once under a temporary name, made durable, then given their name; only then may a manifest
list them. Columns are those of ``record_schema``; the file's metadata says format version,
identity and coverage (docs/store-format.md).
"""

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cachesvc.errors import DamagedFile, StoreFormatUnsupported
from cachesvc.model import PartitionId, Segment
from cachesvc.store import layout
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile, read_frames, sync_directory
from cachesvc.store.record_schema import (
    FORMAT_VERSION,
    RECORD_SCHEMA,
    REJECT_SCHEMA,
    decode_payloads,
    encode_payload,
)

ROW_GROUP_ROWS = 16_384
ROW_GROUP_VALUE_BYTES = 16 << 20
FRAME_ROWS = 4_096
FRAME_VALUE_BYTES = 4 << 20
SEAL_ZSTD_LEVEL = 1
MERGE_ZSTD_LEVEL = 9
_DELTA = "DELTA_BINARY_PACKED"
_READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class SegmentLayout:
    """Where the row groups of a segment begin.

    Attributes:
        first_offsets: Offset of the first record of each row group, rising.
        max_timestamps_ms: Largest timestamp of each row group.
    """

    first_offsets: tuple[int, ...]
    max_timestamps_ms: tuple[int, ...]

    def locate(self, offset: int) -> int:
        """The row group to read for ``offset``; 0 for offsets before the first record."""
        return max(0, bisect_right(self.first_offsets, offset) - 1)


def seal_journal(store: Path, partition: PartitionId, journal: JournalFile, now_ms: int) -> Segment:
    """Writes the segment of a journal that takes no more appends. Blocking; bounded memory.

    The files are durable afterwards and named by nobody: list them in the manifest, or the sweep
    takes them.

    Raises:
        DamagedFile: A frame of the journal fails its checksum.
        OSError: Nothing is left behind but a temporary file.
    """
    index = journal.index
    return _write_segment(
        store,
        partition,
        (index.base_offset, index.end_offset),
        (_decode(part, records=True) for part in _journal_frames(journal)),
        (_decode(part, records=False) for part in _journal_frames(journal))
        if index.reject_count
        else (),
        now_ms=now_ms,
        level=0,
    )


def merge_segments(store: Path, segments: list[Segment], level: int, now_ms: int) -> Segment:
    """Writes one segment with the records of adjacent ones. Blocking; memory bounded by row groups.

    Raises:
        DamagedFile: A source does not hold the records that the manifest says.
    """
    partition = segments[0].partition
    merged = _write_segment(
        store,
        partition,
        (segments[0].base_offset, segments[-1].end_offset),
        (table for segment in segments for table in _row_groups(store / segment.path)),
        (
            table
            for segment in segments
            if segment.rejects_path
            for table in _row_groups(store / segment.rejects_path)
        ),
        now_ms=now_ms,
        level=level,
    )
    expected = sum(segment.record_count for segment in segments)
    if merged.record_count != expected:
        (store / merged.path).unlink()
        raise DamagedFile(
            f"merging {partition} [{merged.base_offset}, {merged.end_offset}) gave "
            f"{merged.record_count} records, the manifest says {expected}"
        )
    return merged


def read_layout(path: Path) -> SegmentLayout:
    """The row groups of a segment, from its footer alone.

    Raises:
        DamagedFile: The footer cannot be read.
        StoreFormatUnsupported: A newer version wrote it.
    """
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DamagedFile(f"{path}: {error}") from error
    version = int((metadata.metadata or {}).get(b"cachesvc.format_version", b"0"))
    if version > FORMAT_VERSION:
        raise StoreFormatUnsupported(f"{path} has segment format {version}")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    offsets = tuple(group.column(0).statistics.min for group in groups)
    times = tuple(_milliseconds(group.column(1).statistics.max) for group in groups)
    return SegmentLayout(offsets, times)


def read_row_group(
    path: Path, segment: Segment, segment_layout: SegmentLayout, number: int
) -> list[Frame]:
    """One row group as frames that continue each other without a seam. Blocking.

    The first frame of the segment begins at its base offset, the last ends at its end offset.

    Raises:
        DamagedFile: A page fails its checksum, or cannot be read.
    """
    if not segment_layout.first_offsets:
        return [empty_frame(segment.base_offset, segment.end_offset)]
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read_row_group(number, use_threads=False)
    except pa.ArrowInvalid as error:
        raise DamagedFile(f"{path}: row group {number}: {error}") from error
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise DamagedFile(f"{path}: row group {number}: {error}") from error
    firsts = segment_layout.first_offsets
    begin = segment.base_offset if number == 0 else firsts[number]
    end = segment.end_offset if number + 1 == len(firsts) else firsts[number + 1]
    return frames_of(table, begin, end)


def read_table(path: Path) -> pa.Table:
    """A whole file of the store. Blocking; for small ones.

    Raises:
        DamagedFile: A page fails its checksum, or cannot be read.
    """
    return pa.concat_tables(_row_groups(path))


def empty_frame(base_offset: int, end_offset: int) -> Frame:
    """A frame that covers a range without records."""
    return Frame(base_offset, end_offset, end_offset, 0, 0, 0, 0, b"")


def frames_of(table: pa.Table, base_offset: int, end_offset: int) -> list[Frame]:
    """Records as frames of bounded size that together cover ``[base_offset, end_offset)``."""
    if not table.num_rows:
        return [empty_frame(base_offset, end_offset)]
    batch = table.cast(RECORD_SCHEMA).combine_chunks().to_batches()[0]
    return _encode_all(list(_pieces(batch, FRAME_ROWS, FRAME_VALUE_BYTES)), base_offset, end_offset)


def slice_frame(frame: Frame, begin: int, end: int) -> Frame:
    """The part of a frame that covers ``[begin, end)``; both lie within the frame. Blocking."""
    if not frame.record_count:
        return empty_frame(begin, end)
    table = decode_payloads([frame.payload])
    offsets = table.column("offset")
    mask = pc.and_(pc.greater_equal(offsets, begin), pc.less(offsets, end))
    rows = table.filter(mask)
    if not rows.num_rows:
        return empty_frame(begin, end)
    return _encode(rows.combine_chunks().to_batches()[0], begin, end)


def split_frame(frame: Frame, parts: int) -> list[Frame]:
    """A frame as about ``parts`` frames of equal record counts, at least one each. Blocking."""
    batch = decode_payloads([frame.payload]).combine_chunks().to_batches()[0]
    rows = max(1, batch.num_rows // parts)
    pieces = [batch.slice(begin, rows) for begin in range(0, batch.num_rows, rows)]
    return _encode_all(pieces, frame.base_offset, frame.end_offset)


def first_offset_at(frames: Iterable[Frame], timestamp_ms: int) -> int | None:
    """The first record's offset whose timestamp is not before ``timestamp_ms``. Blocking."""
    for frame in frames:
        if frame.record_count and frame.max_timestamp_ms >= timestamp_ms:
            table = decode_payloads([frame.payload])
            times = table.column("timestamp").cast(pa.int64())
            rows = table.filter(pc.greater_equal(times, timestamp_ms))
            return int(rows.column("offset")[0].as_py())
    return None


def _encode_all(pieces: list[pa.RecordBatch], begin: int, end: int) -> list[Frame]:
    """Adjacent pieces as frames that continue each other and together cover ``[begin, end)``."""
    begins = [begin, *(piece.column(0)[0].as_py() for piece in pieces[1:])]
    return [
        _encode(piece, first, last)
        for piece, first, last in zip(pieces, begins, [*begins[1:], end], strict=True)
    ]


def _encode(batch: pa.RecordBatch, begin: int, end: int) -> Frame:
    times = pc.min_max(batch.column(1).cast(pa.int64()))
    return Frame(
        begin,
        end,
        batch.column(0)[0].as_py(),
        times["min"].as_py(),
        times["max"].as_py(),
        batch.num_rows,
        0,
        encode_payload(batch),
    )


def _pieces(batch: pa.RecordBatch, rows_max: int, bytes_max: int) -> Iterator[pa.RecordBatch]:
    """Slices of bounded rows and value bytes; a single larger record comes alone."""
    if batch.num_rows <= 1 or (batch.num_rows <= rows_max and batch.nbytes <= bytes_max):
        yield batch
        return
    if batch.num_rows > rows_max:
        for begin in range(0, batch.num_rows, rows_max):
            yield from _pieces(batch.slice(begin, rows_max), rows_max, bytes_max)
        return
    half = batch.num_rows // 2
    yield from _pieces(batch.slice(0, half), rows_max, bytes_max)
    yield from _pieces(batch.slice(half), rows_max, bytes_max)


def _journal_frames(journal: JournalFile) -> Iterator[list[Frame]]:
    index = journal.index
    number, count = 0, len(index.chunks)
    while number < count:
        begin, end = index.extent(number)
        while end - begin < _READ_BYTES and number + 1 < count:
            number += 1
            end = index.extent(number)[1]
        yield read_frames(journal.path, begin, end)
        number += 1


def _decode(frames: list[Frame], *, records: bool) -> pa.Table:
    if records:
        payloads = [frame.payload for frame in frames if frame.record_count]
        return decode_payloads(payloads, RECORD_SCHEMA)
    return decode_payloads([frame.rejects for frame in frames if frame.reject_count], REJECT_SCHEMA)


def _row_groups(path: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, use_threads=False)
    except pa.ArrowInvalid as error:
        raise DamagedFile(f"{path}: {error}") from error


def _write_segment(
    store: Path,
    partition: PartitionId,
    covered: tuple[int, int],
    records: Iterable[pa.Table],
    rejects: Iterable[pa.Table],
    *,
    now_ms: int,
    level: int,
) -> Segment:
    base, end = covered
    metadata = {
        "cachesvc.format_version": str(FORMAT_VERSION),
        "cachesvc.connection": partition.connection,
        "cachesvc.topic": partition.topic,
        "cachesvc.incarnation": str(partition.incarnation),
        "cachesvc.partition": str(partition.partition),
        "cachesvc.base_offset": str(base),
        "cachesvc.end_offset": str(end),
    }
    zstd_level = SEAL_ZSTD_LEVEL if level == 0 else MERGE_ZSTD_LEVEL
    path = layout.new_segment_path(partition, base, end)
    written = _write_parquet(store / path, RECORD_SCHEMA, records, metadata, zstd_level)
    rejects_path = layout.new_rejects_path(partition, base, end)
    rejected = _write_parquet(
        store / rejects_path, REJECT_SCHEMA, rejects, metadata, zstd_level, keep_empty=False
    )
    return Segment(
        partition=partition,
        base_offset=base,
        end_offset=end,
        record_count=written.rows,
        bytes=written.bytes,
        min_timestamp_ms=written.min_timestamp_ms,
        max_timestamp_ms=written.max_timestamp_ms,
        created_ms=now_ms,
        level=level,
        path=path.as_posix(),
        reject_count=rejected.rows,
        rejects_path=rejects_path.as_posix() if rejected.rows else "",
    )


@dataclass(slots=True)
class _Written:
    rows: int = 0
    bytes: int = 0
    min_timestamp_ms: int = 0
    max_timestamp_ms: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        times = pc.min_max(batch.column(1).cast(pa.int64()))
        low, high = times["min"].as_py(), times["max"].as_py()
        self.min_timestamp_ms = min(low, self.min_timestamp_ms) if self.rows else low
        self.max_timestamp_ms = max(high, self.max_timestamp_ms)
        self.rows += batch.num_rows


def _write_parquet(
    path: Path,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    metadata: dict[str, str],
    zstd_level: int,
    *,
    keep_empty: bool = True,
) -> _Written:
    """Writes, makes durable and names a Parquet file; with ``keep_empty`` also one without rows."""
    written = _Written()
    temporary = path.with_name(path.name + layout.TEMPORARY_SUFFIX)
    writer = None
    try:
        for batch in _regroup(tables, schema):
            writer = writer or _open_writer(temporary, schema, metadata, zstd_level)
            writer.write_batch(batch, row_group_size=ROW_GROUP_ROWS)
            written.add(batch)
        if writer is None and keep_empty:
            writer = _open_writer(temporary, schema, metadata, zstd_level)
    finally:
        if writer is not None:
            writer.close()
    if writer is not None:
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
            written.bytes = file.seek(0, os.SEEK_END)
        temporary.rename(path)
        sync_directory(path.parent)
    return written


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
        column_encoding={"offset": _DELTA, "timestamp": _DELTA},
        write_statistics=["offset", "timestamp"],
        write_page_checksum=True,
        data_page_size=4 << 20,
        store_schema=True,
    )


def _regroup(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that each make one row group."""
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for table in tables:
        for batch in table.cast(schema).to_batches():
            for piece in _pieces(batch, FRAME_ROWS, ROW_GROUP_VALUE_BYTES):
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


def _milliseconds(value: object) -> int:
    """A timestamp statistic as milliseconds since the epoch."""
    return int(pa.scalar(value, pa.timestamp("ms", tz="UTC")).cast(pa.int64()).as_py())


def data_paths(segment: Segment) -> list[PurePosixPath]:
    """All files of a segment, relative to the store."""
    paths = [PurePosixPath(segment.path)]
    return [*paths, PurePosixPath(segment.rejects_path)] if segment.rejects_path else paths
