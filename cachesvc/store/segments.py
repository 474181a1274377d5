"""Segments: immutable Parquet files of one partition, readable by any tool.

Written once under a temporary name, made durable, then given their name; only then may a manifest
list them. Columns are those of ``record_schema``; the file's metadata says format version,
identity and coverage (docs/store-format.md).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

import pyarrow as pa

from cachesvc.errors import DamagedFile, StoreFormatUnsupported
from cachesvc.model import PartitionId, Segment
from cachesvc.store import layout
from cachesvc.store.file_store import ReadableFile
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile, read_frames
from cachesvc.store.parquet_file import open_parquet, write_parquet
from cachesvc.store.recoding import FRAME_ROWS, empty_frame, frames_of
from cachesvc.store.record_schema import (
    FORMAT_VERSION,
    RECORD_SCHEMA,
    REJECT_SCHEMA,
    decode_payloads,
)

SEAL_ZSTD_LEVEL = 1
MERGE_ZSTD_LEVEL = 13
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SegmentLayout:
    """Where the row groups of a segment begin.

    Attributes:
        first_offsets: Offset of the first record of each row group, rising.
        times: The oldest and the newest timestamp of each.
    """

    first_offsets: tuple[int, ...]
    times: tuple[tuple[int, int], ...]

    def locate(self, offset: int) -> int:
        """The row group to read for ``offset``; 0 for offsets before the first record."""
        return max(0, bisect_right(self.first_offsets, offset) - 1)


def seal_journal(
    store: Path,
    partition: PartitionId,
    journal: JournalFile,
    now_ms: int,
    *,
    backfilled: bool = False,
) -> Segment:
    """Writes the segment of a journal that takes no more appends. Blocking; bounded memory.

    The files are durable afterwards and named by nobody: list them in the manifest, or the sweep
    takes them.

    Args:
        store: The store's directory.
        partition: Whose journal it is.
        journal: Complete, with its index.
        now_ms: The present.
        backfilled: Whether its range was mined afterwards.

    Raises:
        DamagedFile: A frame of the journal fails its checksum, or does not hold what it says.
        OSError: Nothing is left behind.
    """
    index = journal.index
    segment = write_segment(
        store,
        partition,
        (index.base_offset, index.end_offset),
        (decode_frames(part, records=True) for part in _journal_frames(journal)),
        (decode_frames(part, records=False) for part in _journal_frames(journal))
        if index.reject_count
        else (),
        now_ms=now_ms,
        level=0,
        backfilled_ms=now_ms if backfilled else 0,
        mined_ms=(index.oldest_mined_ms, index.newest_mined_ms),
    )
    check_complete(store, segment, index.record_count, index.reject_count)
    return segment


def check_complete(store: Path, segment: Segment, records: int, rejects: int) -> None:
    """Takes a new segment back that has lost something.

    Raises:
        DamagedFile: It has; its files are deleted.
    """
    if (segment.record_count, segment.reject_count) == (records, rejects):
        return
    delete_files(store, segment)
    raise DamagedFile(
        f"writing {segment.partition} [{segment.base_offset}, {segment.end_offset}) gave "
        f"{segment.record_count} records and {segment.reject_count} rejects, expected {records} "
        f"and {rejects}"
    )


def read_layout(path: ReadableFile, segment: Segment) -> SegmentLayout:
    """The row groups of a segment, from its footer alone.

    Raises:
        DamagedFile: The footer is damaged, or not that of the segment.
        StoreFormatUnsupported: A newer version wrote it.
    """
    with open_parquet(path) as file:
        metadata, schema = file.metadata, file.schema_arrow
        version = int((metadata.metadata or {}).get(b"cachesvc.format_version", b"0"))
        if version > FORMAT_VERSION:
            raise StoreFormatUnsupported(f"{path} has segment format {version}")
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        firsts = tuple(group.column(0).statistics.min_raw for group in groups)
        ages = [group.column(1).statistics for group in groups]
        times = tuple((age.min_raw, age.max_raw) for age in ages)
    if not schema.equals(RECORD_SCHEMA):
        raise DamagedFile(f"{path}: the columns are not those of a segment")
    records = sum(group.num_rows for group in groups)
    if records != segment.record_count:
        raise DamagedFile(f"{path}: holds {records} records, not {segment.record_count}")
    bounds = (segment.base_offset - 1, *firsts, segment.end_offset)
    if any(before >= after for before, after in pairwise(bounds)):
        raise DamagedFile(f"{path}: row groups begin at {firsts}, which does not rise")
    return SegmentLayout(firsts, times)


def read_row_group(
    path: ReadableFile, segment: Segment, segment_layout: SegmentLayout, number: int
) -> list[Frame]:
    """One row group as frames that continue each other without a seam. Blocking.

    The first frame of the segment begins at its base offset, the last ends at its end offset.

    Raises:
        DamagedFile: A page fails its checksum, cannot be read, or is not what the footer says.
    """
    if not segment_layout.first_offsets:
        return [empty_frame(segment.base_offset, segment.end_offset)]
    begin, end = group_range(segment, segment_layout, number)
    return frames_of(_group_batches(path, segment_layout, number, end), begin, end)


def group_range(segment: Segment, segment_layout: SegmentLayout, number: int) -> tuple[int, int]:
    """What a row group covers: together they cover the segment without a seam."""
    firsts = segment_layout.first_offsets
    begin = segment.base_offset if number == 0 else firsts[number]
    end = segment.end_offset if number + 1 == len(firsts) else firsts[number + 1]
    return begin, end


def read_records(
    path: ReadableFile, segment: Segment, segment_layout: SegmentLayout, number: int
) -> pa.Table:
    """The records of one row group. Blocking.

    Raises:
        DamagedFile: A page fails its checksum, cannot be read, or is not what the footer says.
    """
    _, end = group_range(segment, segment_layout, number)
    batches = list(_group_batches(path, segment_layout, number, end))
    return pa.Table.from_batches(batches, RECORD_SCHEMA)


def _group_batches(
    path: ReadableFile, segment_layout: SegmentLayout, number: int, end: int
) -> Iterator[pa.RecordBatch]:
    """The records of a row group, piece by piece: a whole one leaves the processor's caches."""
    first, rows, last = segment_layout.first_offsets[number], 0, -1
    with open_parquet(path) as file:
        expected = file.metadata.row_group(number).num_rows
        for batch in file.iter_batches(FRAME_ROWS, row_groups=[number], use_threads=False):
            batch.validate()
            offsets = batch.column(0)
            begin, last = offsets[0].as_py(), offsets[-1].as_py()
            if (rows == 0 and begin != first) or last >= end:
                raise DamagedFile(f"{path}: row group {number} is not [{first}, {end})")
            rows += batch.num_rows
            yield batch.cast(RECORD_SCHEMA)  # without metadata, parts of lists named as there
    if rows != expected:  # headers of pages have no checksum, and Arrow takes their word
        raise DamagedFile(f"{path}: row group {number} has {rows} rows instead of {expected}")


