from __future__ import annotations

import pytest

from cachesvc.store import recoding
from cachesvc.store.frames import Frame
from cachesvc.store.recoding import (
    empty_frame,
    first_offset_at,
    frames_of,
    slice_frame,
    split_frame,
)
from cachesvc.store.record_schema import RECORD_SCHEMA, decode_payloads
from tests.support.frames import (
    Record,
    Reject,
    assert_contiguous,
    frame,
    full_frame,
    record,
    records,
    records_of,
)

WITH_HOLES = frame(10, 30, [record(offset) for offset in (12, 13, 20, 25)], [Reject(15)])


@pytest.mark.parametrize("begin", range(10, 30))
def test_a_slice_covers_what_was_asked_for(begin: int) -> None:
    for end in range(begin + 1, 31):
        part = slice_frame(WITH_HOLES, begin, end)
        assert_contiguous([part], begin, end)
        wanted = [row for row in records_of([WITH_HOLES]) if begin <= row.offset < end]
        assert records_of([part]) == wanted
        times = [row.timestamp_ms for row in wanted]
        assert part.min_timestamp_ms == min(times, default=0)
        assert part.max_timestamp_ms == max(times, default=0)


def test_a_slice_of_holes_is_holes() -> None:
    assert slice_frame(frame(10, 30), 12, 15) == empty_frame(12, 15)
    assert slice_frame(WITH_HOLES, 14, 20) == empty_frame(14, 20)


def test_a_slice_has_no_rejects() -> None:
    assert slice_frame(WITH_HOLES, 12, 30).reject_count == 0


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 5, 100])
def test_split_loses_nothing_and_leaves_no_seam(parts: int) -> None:
    found = split_frame(WITH_HOLES, parts)
    assert_contiguous(found, 10, 30)
    assert records_of(found) == records_of([WITH_HOLES])
    assert min(parts, 4) <= len(found) <= 4
    assert all(found_part.record_count >= 1 for found_part in found)


def test_splits_into_equal_counts() -> None:
    assert [part.record_count for part in split_frame(full_frame(0, 100), 10)] == [10] * 10
    assert [part.record_count for part in split_frame(full_frame(0, 11), 5)] == [2] * 5 + [1]


def test_frames_of_records_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoding, "FRAME_ROWS", 10)
    monkeypatch.setattr(recoding, "FRAME_VALUE_BYTES", 2_000)
    rows = [*records(0, 25), Record(30, '"' + "x" * 5_000 + '"'), *records(31, 50)]
    table = decode_payloads([frame(0, 50, rows).payload])
    found = frames_of(table.to_batches(), 0, 60)
    assert_contiguous(found, 0, 60)
    assert records_of(found) == rows
    assert max(part.record_count for part in found) <= 10
    assert [part.record_count for part in found if part.first_offset == 30] == [1]


def test_frames_of_no_records() -> None:
    assert frames_of(RECORD_SCHEMA.empty_table().to_batches(), 3, 9) == [empty_frame(3, 9)]


TIMES = [
    frame(0, 5),
    frame(5, 10, [record(5, timestamp_ms=100), record(6, timestamp_ms=90)]),
    frame(10, 20, [record(12, timestamp_ms=95), record(15, timestamp_ms=120)]),
]


@pytest.mark.parametrize(
    ("timestamp_ms", "offset"),
    [(0, 5), (90, 5), (100, 5), (101, 15), (120, 15), (121, None)],
)
def test_finds_the_first_record_not_before_a_time(timestamp_ms: int, offset: int | None) -> None:
    assert first_offset_at(TIMES, timestamp_ms) == offset


def test_finds_nothing_before_the_offset_to_look_from() -> None:
    assert first_offset_at(TIMES, 90, 6) == 6
    assert first_offset_at(TIMES, 100, 6) == 15
    assert first_offset_at(TIMES, 90, 13) == 15
    assert first_offset_at(TIMES, 90, 16) is None


def test_finds_nothing_in_nothing() -> None:
    nothing: list[Frame] = []
    assert first_offset_at(nothing, 0) is None
    assert first_offset_at([frame(0, 5)], 0) is None
