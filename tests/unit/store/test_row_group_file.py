"""Row groups as Parquet files of their own: the same rows, and no damage that gets through."""

from __future__ import annotations

import io
import os
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cachesvc.errors import DamagedFile
from cachesvc.store import parquet_file
from cachesvc.store.frames import Frame
from cachesvc.store.merging import merge_segments
from cachesvc.store.record_schema import RECORD_SCHEMA
from cachesvc.store.row_group_file import read_plans, read_row_group_file
from cachesvc.store.segments import group_range, read_layout, read_records
from tests.support.frames import Record, flip_bit, frame, full_frames, record, row_group_files, seal
from tests.unit.store.test_segments import EVERY_KIND


@pytest.fixture(autouse=True)
def _small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 2)


def table_of(file: Frame) -> pa.Table:
    source = pa.BufferReader(file.payload)
    return pq.ParquetFile(source, page_checksum_verification=True).read().cast(RECORD_SCHEMA)


@pytest.mark.parametrize("merged", [False, True])
def test_has_the_rows_of_its_row_group(tmp_path: Path, merged: bool) -> None:
    segment = seal(tmp_path, [frame(0, 3, EVERY_KIND[:2]), frame(3, 20, EVERY_KIND[2:])])
    if merged:
        segment = merge_segments(tmp_path, [segment, seal(tmp_path, full_frames(20, 30, 4))], 1, 0)
    path, layout = tmp_path / segment.path, read_layout(tmp_path / segment.path, segment)
    files = row_group_files(tmp_path, segment)
    assert len(files) == len(layout.first_offsets) > 2
    at = segment.base_offset
    for number, file in enumerate(files):
        rows = read_records(path, segment, layout, number)
        assert table_of(file).equals(rows)
        assert (file.base_offset, file.record_count) == (at, rows.num_rows)
        assert file.first_offset == rows.column("offset")[0].as_py()
        times = rows.column("timestamp").cast(pa.int64()).to_pylist()
        assert (file.min_timestamp_ms, file.max_timestamp_ms) == (min(times), max(times))
        at = file.end_offset
    assert at == segment.end_offset


def test_is_a_file_for_everybody(tmp_path: Path) -> None:
    rows = [record(offset) for offset in range(11)]
    segment = seal(tmp_path, [frame(0, 11, rows)])
    for number, file in enumerate(row_group_files(tmp_path, segment)):
        data, path = bytes(file.payload), tmp_path / f"{number}.parquet"
        path.write_bytes(data)
        expected = [row.offset for row in rows[4 * number : 4 * number + 4]]
        assert pd.read_parquet(io.BytesIO(data))["offset"].tolist() == expected
        assert pl.read_parquet(data)["offset"].to_list() == expected
        with duckdb.connect() as connection:
            found = connection.execute('select "offset" from read_parquet(?)', [str(path)])
            assert [offset for (offset,) in found.fetchall()] == expected


def test_says_how_large_it_will_be(tmp_path: Path) -> None:
    segment = seal(tmp_path, full_frames(0, 30, 4))
    plans = read_plans(tmp_path / segment.path)
    assert [plan.file_bytes for plan in plans] == [
        len(file.payload) for file in row_group_files(tmp_path, segment)
    ]


def test_files_of_versions_before_are_read_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With texts in PLAIN, and several pages in a column of a row group."""
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 4_000)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 4_000)
    monkeypatch.setattr(
        parquet_file,
        "_ENCODINGS",
        {"offset": "DELTA_BINARY_PACKED", "timestamp": "DELTA_BINARY_PACKED"},
    )
    real = pq.ParquetWriter
    monkeypatch.setattr(
        pq, "ParquetWriter", lambda *a, **k: real(*a, **(k | {"data_page_size": 1_000}))
    )
    rows = [Record(n, f'{{"n":{n}}}', b"k%d" % n, n, None, n % 2) for n in range(5_000)]
    segment = seal(tmp_path, [frame(0, 5_000, rows)])
    tables = [table_of(file) for file in row_group_files(tmp_path, segment)]
    assert [table.num_rows for table in tables] == [4_000, 1_000]
    assert pa.concat_tables(tables).column("value").to_pylist() == [row.value for row in rows]
    found = pq.read_metadata(tmp_path / segment.path).row_group(0).column(4)
    assert "PLAIN" in found.encodings


def test_no_flipped_bit_gets_through(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 3, EVERY_KIND[:3]), frame(6, 12, EVERY_KIND[5:])])
    path = tmp_path / segment.path
    layout, plans = read_layout(path, segment), read_plans(path)
    for number, plan in enumerate(plans):
        place = group_range(segment, layout, number), layout.first_offsets[number]
        whole = table_of(read_row_group_file(path, plan, *place, layout.times[number]))
        noticed = 0
        for bit in range(8 * plan.begin, 8 * (plan.begin + plan.size)):
            flip_bit(path, bit)
            try:
                found = read_row_group_file(path, plan, *place, layout.times[number])
            except DamagedFile:
                noticed += 1
            else:
                assert table_of(found).equals(whole), f"bit {bit}"
            finally:
                flip_bit(path, bit)
        assert noticed > 6 * plan.size, "but for statistics in headers of pages"


def test_a_file_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    segment = seal(tmp_path, full_frames(0, 30, 4))
    path = tmp_path / segment.path
    layout, plans = read_layout(path, segment), read_plans(path)
    os.truncate(path, plans[-1].begin + plans[-1].size - 1)
    covered = group_range(segment, layout, len(plans) - 1)
    with pytest.raises(DamagedFile, match="cut off"):
        read_row_group_file(path, plans[-1], covered, 0, (0, 0))
    with pytest.raises(DamagedFile):
        read_plans(path)
