"""Frames and the records in them, written down and read back by tests."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from crc32c import crc32c

from cachesvc.model import PartitionId, Segment
from cachesvc.store import layout
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile
from cachesvc.store.record_schema import (
    RECORD_SCHEMA,
    REJECT_SCHEMA,
    decode_payloads,
    encode_payload,
)
from cachesvc.store.row_group_file import read_plans, read_row_group_file
from cachesvc.store.segments import group_range, read_layout, read_row_group, seal_journal

ORDERS = PartitionId("main", "orders", 1, 0)
NOW_MS = 1_700_000_000_000

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the store keeps it.

    Attributes:
        value: JSON text; None for a tombstone.
        headers: None for a record without any, which is not the same as an empty list.
        timestamp_type: 0 when the producer set the timestamp, 1 when the broker did.
    """

    offset: int
    value: str | None = "{}"
    key: bytes | None = None
    timestamp_ms: int = NOW_MS
    headers: Headers | None = None
    timestamp_type: int = 0


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that the JSON rule turned away, as the store keeps it."""

    offset: int
    value: bytes | None = b"no json"
    reason: str = "MALFORMED_JSON"
    detail: str = "line 1"
    key: bytes | None = None
    timestamp_ms: int = NOW_MS
    headers: Headers | None = None
    timestamp_type: int = 0


def record(offset: int, value: str | None = "", timestamp_ms: int | None = None) -> Record:
    """A record that tells its offset in its value, a millisecond younger than its predecessor."""
    text = f'{{"id":{offset}}}' if value == "" else value
    made_ms = NOW_MS + offset if timestamp_ms is None else timestamp_ms
    return Record(offset, text, f"k{offset % 5}".encode(), made_ms)


def records(begin: int, end: int) -> list[Record]:
    """One record for each offset of ``[begin, end)``."""
    return [record(offset) for offset in range(begin, end)]


def frame(
    base: int, end: int, rows: Sequence[Record] = (), rejects: Sequence[Reject] = ()
) -> Frame:
    """A frame of ``[base, end)`` with these records and rejects; other offsets are holes."""
    times = [row.timestamp_ms for row in rows]
    return Frame(
        base,
        end,
        rows[0].offset if rows else end,
        min(times, default=0),
        max(times, default=0),
        len(rows),
        len(rejects),
        encode_payload(record_batch(rows)) if rows else b"",
        encode_payload(reject_batch(rejects)) if rejects else b"",
    )


def full_frame(base: int, end: int) -> Frame:
    """A frame with a record at each offset of ``[base, end)``."""
    return frame(base, end, records(base, end))


def full_frames(begin: int, end: int, size: int) -> list[Frame]:
    """Frames of ``size`` records each that continue each other over ``[begin, end)``."""
    return [full_frame(base, min(base + size, end)) for base in range(begin, end, size)]


def record_batch(rows: Sequence[Record]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            *_leading_columns(rows),
            pa.array([row.value for row in rows], pa.string()),
            _headers(rows),
        ],
        schema=RECORD_SCHEMA,
    )


def reject_batch(rows: Sequence[Reject]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            *_leading_columns(rows),
            pa.array([row.value for row in rows], pa.binary()),
            _headers(rows),
            pa.array([row.reason for row in rows], pa.string()),
            pa.array([row.detail for row in rows], pa.string()),
        ],
        schema=REJECT_SCHEMA,
    )


def records_of(frames: Iterable[Frame]) -> list[Record]:
    """The records of frames, in their order."""
    payloads = [each.payload for each in frames if each.record_count]
    return table_records(decode_payloads(payloads)) if payloads else []


def rejects_of(frames: Iterable[Frame]) -> list[Reject]:
    """The rejects of frames, in their order."""
    payloads = [each.rejects for each in frames if each.reject_count]
    return table_rejects(decode_payloads(payloads, REJECT_SCHEMA)) if payloads else []


def table_records(table: pa.Table) -> list[Record]:
    return [
        Record(
            row["offset"],
            row["value"],
            row["key"],
            row["timestamp"],
            _header_pairs(row["headers"]),
            row["timestamp_type"],
        )
        for row in _rows(table)
    ]


def table_rejects(table: pa.Table) -> list[Reject]:
    return [
        Reject(
            row["offset"],
            row["value"],
            row["reason"],
            row["detail"],
            row["key"],
            row["timestamp"],
            _header_pairs(row["headers"]),
            row["timestamp_type"],
        )
        for row in _rows(table)
    ]


def write_journal(
    path: Path, frames: Iterable[Frame], partition: PartitionId = ORDERS, base: int | None = None
) -> JournalFile:
    """A journal, open for appends, that holds these frames."""
    listed = list(frames)
    begin = base if base is not None else listed[0].base_offset if listed else 0
    journal = JournalFile.create(path, partition, begin, NOW_MS)
    journal.append(listed)
    for each in listed:
        journal.publish(each)
    return journal


def seal(
    store: Path, frames: Sequence[Frame], partition: PartitionId = ORDERS, now_ms: int = NOW_MS
) -> Segment:
    """A segment with the records of these frames, its journal beside it."""
    path = store / layout.journal_path(partition, frames[0].base_offset)
    with closing(write_journal(path, frames, partition)) as journal:
        return seal_journal(store, partition, journal, now_ms)


def read_segment(store: Path, segment: Segment) -> list[Frame]:
    """All frames of a segment, row group by row group."""
    path = store / segment.path
    found = read_layout(path, segment)
    return [
        each
        for number in range(max(1, len(found.first_offsets)))
        for each in read_row_group(path, segment, found, number)
    ]


def rewritten(path: Path, table: pa.Table) -> Path:
    """A Parquet file with another content at the place of one, its checksum right."""
    stem, _, _ = path.stem.rpartition("-")
    path.unlink()
    pq.write_table(table, path)
    size = path.stat().st_size
    data = path.read_bytes()
    footer = data[size - 8 - int.from_bytes(data[-8:-4], "little") :]
    return path.rename(path.with_name(layout.data_file_name(stem, crc32c(footer))))


def flip_bit(path: Path, number: int) -> None:
    """Damages a file in place; done twice it is as before."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        byte = os.pread(descriptor, 1, number // 8)[0] ^ 1 << number % 8
        os.pwrite(descriptor, bytes([byte]), number // 8)
    finally:
        os.close(descriptor)


def set_journal_version(path: Path, version: int) -> None:
    """Makes a journal of another format version, as whoever writes such ones would."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 8, version)
    end = 16 + struct.unpack_from("<I", data, 12)[0]
    struct.pack_into("<I", data, end, crc32c(bytes(data[:end])))
    path.write_bytes(data)


def row_group_files(store: Path, segment: Segment) -> list[Frame]:
    """The row groups of a segment, each as a frame whose payload is a Parquet file."""
    path, layout = store / segment.path, read_layout(store / segment.path, segment)
    return [
        read_row_group_file(path, plan, group_range(segment, layout, number), first, times)
        for number, (plan, first, times) in enumerate(
            zip(read_plans(path), layout.first_offsets, layout.times, strict=True)
        )
    ]


def assert_contiguous(frames: Sequence[Frame], begin: int, end: int) -> None:
    """Fails unless frames continue each other without a seam and cover exactly the range."""
    assert [each.base_offset for each in frames] == [
        begin,
        *(each.end_offset for each in frames[:-1]),
    ]
    assert frames[-1].end_offset == end
    for each in frames:
        offsets = [row.offset for row in records_of([each])]
        assert offsets == sorted(set(offsets))
        assert all(each.base_offset <= offset < each.end_offset for offset in offsets)
        assert each.record_count == len(offsets)
        assert each.first_offset == (offsets[0] if offsets else each.end_offset)


def _leading_columns(rows: Sequence[Record] | Sequence[Reject]) -> list[pa.Array]:
    return [
        pa.array([row.offset for row in rows], pa.int64()),
        pa.array([row.timestamp_ms for row in rows], pa.int64()).view(
            RECORD_SCHEMA.field("timestamp").type
        ),
        pa.array([row.timestamp_type for row in rows], pa.int8()),
        pa.array([row.key for row in rows], pa.binary()),
    ]


def _headers(rows: Sequence[Record] | Sequence[Reject]) -> pa.Array:
    listed = [
        None
        if row.headers is None
        else [{"key": key, "value": value} for key, value in row.headers]
        for row in rows
    ]
    return pa.array(listed, RECORD_SCHEMA.field("headers").type)


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    column = table.schema.get_field_index("timestamp")
    times = table.column("timestamp").cast(pa.int64())
    rows: list[dict[str, Any]] = table.set_column(column, "timestamp", times).to_pylist()
    return rows


def _header_pairs(headers: Iterable[dict[str, Any]] | None) -> Headers | None:
    return None if headers is None else tuple((each["key"], each["value"]) for each in headers)
