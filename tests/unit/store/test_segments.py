"""From a journal to Parquet and back to frames."""

from __future__ import annotations

import random
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cachesvc.errors import DamagedFile, StoreFormatUnsupported
from cachesvc.store import parquet_file, recoding, segments
from cachesvc.store.frames import Frame
from cachesvc.store.record_schema import RECORD_SCHEMA, REJECT_SCHEMA
from cachesvc.store.segments import data_paths, read_layout, read_row_group, read_table
from tests.support.frames import (
    NOW_MS,
    ORDERS,
    Record,
    Reject,
    assert_contiguous,
    flip_bit,
    frame,
    full_frame,
    full_frames,
    read_segment,
    record,
    records,
    records_of,
    rewritten,
    seal,
    table_records,
    table_rejects,
    write_journal,
)

EVERY_KIND = [
    Record(0, "{}", None, 1, None, 0),
    Record(2, None, b"tombstone", 2, (("trace", b"\x00\xff"),), 1),
    Record(3, "", b"", 3, (), 0),
    Record(
        4, '{"ü":"\\u0000 日本語 🎉"}', b"\xff\xfe", -1, (("a", None), ("a", b""), ("", b"x")), 0
    ),
    Record(5, '{"big":"' + "x" * (1 << 20) + '"}', b"big", 5, None, 0),
    Record(6, "{}", b"k", 253_402_300_800_000, None, 0),  # a millisecond behind the year 9999
    Record(7, "{}", b"k", 1_700_000_000_000_000, None, 0),  # microseconds by mistake
    Record(9, "{}", b"k", 2**63 - 1, None, 1),
    Record(10, "{}", b"k", -(2**63), None, 1),
]


def test_what_is_sealed_comes_back(tmp_path: Path) -> None:
    frames = [
        frame(0, 3, EVERY_KIND[:2]),
        frame(3, 8, EVERY_KIND[2:7]),
        frame(8, 12, EVERY_KIND[7:]),
    ]
    segment = seal(tmp_path, frames)
    found = read_segment(tmp_path, segment)
    assert_contiguous(found, 0, 12)
    assert records_of(found) == EVERY_KIND
    assert table_records(read_table(tmp_path / segment.path)) == EVERY_KIND


@pytest.mark.parametrize("each", EVERY_KIND, ids=lambda each: str(each.offset))
def test_a_segment_of_one_record(tmp_path: Path, each: Record) -> None:
    segment = seal(tmp_path, [frame(each.offset, each.offset + 1, [each])])
    assert records_of(read_segment(tmp_path, segment)) == [each]
    assert (segment.min_timestamp_ms, segment.max_timestamp_ms) == (each.timestamp_ms,) * 2


def test_says_what_it_holds(tmp_path: Path) -> None:
    frames = [
        frame(5, 9, [record(6, timestamp_ms=70), record(7, timestamp_ms=60)], [Reject(8)]),
        frame(9, 20, [record(12, timestamp_ms=65)]),
    ]
    segment = seal(tmp_path, frames, now_ms=99)
    assert (segment.partition, segment.base_offset, segment.end_offset) == (ORDERS, 5, 20)
    assert (segment.record_count, segment.reject_count, segment.level) == (3, 1, 0)
    assert (segment.min_timestamp_ms, segment.max_timestamp_ms) == (60, 70)
    assert segment.created_ms == 99
    assert segment.bytes == (tmp_path / segment.path).stat().st_size


def test_times_before_1970_stay_so(tmp_path: Path) -> None:
    """Kafka's oldest record format has no timestamps and tells -1."""
    segment = seal(
        tmp_path, [frame(0, 2, [record(0, timestamp_ms=-1), record(1, timestamp_ms=-1)])]
    )
    assert (segment.min_timestamp_ms, segment.max_timestamp_ms) == (-1, -1)


