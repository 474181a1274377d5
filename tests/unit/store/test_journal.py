from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.errors import DamagedFile
from cachesvc.store import journal as journal_module
from cachesvc.store.frames import Frame
from cachesvc.store.journal import CHUNK_BYTES, JournalFile, JournalIndex, read_frames, write_all
from tests.support.frames import (
    NOW_MS,
    ORDERS,
    Record,
    Reject,
    assert_contiguous,
    frame,
    full_frame,
    full_frames,
    records,
    records_of,
    write_journal,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "here" / "00000000000000000000.journal"


def all_frames(journal: JournalFile) -> list[Frame]:
    index = journal.index
    return [
        each
        for number in range(len(index.chunks))
        for each in read_frames(journal.path, *index.extent(number))
    ]


def big_frame(base: int, size: int = CHUNK_BYTES // 2) -> Frame:
    """A frame of one record, a little larger than ``size`` bytes of noise that LZ4 cannot fold."""
    return frame(base, base + 1, [Record(base, f'"{os.urandom(size // 2).hex()}"')])


def test_a_new_journal_is_empty_and_on_disk(path: Path) -> None:
    journal = JournalFile.create(path, ORDERS, 7, NOW_MS)
    assert (journal.index.base_offset, journal.index.end_offset) == (7, 7)
    assert journal.index.file_bytes == path.stat().st_size
    assert journal.index.bytes_before(7) == 0
    assert all_frames(journal) == []


def test_refuses_to_begin_a_journal_that_exists(path: Path) -> None:
    write_journal(path, [full_frame(0, 3)]).close()
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        JournalFile.create(path, ORDERS, 0, NOW_MS)
    assert path.read_bytes() == before


def test_a_journal_that_could_not_be_begun_leaves_no_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    open_before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "write_all", fail)
        with pytest.raises(OSError, match="No space left"):
            JournalFile.create(path, ORDERS, 0, NOW_MS)
    assert not path.exists()
    assert len(os.listdir("/proc/self/fd")) == open_before
    JournalFile.create(path, ORDERS, 0, NOW_MS)


def test_reads_what_was_published(path: Path) -> None:
    frames = [full_frame(0, 3), frame(3, 5), frame(5, 9, records(7, 8), [Reject(5)])]
    journal = write_journal(path, frames)
    assert all_frames(journal) == frames
    index = journal.index
    assert (index.end_offset, index.record_count, index.reject_count) == (9, 4, 1)
    assert index.file_bytes == path.stat().st_size
    assert (index.min_timestamp_ms, index.max_timestamp_ms) == (NOW_MS, NOW_MS + 7)


def test_an_append_shows_only_once_it_is_published(path: Path) -> None:
    journal = write_journal(path, [full_frame(0, 3)])
    journal.append([full_frame(3, 6), full_frame(6, 9)])
    assert journal.index.end_offset == 3
    assert_contiguous(all_frames(journal), 0, 3)
    journal.publish(full_frame(3, 6))
    assert_contiguous(all_frames(journal), 0, 6)


def test_appends_more_frames_than_one_call_takes(path: Path) -> None:
    frames = full_frames(0, 700, 1)
    assert all_frames(write_journal(path, frames)) == frames


def test_reads_on_after_it_is_closed(path: Path) -> None:
    journal = write_journal(path, [full_frame(0, 3)])
    journal.sync()
    journal.close()
    journal.close()
    assert all_frames(journal) == [full_frame(0, 3)]


def test_holds_no_descriptor_once_closed(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    journal = write_journal(path, [full_frame(0, 3)])
    all_frames(journal)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    journal.close()
    assert len(os.listdir("/proc/self/fd")) == before


Writev = Callable[[int, list[memoryview]], int]


def failing_writev(after_bytes: int) -> Writev:
    """A disk that takes some bytes and then is full."""
    real, left = os.writev, after_bytes

    def writev(descriptor: int, buffers: list[memoryview]) -> int:
        nonlocal left
        if not left:
            raise OSError(28, "No space left on device")
        piece = buffers[0][:left]
        left -= len(piece)
        return real(descriptor, [piece])

    return writev


@pytest.mark.parametrize("fitting", [0, 1, 63, 64, 65, 900])
def test_a_failed_append_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, fitting: int
) -> None:
    journal = write_journal(path, [full_frame(0, 3)])
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", failing_writev(fitting))
        with pytest.raises(OSError, match="No space left"):
            journal.append([full_frame(3, 6), full_frame(6, 9)])
    assert path.read_bytes() == before
    journal.append([full_frame(3, 6)])
    journal.publish(full_frame(3, 6))
    assert_contiguous(all_frames(journal), 0, 6)


def test_an_append_that_cannot_even_be_taken_back_does_not_spoil_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    journal = write_journal(path, [full_frame(0, 3)])
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", failing_writev(100))
        patch.setattr(os, "ftruncate", fail)
        for _ in range(2):
            with pytest.raises(OSError, match=r"error|space"):
                journal.append([full_frame(3, 6)])
    journal.append([full_frame(3, 6)])
    journal.publish(full_frame(3, 6))
    assert_contiguous(all_frames(journal), 0, 6)
    recovered, damage = JournalFile.recover(path, ORDERS)
    assert damage is None
    assert recovered.index.end_offset == 6


def test_write_all_goes_on_after_short_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.writev

    def three_bytes(descriptor: int, buffers: list[memoryview]) -> int:
        return real(descriptor, [buffers[0][:3]])

    monkeypatch.setattr(os, "writev", three_bytes)
    file = tmp_path / "file"
    with file.open("wb") as opened:
        write_all(opened.fileno(), [b"abcdefg", b"", memoryview(b"hi"), b"jklm", b""])
    assert file.read_bytes() == b"abcdefghijklm"


def test_chunks_are_runs_of_whole_frames(path: Path) -> None:
    frames = [big_frame(base) for base in range(5)]
    journal = write_journal(path, frames)
    index = journal.index
    assert [chunk.base_offset for chunk in index.chunks] == [0, 2, 4]
    assert [index.locate(offset) for offset in range(5)] == [0, 0, 1, 1, 2]
    extents = [index.extent(number) for number in range(3)]
    assert [begin for begin, _ in extents[1:]] == [end for _, end in extents[:-1]]
    assert extents[-1][1] == path.stat().st_size
    assert read_frames(path, *extents[1]) == frames[2:4]
    assert index.bytes_before(3) == extents[1][0]


def test_chunks_do_not_depend_on_how_the_journal_was_written(path: Path) -> None:
    journal = write_journal(path, [big_frame(base, 300_000) for base in range(9)])
    recovered, damage = JournalFile.recover(path, ORDERS)
    assert damage is None
    assert recovered.index == journal.index
    assert recovered.created_ms == journal.created_ms


def test_a_chunk_has_the_time_of_its_first_frame_with_records() -> None:
    index = JournalIndex(0, 0, 100)
    index.add(frame(0, 5))
    assert index.chunks[0].min_timestamp_ms == 0
    index.add(frame(5, 6, [Record(5, timestamp_ms=70), Record(6, timestamp_ms=60)]))
    index.add(frame(6, 7, [Record(6, timestamp_ms=50)]))
    assert [chunk.min_timestamp_ms for chunk in index.chunks] == [60]
    assert index.max_timestamps_ms == [70]
    assert (index.min_timestamp_ms, index.max_timestamp_ms) == (50, 70)


def test_knows_times_before_1970() -> None:
    index = JournalIndex(0, 0, 100)
    index.add(frame(0, 2, [Record(0, timestamp_ms=-5), Record(1, timestamp_ms=-1)]))
    assert (index.min_timestamp_ms, index.max_timestamp_ms) == (-5, -1)


def test_reading_notices_damage_and_says_where(path: Path) -> None:
    journal = write_journal(path, [full_frame(0, 3), full_frame(3, 6)])
    journal.close()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match=r"00.journal: from byte \d+: checksum of the frame"):
        read_frames(path, *journal.index.extent(0))


def test_reading_notices_a_file_that_became_shorter(path: Path) -> None:
    journal = write_journal(path, [full_frame(0, 3)])
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(DamagedFile, match=r"only \d+ of \d+ bytes"):
        read_frames(path, *journal.index.extent(0))


def test_reading_a_journal_that_is_gone(path: Path) -> None:
    journal = write_journal(path, [full_frame(0, 3)])
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_frames(path, *journal.index.extent(0))


def test_records_come_back_as_they_were(path: Path) -> None:
    rows = records(3, 6)
    journal = write_journal(path, [frame(2, 9, rows)])
    assert records_of(all_frames(journal)) == rows
