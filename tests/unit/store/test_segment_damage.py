"""A damaged segment is noticed before one wrong record is served.

Every page has a checksum, and the file's name has that of the footer. Files here are small, so that
every byte can be damaged in turn.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cachesvc.errors import DamagedFile, StoreFormatUnsupported
from cachesvc.model import Segment
from cachesvc.store import merging, parquet_file, recoding
from cachesvc.store.merging import merge_segments
from cachesvc.store.segments import read_layout, read_row_group, read_table, write_segment
from tests.support.frames import (
    Record,
    Reject,
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
    table_rejects,
)

HEADERS = (("source", b"db-1"), ("none", None))
ROWS = [
    Record(offset, f'{{"id":{offset}}}', b"k%d" % offset, 1_000 + offset, HEADERS)
    for offset in (1, 2, 4, 7, 8, 9)
]


@pytest.fixture
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 2)
    monkeypatch.setattr(recoding, "FRAME_ROWS", 2)


def as_read(store: Path, segment: Segment) -> list[tuple[int, int, list[Record]]] | None:
    """Every frame with its range and its records; None where the damage was noticed."""
    try:
        found = read_segment(store, segment)
    except (DamagedFile, StoreFormatUnsupported):
        return None
    return [(each.base_offset, each.end_offset, records_of([each])) for each in found]


@pytest.mark.usefixtures("small_row_groups")
def test_no_flipped_bit_changes_what_is_read(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 12, ROWS)])
    whole = as_read(tmp_path, segment)
    noticed = 0
    path = tmp_path / segment.path
    for position in range(segment.bytes):
        number = 8 * position + position * 5 % 8
        flip_bit(path, number)
        found = as_read(tmp_path, segment)
        flip_bit(path, number)
        assert found in (None, whole), f"bit {number}"
        noticed += found is None
    # What nobody reads, such as sizes in the headers of pages, is no reason to refuse.
    assert noticed > segment.bytes * 9 // 10
    assert as_read(tmp_path, segment) == whole


@pytest.mark.usefixtures("small_row_groups")
def test_no_cut_changes_what_is_read(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 12, ROWS)])
    for size in range(segment.bytes - 1, -1, -1):
        os.truncate(tmp_path / segment.path, size)
        with pytest.raises(DamagedFile):
            read_segment(tmp_path, segment)


def data_bytes(path: Path) -> range:
    """Positions of pages without their headers, in the column that has most of them."""
    column = pq.read_metadata(path).row_group(0).column(4)
    end: int = column.data_page_offset + column.total_compressed_size
    return range(end - column.total_compressed_size // 2, end)


def test_a_page_checksum_that_does_not_hold_is_damage(tmp_path: Path) -> None:
    segment = seal(tmp_path, [full_frame(0, 500)])
    path = tmp_path / segment.path
    layout = read_layout(path, segment)
    flip_bit(path, 8 * data_bytes(path)[0])
    with pytest.raises(DamagedFile, match="CRC checksum verification failed"):
        read_row_group(path, segment, layout, 0)
    with pytest.raises(DamagedFile):
        read_table(path)


def test_damage_in_one_row_group_leaves_the_others_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 100)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 100)
    segment = seal(tmp_path, full_frames(0, 300, 50))
    path = tmp_path / segment.path
    layout = read_layout(path, segment)
    flip_bit(path, 8 * data_bytes(path)[0])
    with pytest.raises(DamagedFile):
        read_row_group(path, segment, layout, 0)
    assert records_of(read_row_group(path, segment, layout, 1)) == records(100, 200)


def test_a_merge_does_not_carry_damage_on(tmp_path: Path) -> None:
    segments = [seal(tmp_path, [full_frame(0, 500)]), seal(tmp_path, [full_frame(500, 510)])]
    path = tmp_path / segments[0].path
    flip_bit(path, 8 * data_bytes(path)[0])
    before = set(tmp_path.rglob("*"))
    with pytest.raises(DamagedFile):
        merge_segments(tmp_path, segments, 1, 0)
    assert set(tmp_path.rglob("*")) == before


def test_a_merge_that_wrote_something_else_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [seal(tmp_path, [full_frame(0, 500)]), seal(tmp_path, [full_frame(500, 510)])]
    before = set(tmp_path.rglob("*"))

    def write_wrongly(store: Path, *arguments: Any, **named: Any) -> Segment:
        partition, covered, tables, *others = arguments
        return write_segment(
            store, partition, covered, map(_with_another_key, tables), *others, **named
        )

    monkeypatch.setattr(merging, "write_segment", write_wrongly)
    with pytest.raises(DamagedFile, match="does not hold the rows that were written"):
        merge_segments(tmp_path, sources, 1, 0)
    assert set(tmp_path.rglob("*")) == before


def _with_another_key(table: pa.Table) -> pa.Table:
    """The same rows but for one byte of the last one's key."""
    keys = table.column("key").to_pylist()
    keys[-1] = bytes([keys[-1][0] ^ 1]) + keys[-1][1:]
    at = table.schema.get_field_index("key")
    return table.set_column(at, table.schema.field(at), pa.array(keys, pa.binary()))


@pytest.mark.parametrize(
    "wrong",
    [{"record_count": 4}, {"record_count": 2}, {"end_offset": 2}, {"base_offset": 1}],
    ids=str,
)
def test_a_file_that_is_not_what_the_manifest_says_is_damage(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    segment = seal(tmp_path, [full_frame(0, 3)])
    with pytest.raises(DamagedFile):
        read_segment(tmp_path, replace(segment, **wrong))


def test_a_file_with_other_columns_is_damage(tmp_path: Path) -> None:
    segment = seal(tmp_path, [full_frame(0, 3)])
    table = pq.read_table(tmp_path / segment.path)
    path = rewritten(tmp_path / segment.path, table.drop(["headers"]))
    with pytest.raises(DamagedFile, match="the columns are not those of a segment"):
        read_layout(path, segment)


def test_a_file_of_rejects_that_is_damaged(tmp_path: Path) -> None:
    rejects = [Reject(offset, b"no json %d" % offset) for offset in range(100)]
    segment = seal(tmp_path, [frame(0, 100, rejects=rejects)])
    path = tmp_path / segment.rejects_path
    assert table_rejects(read_table(path)) == rejects
    flip_bit(path, 8 * data_bytes(path)[0])
    with pytest.raises(DamagedFile):
        read_table(path)


def test_damage_to_the_footer_is_noticed_before_anything_looks_at_it(tmp_path: Path) -> None:
    """Arrow ends the process over some kinds of damage to a footer."""
    segment = seal(tmp_path, [frame(0, 9, [record(3)], [Reject(4)])])
    for path in (tmp_path / segment.path, tmp_path / segment.rejects_path):
        size = path.stat().st_size
        footer = 8 + int.from_bytes(path.read_bytes()[-8:-4], "little")
        for number in range(8 * (size - footer), 8 * size):
            flip_bit(path, number)
            with pytest.raises(DamagedFile, match=r"checksum of the footer|end like a Parquet"):
                read_table(path)
            flip_bit(path, number)
