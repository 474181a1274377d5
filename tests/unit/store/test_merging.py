from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cachesvc.errors import DamagedFile
from cachesvc.store import parquet_file
from cachesvc.store.merging import merge_segments
from cachesvc.store.segments import read_table
from tests.support.frames import (
    ORDERS,
    Reject,
    assert_contiguous,
    frame,
    full_frame,
    full_frames,
    read_segment,
    record,
    records,
    records_of,
    seal,
    table_rejects,
)


def test_a_merge_loses_nothing(tmp_path: Path) -> None:
    segments = [
        seal(tmp_path, [full_frame(10, 30)]),
        seal(tmp_path, [frame(30, 50, [record(35)], [Reject(31), Reject(49)])]),
        seal(tmp_path, [frame(50, 60)]),
        seal(tmp_path, [frame(60, 70, rejects=[Reject(65)])]),
        seal(tmp_path, full_frames(70, 90, 7)),
    ]
    merged = merge_segments(tmp_path, segments, 3, 77)
    found = read_segment(tmp_path, merged)
    assert_contiguous(found, 10, 90)
    assert records_of(found) == [*records(10, 30), record(35), *records(70, 90)]
    rejects = table_rejects(read_table(tmp_path / merged.rejects_path))
    assert [reject.offset for reject in rejects] == [31, 49, 65]
    assert (merged.partition, merged.base_offset, merged.end_offset) == (ORDERS, 10, 90)
    assert (merged.record_count, merged.reject_count) == (41, 3)
    assert (merged.level, merged.created_ms) == (3, 77)
    assert merged.min_timestamp_ms == segments[0].min_timestamp_ms
    assert merged.max_timestamp_ms == segments[-1].max_timestamp_ms
    assert merged.bytes == (tmp_path / merged.path).stat().st_size


def test_a_merge_fills_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 100)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 10)
    segments = [seal(tmp_path, [full_frame(base, base + 10)]) for base in range(0, 250, 10)]
    merged = merge_segments(tmp_path, segments, 1, 0)
    path = tmp_path / merged.path
    with parquet_file.open_parquet(path) as file:
        sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sizes == [100, 100, 50]
    assert records_of(read_segment(tmp_path, merged)) == records(0, 250)


def test_merges_of_merges(tmp_path: Path) -> None:
    first = [seal(tmp_path, [full_frame(base, base + 5)]) for base in range(0, 20, 5)]
    second = [merge_segments(tmp_path, first[n : n + 2], 1, 0) for n in (0, 2)]
    merged = merge_segments(tmp_path, second, 2, 0)
    assert records_of(read_segment(tmp_path, merged)) == records(0, 20)


def test_a_merge_never_touches_its_sources(tmp_path: Path) -> None:
    segments = [seal(tmp_path, [full_frame(0, 5)]), seal(tmp_path, [full_frame(5, 9)])]
    before = [(tmp_path / segment.path).read_bytes() for segment in segments]
    merged = merge_segments(tmp_path, segments, 1, 0)
    assert merged.path not in [segment.path for segment in segments]
    assert [(tmp_path / segment.path).read_bytes() for segment in segments] == before


def test_a_merge_without_records(tmp_path: Path) -> None:
    segments = [seal(tmp_path, [frame(0, 5)]), seal(tmp_path, [frame(5, 9)])]
    merged = merge_segments(tmp_path, segments, 1, 0)
    assert (merged.record_count, merged.min_timestamp_ms, merged.max_timestamp_ms) == (0, 0, 0)
    assert read_segment(tmp_path, merged) == [frame(0, 9)]


@pytest.mark.parametrize("lost", ["record_count", "reject_count"])
def test_a_merge_that_would_lose_something_is_taken_back(tmp_path: Path, lost: str) -> None:
    segments = [
        seal(tmp_path, [frame(0, 5, [record(1)], [Reject(2)])]),
        seal(tmp_path, [full_frame(5, 9)]),
    ]
    claim: dict[str, Any] = {lost: 2}
    wrong = [replace(segments[0], **claim), segments[1]]
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DamagedFile, match="gave 5 records and 1 rejects, expected"):
        merge_segments(tmp_path, wrong, 1, 0)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("directory", ["log", "rejects"])
def test_a_disk_that_is_full_keeps_nothing_of_a_merge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    segments = [
        seal(tmp_path, [frame(0, 5, [record(1)], [Reject(2)])]),
        seal(tmp_path, [full_frame(5, 9)]),
    ]
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    failing, real = tmp_path / directory, os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").resolve().is_relative_to(failing):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        merge_segments(tmp_path, segments, 1, 0)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
