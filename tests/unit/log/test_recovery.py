"""Each rule of recovery, on files laid out by hand."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from cachesvc.errors import StoreFormatUnsupported
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.recovery import Recovered, recover_partition
from cachesvc.model import Segment
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store import layout
from cachesvc.store.frames import Frame, encode_frame
from cachesvc.store.journal import JournalFile
from tests.support.frames import (
    NOW_MS,
    ORDERS,
    flip_bit,
    frame,
    full_frame,
    full_frames,
    seal,
    set_journal_version,
    write_journal,
)


def journal(store: Path, frames: Sequence[Frame]) -> Path:
    """A journal file at its place."""
    path = store / layout.journal_path(ORDERS, frames[0].base_offset)
    write_journal(path, frames).close()
    return path


def recover(store: Path, segments: Sequence[Segment] = (), log_start: int = 0) -> PartitionLog:
    return recover_all(store, segments, log_start).top


def recover_all(store: Path, segments: Sequence[Segment] = (), log_start: int = 0) -> Recovered:
    found = layout.find_journals(store).get(ORDERS, layout.FoundJournals())
    return recover_partition(store, ORDERS, log_start, segments, found.top, found.backfills)


def shown(log: PartitionLog) -> list[tuple[int, int, str]]:
    """Journals as (base, end, state)."""
    states = [
        "warm" if entry.sealed else "waits" if entry.file is None else "active"
        for entry in log.journals
    ]
    return [
        (entry.base_offset, entry.end_offset, state)
        for entry, state in zip(log.journals, states, strict=True)
    ]


def quarantine(store: Path) -> list[str]:
    """Files in the quarantine, without the time in their names."""
    root = store / layout.QUARANTINE
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(path.with_suffix("").as_posix() for path in files)


PLACE = "journal/main/orders/i1/partition=0"


def test_a_partition_without_files(tmp_path: Path) -> None:
    log = recover(tmp_path, log_start=42)
    assert (log.log_start_offset, log.log_end_offset, log.accepted_end_offset) == (42, 42, 42)
    assert log.empty


def test_the_last_journal_takes_appends_and_those_before_wait_to_be_sealed(tmp_path: Path) -> None:
    for frames in (full_frames(0, 20, 5), full_frames(20, 30, 5), [full_frame(30, 31)]):
        journal(tmp_path, frames)
    log = recover(tmp_path)
    assert shown(log) == [(0, 20, "waits"), (20, 30, "waits"), (30, 31, "active")]
    assert (log.log_end_offset, log.accepted_end_offset) == (31, 31)
    active = log.active
    assert active is not None
    assert active.file is not None
    active.file.append([full_frame(31, 35)])
    log.publish(full_frame(31, 35))
    assert log.log_end_offset == 35


def test_a_journal_that_begins_before_the_sealed_end_is_warm(tmp_path: Path) -> None:
    segments = [seal(tmp_path, [full_frame(0, 10)]), seal(tmp_path, [full_frame(10, 20)])]
    journal(tmp_path, [full_frame(20, 25)])
    log = recover(tmp_path, segments)
    assert shown(log) == [(0, 10, "warm"), (10, 20, "warm"), (20, 25, "active")]
    assert (log.sealed_end_offset, log.log_end_offset) == (20, 25)


def test_a_warm_journal_is_not_read(tmp_path: Path) -> None:
    segment = seal(tmp_path, [full_frame(0, 10)])
    path = tmp_path / layout.journal_path(ORDERS, 0)
    path.write_bytes(b"damaged from end to end")
    log = recover(tmp_path, [segment])
    assert shown(log) == [(0, 10, "warm")]
    assert log.journals[0].index is None
    assert log.journals[0].bytes == 23


def test_warm_journals_before_the_log_start_go(tmp_path: Path) -> None:
    segments = [seal(tmp_path, [full_frame(base, base + 10)]) for base in (0, 10, 20)]
    log = recover(tmp_path, segments[1:], log_start=10)
    assert shown(log) == [(10, 20, "warm"), (20, 30, "warm")]
    assert [path.name for path in layout.find_journals(tmp_path)[ORDERS].top] == [
        f"{base:020}.journal" for base in (10, 20)
    ]


def test_when_retention_took_all_segments_the_rest_goes_on(tmp_path: Path) -> None:
    seal(tmp_path, [full_frame(0, 10)])
    journal(tmp_path, [full_frame(10, 15)])
    log = recover(tmp_path, [], log_start=10)
    assert shown(log) == [(10, 15, "active")]
    assert (log.log_start_offset, log.log_end_offset) == (10, 15)


def test_a_torn_tail_is_cut_and_kept_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = journal(tmp_path, full_frames(0, 20, 5))
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with caplog.at_level(logging.WARNING):
        log = recover(tmp_path)
    assert shown(log) == [(0, 15, "active")]
    assert log.accepted_end_offset == 15
    assert [record.__dict__["event"] for record in caplog.records] == ["journal_cut"]
    assert quarantine(tmp_path) == [f"{PLACE}/00000000000000000000.journal"]
    (kept,) = (tmp_path / layout.QUARANTINE).rglob("*.journal.*")
    last = b"".join(encode_frame(full_frame(15, 20)))
    assert kept.read_bytes() == last[:-1]
    assert path.read_bytes() == data[: -len(last)]
    assert shown(recover(tmp_path)) == [(0, 15, "active")]


def test_damage_in_the_middle_cuts_the_log_in_two(tmp_path: Path) -> None:
    first = journal(tmp_path, full_frames(0, 20, 5))
    journal(tmp_path, full_frames(20, 30, 5))
    journal(tmp_path, full_frames(30, 40, 5))
    flip_bit(first, 8 * (first.stat().st_size // 2))
    found = recover_all(tmp_path)
    (lower,) = found.lower
    end = lower.log_end_offset
    assert end in (5, 10)
    assert shown(lower) == [(0, end, "waits")]
    assert shown(found.top) == [(20, 30, "waits"), (30, 40, "active")]
    assert found.damaged == [OffsetRange(end, 20)]
    assert quarantine(tmp_path) == [f"{PLACE}/{0:020}.journal"]
    # The catalogue was told where the top log begins now.
    again = recover_all(tmp_path, log_start=20)
    assert [shown(log) for log in again.lower] == [[(0, end, "waits")]]
    assert shown(again.top) == shown(found.top)
    # It was not: found anew.
    assert [shown(log) for log in recover_all(tmp_path).lower] == [[(0, end, "waits")]]


def test_a_journal_with_a_damaged_header_is_moved_away(tmp_path: Path) -> None:
    journal(tmp_path, full_frames(0, 20, 5))
    second = journal(tmp_path, full_frames(20, 30, 5))
    flip_bit(second, 3)
    log = recover(tmp_path)
    assert shown(log) == [(0, 20, "active")]
    assert quarantine(tmp_path) == [f"{PLACE}/{20:020}.journal"]
    assert not second.exists()


def test_a_journal_that_overlaps_the_log_is_moved_away(tmp_path: Path) -> None:
    journal(tmp_path, full_frames(0, 10, 5))
    journal(tmp_path, full_frames(9, 14, 5))
    log = recover(tmp_path)
    assert shown(log) == [(0, 10, "active")]
    assert quarantine(tmp_path) == [f"{PLACE}/{9:020}.journal"]


@pytest.mark.parametrize("base", [11, 1_000])
def test_a_journal_behind_a_hole_stays_where_it_is(tmp_path: Path, base: int) -> None:
    journal(tmp_path, full_frames(0, 10, 5))
    journal(tmp_path, full_frames(base, base + 5, 5))
    found = recover_all(tmp_path)
    assert [shown(log) for log in found.lower] == [[(0, 10, "waits")]]
    assert shown(found.top) == [(base, base + 5, "active")]
    assert found.damaged == [OffsetRange(10, base)]
    assert quarantine(tmp_path) == []


def test_a_journal_behind_a_hole_after_the_segments_stays_where_it_is(tmp_path: Path) -> None:
    segment = seal(tmp_path, [full_frame(0, 10)])
    journal(tmp_path, full_frames(15, 20, 5))
    found = recover_all(tmp_path, [segment])
    assert [(log.log_start_offset, log.log_end_offset) for log in found.lower] == [(0, 10)]
    assert shown(found.top) == [(15, 20, "active")]
    assert found.damaged == [OffsetRange(10, 15)]


def test_a_journal_in_the_place_of_another_offset_is_moved_away(tmp_path: Path) -> None:
    path = journal(tmp_path, full_frames(10, 20, 5))
    path.rename(path.with_name(f"{0:020}.journal"))
    log = recover(tmp_path)
    assert log.empty
    assert quarantine(tmp_path) == [f"{PLACE}/{0:020}.journal"]


def test_another_partitions_journal_is_moved_away(tmp_path: Path) -> None:
    path = tmp_path / layout.journal_path(ORDERS, 0)
    write_journal(path, [full_frame(0, 5)], ORDERS.topic_id.partition(7)).close()
    assert recover(tmp_path).empty
    assert quarantine(tmp_path) == [f"{PLACE}/{0:020}.journal"]


def test_a_journal_of_a_newer_format_stops_the_start_and_stays(tmp_path: Path) -> None:
    path = journal(tmp_path, [full_frame(0, 5)])
    set_journal_version(path, 2)
    data = path.read_bytes()
    with pytest.raises(StoreFormatUnsupported):
        recover(tmp_path)
    assert path.read_bytes() == data


def test_a_journal_that_was_begun_and_never_written_goes(tmp_path: Path) -> None:
    path = tmp_path / layout.journal_path(ORDERS, 0)
    JournalFile.create(path, ORDERS, 0, NOW_MS).close()
    log = recover(tmp_path)
    assert log.empty
    assert not path.exists()


def test_an_empty_journal_behind_others_goes(tmp_path: Path) -> None:
    journal(tmp_path, full_frames(0, 10, 5))
    path = tmp_path / layout.journal_path(ORDERS, 10)
    JournalFile.create(path, ORDERS, 10, NOW_MS).close()
    log = recover(tmp_path)
    assert shown(log) == [(0, 10, "waits")]
    assert (log.log_end_offset, log.active) == (10, None)
    assert not path.exists()


def test_a_journal_of_which_nothing_reached_the_disk_goes(tmp_path: Path) -> None:
    path = tmp_path / layout.journal_path(ORDERS, 0)
    path.parent.mkdir(parents=True)
    path.touch()
    assert recover(tmp_path).empty
    assert quarantine(tmp_path) == []
    assert not path.exists()


def test_a_range_of_holes_is_part_of_the_log(tmp_path: Path) -> None:
    journal(tmp_path, [frame(0, 100), full_frame(100, 105), frame(105, 200)])
    assert recover(tmp_path).log_end_offset == 200


def test_recovering_twice_changes_nothing_more(tmp_path: Path) -> None:
    first = journal(tmp_path, full_frames(0, 20, 5))
    journal(tmp_path, full_frames(20, 30, 5))
    flip_bit(first, 8 * first.stat().st_size - 1)
    once = recover(tmp_path)
    files = sorted(tmp_path.rglob("*"))
    again = recover(tmp_path)
    assert shown(again) == shown(once)
    assert sorted(tmp_path.rglob("*")) == files