def read_columns(
    path: ReadableFile, segment_layout: SegmentLayout, number: int, columns: Sequence[str]
) -> pa.Table:
    """Some columns of one row group, without what is in others being read. Blocking.

    Raises:
        DamagedFile: A page of them fails its checksum, or cannot be read.
    """
    with open_parquet(path) as file:
        table = file.read_row_group(number, columns=[*columns, "offset"], use_threads=False)
        if table.column("offset")[0].as_py() != segment_layout.first_offsets[number]:
            raise DamagedFile(f"{path}: row group {number} begins elsewhere than its layout says")
        return table


def read_table(path: ReadableFile) -> pa.Table:
    """A whole file of the store. Blocking; for small ones.

    Raises:
        DamagedFile: A page fails its checksum, or cannot be read.
    """
    with open_parquet(path) as file:
        return file.read(use_threads=False)


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


def decode_frames(frames: list[Frame], *, records: bool) -> pa.Table:
    """The records of frames as one table, or else what was turned away of them."""
    if records:
        payloads = [frame.payload for frame in frames if frame.record_count]
        return decode_payloads(payloads, RECORD_SCHEMA)
    return decode_payloads([frame.rejects for frame in frames if frame.reject_count], REJECT_SCHEMA)


def write_segment(
    store: Path,
    partition: PartitionId,
    covered: tuple[int, int],
    records: Iterable[pa.Table],
    rejects: Iterable[pa.Table],
    *,
    now_ms: int,
    level: int,
    backfilled_ms: int,
    mined_ms: tuple[int, int],
) -> Segment:
    """Writes the files of a segment, durable and named by nobody. Blocking.

    Args:
        store: The store's directory.
        partition: Whose segment it is.
        covered: Its range.
        records: In offset order.
        rejects: Likewise; without any there is no file of them.
        now_ms: The present.
        level: 0 for what a journal had, greater for what was merged.
        backfilled_ms: When its range was mined afterwards; 0 if it was not.
        mined_ms: When the oldest and the newest of it was mined.

    Raises:
        OSError: Nothing is left behind.
    """
    base, end = covered
    oldest_ms, newest_ms = mined_ms
    metadata = {
        **file_identity(partition, covered),
        "cachesvc.oldest_mined_ms": str(oldest_ms),
        "cachesvc.newest_mined_ms": str(newest_ms),
    }
    zstd_level = SEAL_ZSTD_LEVEL if level == 0 else MERGE_ZSTD_LEVEL
    stem = layout.new_file_stem(base, end)
    directory = layout.segment_directory(partition)
    written = write_parquet(store / directory, stem, RECORD_SCHEMA, records, metadata, zstd_level)
    path = directory / written.name
    rejects_directory = layout.rejects_directory(partition)
    try:
        rejected = write_parquet(
            store / rejects_directory,
            stem,
            REJECT_SCHEMA,
            rejects,
            metadata,
            zstd_level,
            keep_empty=False,
        )
    except BaseException:
        (store / path).unlink()
        raise
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
        rejects_path=(rejects_directory / rejected.name).as_posix() if rejected.rows else "",
        backfilled_ms=backfilled_ms,
        oldest_mined_ms=oldest_ms,
        newest_mined_ms=newest_ms,
        rejects_bytes=rejected.bytes if rejected.rows else 0,
    )


def file_identity(partition: PartitionId, covered: tuple[int, int]) -> dict[str, str]:
    """What each Parquet file of records says of itself: format, whose, and its range."""
    base, end = covered
    return {
        "cachesvc.format_version": str(FORMAT_VERSION),
        "cachesvc.connection": partition.connection,
        "cachesvc.topic": partition.topic,
        "cachesvc.incarnation": str(partition.incarnation),
        "cachesvc.partition": str(partition.partition),
        "cachesvc.base_offset": str(base),
        "cachesvc.end_offset": str(end),
    }


def data_paths(segment: Segment) -> list[PurePosixPath]:
    """All files of a segment, relative to the store."""
    paths = [PurePosixPath(segment.path)]
    return [*paths, PurePosixPath(segment.rejects_path)] if segment.rejects_path else paths


def delete_files(store: Path, segment: Segment) -> None:
    """Deletes the files of a segment that nobody names. Blocking."""
    for path in data_paths(segment):
        (store / path).unlink()
