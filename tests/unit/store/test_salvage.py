"""What is whole of a damaged segment stays, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from cachesvc.model import Segment
from cachesvc.policy.coverage import Coverage, OffsetRange
from cachesvc.store import parquet_file, recoding
from cachesvc.store.salvage import damage_of, salvage_segment, seal_again
from cachesvc.store.segments import read_table
from tests.support.frames import (
    Record,
    Reject,
    flip_bit,
    frame,
    read_segment,
    record,
    records_of,
    seal,
    table_rejects,
    write_journal,
)

ROWS = [record(offset, f'{{"id":{offset}}}') for offset in (1, 2, 4, 7, 8, 9, 12, 13, 15, 16)]
REJECTS = [Reject(offset, b"x", "NOT_JSON", "no") for offset in (3, 11)]
NOW_MS = 99


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 4)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 2)
    monkeypatch.setattr(recoding, "FRAME_ROWS", 2)


def of(store: Path, segments: tuple[Segment, ...]) -> list[Record]:
    return [each for segment in segments for each in records_of(read_segment(store, segment))]


def check_salvaged(store: Path, segment: Segment) -> str:
    """Holds what is kept, and what is missing, against each other; the damage."""
    found = salvage_segment(store, segment, NOW_MS)
    assert bool(found.damage) is (found.segments != (segment,))
    assert bool(found.damage) is bool(damage_of(store, segment))
    kept = Coverage.of(OffsetRange(each.base_offset, each.end_offset) for each in found.segments)
    missing = Coverage.of(found.missing(segment))
    for offset in range(segment.base_offset, segment.end_offset):
        assert (offset in kept) is not (offset in missing)
    assert of(store, found.segments) == [row for row in ROWS if row.offset in kept]
    if not found.rejects_lost:
        rejects = [
            reject
            for each in found.segments
            if each.rejects_path
            for reject in table_rejects(read_table(store / each.rejects_path))
        ]
        assert [each.offset for each in rejects] == [o for o in (3, 11) if o in kept]
    return found.damage


def test_whatever_bit_is_flipped(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 20, ROWS, REJECTS)])
    assert not check_salvaged(tmp_path, segment)
    damaged = 0
    for name in (segment.path, segment.rejects_path):
        path = tmp_path / name
        for position in range(0, path.stat().st_size, 29):
            number = 8 * position + position % 8
            flip_bit(path, number)
            damaged += bool(check_salvaged(tmp_path, segment))
            flip_bit(path, number)
    assert damaged > 100


def test_wherever_it_is_cut(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 20, ROWS, REJECTS)])
    path = tmp_path / segment.path
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        assert check_salvaged(tmp_path, segment)


def test_a_segment_whose_rejects_are_damaged_keeps_its_records(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 20, ROWS, REJECTS)])
    (tmp_path / segment.rejects_path).unlink()
    found = salvage_segment(tmp_path, segment, NOW_MS)
    assert found.rejects_lost == len(REJECTS)
    assert not found.missing(segment)
    assert of(tmp_path, found.segments) == ROWS


def test_a_segment_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    segment = seal(tmp_path, [frame(0, 20, ROWS)])
    (tmp_path / segment.path).unlink()
    found = salvage_segment(tmp_path, segment, NOW_MS)
    assert found.segments == ()
    assert found.missing(segment) == (OffsetRange(0, 20),)


def test_its_journal_makes_a_segment_whole_again(tmp_path: Path) -> None:
    frames = [frame(0, 20, ROWS, REJECTS)]
    segment = seal(tmp_path, frames)
    journal = write_journal(tmp_path / "0.journal", frames, segment.partition).path
    again = seal_again(tmp_path, segment, journal, NOW_MS)
    assert again is not None
    assert of(tmp_path, (again,)) == ROWS
    assert (again.oldest_mined_ms, again.level) == (segment.oldest_mined_ms, segment.level)
    flip_bit(journal, journal.stat().st_size * 8 - 9)
    assert seal_again(tmp_path, segment, journal, NOW_MS) is None
    assert seal_again(tmp_path, segment, tmp_path / "none", NOW_MS) is None
