"""Where an offset lies, how much is behind it, and when it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cachesvc.errors import DataLoss
from cachesvc.log.estimates import bytes_behind, first_candidate, newest_timestamp_ms, timestamp_at
from cachesvc.log.locations import InJournal, InMemory, InSegment, JournalEntry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile, JournalIndex
from tests.support.frames import NOW_MS, ORDERS, frame, full_frame, full_frames, record


def segment(base: int, end: int, size: int = 1_000) -> Segment:
    return Segment(
        ORDERS, base, end, end - base, size, NOW_MS + base, NOW_MS + end - 1, 0, 0, f"{base}-{end}"
    )


def entry(frames: Sequence[Frame], *, sealed: bool = False, known: bool = True) -> JournalEntry:
    index = JournalIndex(frames[0].base_offset, frames[0].base_offset, 100)
    for each in frames:
        index.add(each)
    return JournalEntry(
        Path(f"{frames[0].base_offset}.journal"),
        index.base_offset,
        index.end_offset,
        index.file_bytes,
        NOW_MS,
        index if known else None,
        None,
        sealed,
    )


def log_of(
    segments: Sequence[Segment], journals: Sequence[JournalEntry], recent: Sequence[Frame] = ()
) -> PartitionLog:
    """A log whose parts lie one behind the other."""
    log = PartitionLog(ORDERS, segments[0].base_offset if segments else journals[0].base_offset)
    log.segments = list(segments)
    log.journals = list(journals)
    for each in recent:
        log.recent.add(each)
    ends = [part.end_offset for part in segments]
    ends += [part.end_offset for part in journals]
    ends += [part.end_offset for part in recent]
    log.log_end_offset = log.accepted_end_offset = max(ends)
    return log


def test_locates_an_offset_in_the_fastest_place_that_has_it() -> None:
    warm = entry([full_frame(10, 20)], sealed=True)
    open_ = entry(full_frames(20, 40, 5))
    recent = full_frames(30, 40, 5)
    log = log_of([segment(0, 10), segment(10, 20)], [warm, open_], recent)
    assert log.locate(0) == log.locate(9) == InSegment(log.segments[0])
    assert log.locate(10) == log.locate(19) == InJournal(warm)
    assert log.locate(20) == log.locate(29) == InJournal(open_)
    assert log.locate(30) == log.locate(34) == InMemory(recent)
    assert log.locate(35) == log.locate(39) == InMemory(recent[1:])
    assert log.locate(40) is log.locate(1_000) is None


def test_goes_to_the_segment_where_no_journal_is_left() -> None:
    log = log_of([segment(0, 10), segment(10, 20)], [entry([full_frame(0, 10)], sealed=True)])
    assert isinstance(log.locate(5), InJournal)
    assert log.locate(15) == InSegment(log.segments[1])


def test_what_lies_before_the_log_start_is_lost_by_name() -> None:
    log = log_of([segment(0, 10)], [entry([full_frame(10, 20)])])
    log.advance_start(10)
    with pytest.raises(DataLoss, match=r"offsets \[3, 10\) are no longer cached") as caught:
        log.locate(3)
    assert caught.value.reason == "CACHE_RETENTION"
    assert caught.value.metadata == {
        "topic": "orders",
        "partition": "0",
        "begin_offset": "3",
        "end_offset": "10",
    }


def test_retention_hides_what_is_still_in_memory() -> None:
    log = log_of([segment(0, 10)], [entry([full_frame(10, 20)])], [full_frame(0, 10)])
    log.advance_start(10)
    with pytest.raises(DataLoss):
        log.locate(3)


def test_the_log_start_never_moves_back() -> None:
    log = log_of([segment(0, 10)], [])
    log.advance_start(10)
    log.advance_start(5)
    assert log.log_start_offset == 10


def test_a_hole_in_the_store_is_never_passed_in_silence() -> None:
    log = log_of([segment(0, 10), segment(15, 20)], [entry([full_frame(20, 30)])])
    with pytest.raises(DataLoss, match="no file of the store covers offset 12"):
        log.locate(12)


def test_an_empty_log_may_begin_anywhere() -> None:
    log = PartitionLog(ORDERS, 0)
    assert log.empty
    log.begin_at(500)
    assert (log.log_start_offset, log.log_end_offset, log.accepted_end_offset) == (500,) * 3
    assert log.locate(500) is None
    assert not log_of([], [entry([full_frame(0, 10)])]).empty
    assert not log_of([segment(0, 10)], []).empty


def test_bytes_behind_are_those_of_the_files_behind() -> None:
    open_ = entry([full_frame(20, 40)])
    log = log_of([segment(0, 10, 1_000), segment(10, 20, 3_000)], [open_])
    assert bytes_behind(log, 40) == 0
    assert bytes_behind(log, 20) == open_.bytes
    assert bytes_behind(log, 10) == 3_000 + open_.bytes
    assert bytes_behind(log, 15) == 1_500 + open_.bytes
    assert bytes_behind(log, 0) == 4_000 + open_.bytes


def test_bytes_behind_count_a_range_once_where_two_files_have_it() -> None:
    warm = entry([full_frame(10, 20)], sealed=True)
    log = log_of([segment(0, 10, 1_000), segment(10, 20, 3_000)], [warm])
    assert bytes_behind(log, 10) == warm.bytes
    assert bytes_behind(log, 0) == 1_000 + warm.bytes


def test_bytes_behind_never_rise_with_the_offset() -> None:
    unknown = entry([full_frame(10, 20)], sealed=True, known=False)
    log = log_of(
        [segment(0, 10, 999), segment(10, 20, 777)], [unknown, entry(full_frames(20, 60, 3))]
    )
    behind = [bytes_behind(log, offset) for offset in range(61)]
    assert behind == sorted(behind, reverse=True)
    assert behind[-1] == 0


def test_tells_about_when_a_record_was_made() -> None:
    frames = full_frames(30, 40, 5)
    log = log_of([segment(0, 10), segment(10, 20)], [entry(full_frames(20, 40, 5))], frames[1:])
    assert timestamp_at(log, 0) == timestamp_at(log, 9) == NOW_MS
    assert timestamp_at(log, 10) == NOW_MS + 10
    assert timestamp_at(log, 22) == NOW_MS + 20  # the chunk's begin
    assert timestamp_at(log, 37) == NOW_MS + 35
    assert timestamp_at(log, 40) is None
    assert newest_timestamp_ms(log) == NOW_MS + 39


def test_nobody_knows_when_an_empty_log_was_written() -> None:
    log = PartitionLog(ORDERS, 7)
    assert timestamp_at(log, 7) is None
    assert newest_timestamp_ms(log) is None


def test_nobody_knows_when_records_without_timestamps_were_made() -> None:
    untimed = [record(offset, timestamp_ms=-1) for offset in range(10)]
    frames = [frame(0, 10, untimed)]
    for log in (
        log_of([], [entry(frames)], frames),
        log_of([], [entry(frames)]),
        log_of([replace(segment(0, 10), min_timestamp_ms=-1, max_timestamp_ms=-1)], []),
    ):
        assert timestamp_at(log, 3) is None
        assert newest_timestamp_ms(log) is None


def test_the_newest_time_comes_from_wherever_there_is_one() -> None:
    assert newest_timestamp_ms(log_of([segment(0, 10)], [])) == NOW_MS + 9
    assert newest_timestamp_ms(log_of([], [entry([full_frame(0, 10)])])) == NOW_MS + 9
    unknown = entry([full_frame(0, 10)], sealed=True, known=False)
    assert newest_timestamp_ms(log_of([segment(0, 10)], [unknown])) == NOW_MS + 9


def test_looks_for_a_time_in_the_first_file_that_may_have_it() -> None:
    log = log_of([segment(0, 10), segment(10, 20)], [entry(full_frames(20, 40, 5))])
    assert first_candidate(log, 0) == 0
    assert first_candidate(log, NOW_MS + 9) == 0
    assert first_candidate(log, NOW_MS + 10) == 10
    assert first_candidate(log, NOW_MS + 25) == 20
    assert first_candidate(log, NOW_MS + 40) == 40
    log.advance_start(10)
    assert first_candidate(log, 0) == 10


def test_follows_a_change_of_the_manifest() -> None:
    log = log_of([segment(0, 10), segment(10, 20), segment(20, 30)], [])
    merged = replace(segment(0, 20), path="merged")
    log.install(log.segments[:2], [merged])
    assert [part.path for part in log.segments] == ["merged", "20-30"]
    assert log.sealed_end_offset == 30


def test_tells_listeners_until_they_leave() -> None:
    log = PartitionLog(ORDERS, 0)
    told: list[str] = []

    def listener() -> None:
        told.append("again")

    log.subscribe(listener)
    log.subscribe(listener)
    log.notify()
    log.unsubscribe(listener)
    log.unsubscribe(listener)
    log.notify()
    assert told == ["again"]


def test_publishing_makes_a_frame_readable(tmp_path: Path) -> None:
    journal = JournalFile.create(tmp_path / "0.journal", ORDERS, 0, NOW_MS)
    log = PartitionLog(ORDERS, 0)
    index = journal.index
    log.journals.append(JournalEntry(journal.path, 0, 0, index.file_bytes, 0, index, journal))
    told: list[int] = []
    log.subscribe(lambda: told.append(log.log_end_offset))
    frame = full_frame(0, 5)
    journal.append([frame])
    log.publish(frame)
    assert log.locate(3) == InMemory([frame])
    assert (log.journals[0].end_offset, log.journals[0].bytes) == (5, index.file_bytes)
    assert log.in_memory(0)
    assert told == [5]


def test_recent_frames_are_found_by_any_offset_they_cover() -> None:
    log = log_of([], [entry(full_frames(0, 2_000, 4))], full_frames(0, 2_000, 4))
    for _ in range(450):
        log.recent.drop_oldest()
    assert not log.recent.covers(1_799)
    assert log.recent.since(1_799) == []
    assert [frame.base_offset for frame in log.recent.since(1_803)][:2] == [1_800, 1_804]
    assert len(log.recent.since(1_800, limit=7)) == 7
    assert log.recent.since(2_000) == []
    assert len(log.recent) == 50
    assert not log.in_memory(1_799)
    assert log.in_memory(2_000)