def test_a_segment_that_holds_only_holes(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(5, 9), frame(9, 20)])
    assert (segment.record_count, segment.min_timestamp_ms, segment.max_timestamp_ms) == (0, 0, 0)
    assert data_paths(segment) == [PurePosixPath(segment.path)]
    assert read_segment(tmp_path, segment) == [frame(5, 20)]
    assert pq.read_table(tmp_path / segment.path).schema.equals(RECORD_SCHEMA)


def test_a_segment_that_holds_only_rejects(tmp_path: Path) -> None:
    rejects = [Reject(5), Reject(7, None, "NOT_AN_OBJECT", "", b"k", 3, (("h", None),), 1)]
    segment = seal(tmp_path, [frame(5, 6, rejects=rejects[:1]), frame(6, 9, rejects=rejects[1:])])
    assert (segment.record_count, segment.reject_count) == (0, 2)
    assert read_segment(tmp_path, segment) == [frame(5, 9)]
    assert data_paths(segment) == [
        PurePosixPath(segment.path),
        PurePosixPath(segment.rejects_path),
    ]
    assert table_rejects(read_table(tmp_path / segment.rejects_path)) == rejects


def test_without_rejects_there_is_no_file_of_rejects(tmp_path: Path) -> None:
    segment = seal(tmp_path, [full_frame(0, 3)])
    assert segment.rejects_path == ""
    assert not (tmp_path / "rejects").exists()


def small_row_groups(monkeypatch: pytest.MonkeyPatch, rows: int = 10, frame_rows: int = 4) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", rows)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", frame_rows)
    monkeypatch.setattr(recoding, "FRAME_ROWS", frame_rows)


def test_row_groups_continue_each_other_over_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_row_groups(monkeypatch)
    chance = random.Random(1)
    rows: list[Record] = []
    frames: list[Frame] = []
    base = 100
    for _ in range(40):
        end = base + chance.randint(1, 9)
        part = [record(offset) for offset in range(base, end) if chance.random() < 0.6]
        rejects = [Reject(end - 1)] if part and part[-1].offset < end - 1 else []
        frames.append(frame(base, end, part, rejects))
        rows += part
        base = end
    segment = seal(tmp_path, frames)
    found = read_segment(tmp_path, segment)
    assert_contiguous(found, 100, base)
    assert records_of(found) == rows
    layout = read_layout(tmp_path / segment.path, segment)
    assert len(layout.first_offsets) > 5
    assert max(each.record_count for each in found) <= 4
    metadata = pq.read_metadata(tmp_path / segment.path)
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert sum(sizes) == len(rows)
    assert max(sizes) <= 10


def test_locates_the_row_group_of_every_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_row_groups(monkeypatch)
    rows = [record(offset) for offset in range(5, 95, 3)]
    segment = seal(tmp_path, [frame(0, 100, rows)])
    path = tmp_path / segment.path
    layout = read_layout(path, segment)
    for offset in range(100):
        frames = read_row_group(path, segment, layout, layout.locate(offset))
        assert frames[0].base_offset <= offset < frames[-1].end_offset


def test_large_values_make_small_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_VALUE_BYTES", 10_000)
    monkeypatch.setattr(recoding, "FRAME_VALUE_BYTES", 3_000)
    sizes = [100, 100, 9_000, 20_000, 100, 4_000, 4_000, 100, 100]
    rows = [Record(offset, '"' + "x" * size + '"') for offset, size in enumerate(sizes)]
    segment = seal(tmp_path, [frame(0, 9, rows)])
    metadata = pq.read_metadata(tmp_path / segment.path)
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert groups == [3, 1, 5]
    found = read_segment(tmp_path, segment)
    assert_contiguous(found, 0, 9)
    assert records_of(found) == rows
    decoded = [sum(len(row.value or "") for row in records_of([each])) for each in found]
    assert all(
        size <= 3_000 or each.record_count == 1 for size, each in zip(decoded, found, strict=True)
    )


def test_seals_a_journal_of_many_chunks_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cachesvc.store.journal.CHUNK_BYTES", 2_000)
    monkeypatch.setattr(segments, "_READ_BYTES", 5_000)
    frames = full_frames(0, 300, 7)
    segment = seal(tmp_path, frames)
    assert records_of(read_segment(tmp_path, segment)) == records(0, 300)


def test_the_file_tells_its_identity_and_coverage(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(5, 20, [record(7)], [Reject(9)])])
    for path in data_paths(segment):
        metadata = pq.read_metadata(tmp_path / path).metadata
        assert {key: value for key, value in metadata.items() if key.startswith(b"cachesvc.")} == {
            b"cachesvc.format_version": b"1",
            b"cachesvc.connection": b"main",
            b"cachesvc.topic": b"orders",
            b"cachesvc.incarnation": b"1",
            b"cachesvc.partition": b"0",
            b"cachesvc.base_offset": b"5",
            b"cachesvc.end_offset": b"20",
            b"cachesvc.oldest_mined_ms": str(NOW_MS).encode(),
            b"cachesvc.newest_mined_ms": str(NOW_MS).encode(),
        }
    assert pq.read_schema(tmp_path / segment.rejects_path).equals(REJECT_SCHEMA)


def test_nothing_is_left_under_a_temporary_name(tmp_path: Path) -> None:
    seal(tmp_path, [frame(5, 20, [record(7)], [Reject(9)])])
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_damaged_journal_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "j.journal"
    journal = write_journal(path, full_frames(0, 30, 10))
    flip_bit(path, 8 * (path.stat().st_size - 1))
    with pytest.raises(DamagedFile):
        segments.seal_journal(tmp_path, ORDERS, journal, NOW_MS)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize("payload", [b"no arrow at all", b"\xff\xff\xff\xff\x10\0\0\0", b"\0" * 8])
def test_a_payload_that_is_no_record_batch_is_damage(tmp_path: Path, payload: bytes) -> None:
    bad = Frame(0, 3, 0, NOW_MS, NOW_MS, 3, 0, payload)
    with pytest.raises(DamagedFile):
        seal(tmp_path, [bad])


def test_a_frame_that_holds_fewer_records_than_it_says_is_damage(tmp_path: Path) -> None:
    whole = full_frame(0, 3)
    bad = Frame(0, 9, 0, whole.min_timestamp_ms, whole.max_timestamp_ms, 4, 0, whole.payload)
    with pytest.raises(DamagedFile, match="gave 3 records and 0 rejects, expected 4 and 0"):
        seal(tmp_path, [bad])
    assert not list(tmp_path.rglob("*.parquet"))


def test_refuses_a_segment_of_a_newer_format(tmp_path: Path) -> None:
    segment = seal(tmp_path, [full_frame(0, 3)])
    schema = RECORD_SCHEMA.with_metadata({"cachesvc.format_version": "2"})
    path = rewritten(tmp_path / segment.path, schema.empty_table())
    with pytest.raises(StoreFormatUnsupported, match="segment format 2"):
        read_layout(path, segment)


def test_a_segment_that_is_gone_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    segment = seal(tmp_path, [full_frame(0, 3)])
    layout = read_layout(tmp_path / segment.path, segment)
    (tmp_path / segment.path).unlink()
    with pytest.raises(FileNotFoundError):
        read_layout(tmp_path / segment.path, segment)
    with pytest.raises(FileNotFoundError):
        read_row_group(tmp_path / segment.path, segment, layout, 0)


def test_any_parquet_reader_can_read_it(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 20, EVERY_KIND[:4])])
    table = pq.read_table(tmp_path / segment.path)
    assert table.schema.equals(RECORD_SCHEMA)
    assert table.column("value").to_pylist() == [row.value for row in EVERY_KIND[:4]]
    assert pa.types.is_timestamp(table.schema.field("timestamp").type)
