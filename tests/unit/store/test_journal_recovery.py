"""What is left of a journal after a crash or a failing disk: its longest intact prefix."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from crc32c import crc32c

from cachesvc.errors import DamagedFile, StoreFormatUnsupported
from cachesvc.model import PartitionId
from cachesvc.store import journal as journal_module
from cachesvc.store.frames import Frame, encode_frame
from cachesvc.store.journal import JournalFile, read_frames
from tests.support.frames import (
    NOW_MS,
    ORDERS,
    Reject,
    flip_bit,
    frame,
    full_frame,
    records,
    write_journal,
)

FRAMES = [
    full_frame(10, 12),
    frame(12, 15),
    frame(15, 20, records(16, 18), [Reject(15), Reject(19)]),
    full_frame(20, 21),
    frame(21, 22, rejects=[Reject(21)]),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "00000000000000000010.journal"


def frame_ends(path: Path, frames: list[Frame]) -> list[int]:
    """The bytes at which the header and each frame end."""
    ends = [path.stat().st_size - sum(each.encoded_bytes for each in frames)]
    for each in frames:
        ends.append(ends[-1] + each.encoded_bytes)
    return ends


@contextmanager
def flipped_bit(path: Path, number: int) -> Iterator[None]:
    """Has one bit of a file wrong for a while."""
    flip_bit(path, number)
    yield
    flip_bit(path, number)


def recovered(path: Path) -> tuple[list[Frame], DamagedFile | None]:
    journal, damage = JournalFile.recover(path, ORDERS)
    index = journal.index
    journal.close()
    if not index.chunks:
        return [], damage
    return read_frames(path, index.extent(0)[0], index.file_bytes), damage


def test_recovers_an_intact_journal_whole(path: Path) -> None:
    written = write_journal(path, FRAMES)
    journal, damage = JournalFile.recover(path, ORDERS)
    assert damage is None
    assert journal.index == written.index
    assert recovered(path) == (FRAMES, None)


def test_recovers_an_empty_journal(path: Path) -> None:
    JournalFile.create(path, ORDERS, 10, NOW_MS).close()
    journal, damage = JournalFile.recover(path, ORDERS)
    assert damage is None
    assert (journal.index.base_offset, journal.index.end_offset) == (10, 10)
    assert journal.created_ms == NOW_MS


def test_goes_on_appending_after_recovery(path: Path) -> None:
    write_journal(path, FRAMES).close()
    journal, _ = JournalFile.recover(path, ORDERS)
    journal.append([full_frame(22, 25)])
    journal.publish(full_frame(22, 25))
    journal.close()
    assert recovered(path) == ([*FRAMES, full_frame(22, 25)], None)


def test_cut_off_at_any_byte_it_keeps_the_whole_frames_before(path: Path) -> None:
    write_journal(path, FRAMES).close()
    ends = frame_ends(path, FRAMES)
    for size in range(ends[-1], ends[0] - 1, -1):
        os.truncate(path, size)
        whole = sum(end <= size for end in ends[1:])
        found, damage = recovered(path)
        assert found == FRAMES[:whole], size
        assert (damage is None) == (size in ends), size


def test_with_any_byte_damaged_it_keeps_the_frames_before(path: Path) -> None:
    write_journal(path, FRAMES).close()
    ends = frame_ends(path, FRAMES)
    for position in range(ends[0], ends[-1]):
        with flipped_bit(path, 8 * position + position % 8):
            found, damage = recovered(path)
        assert found == FRAMES[: sum(end <= position for end in ends[1:])], position
        assert damage is not None, position


def test_with_its_header_damaged_it_is_refused(path: Path) -> None:
    write_journal(path, FRAMES).close()
    for number in range(8 * frame_ends(path, FRAMES)[0]):
        with (
            flipped_bit(path, number),
            pytest.raises(DamagedFile),
        ):
            JournalFile.recover(path, ORDERS)


def test_with_its_header_cut_off_it_is_refused(path: Path) -> None:
    write_journal(path, FRAMES).close()
    for size in range(frame_ends(path, FRAMES)[0] - 1, -1, -1):
        os.truncate(path, size)
        with pytest.raises(DamagedFile):
            JournalFile.recover(path, ORDERS)


def test_recovery_changes_no_byte(path: Path) -> None:
    write_journal(path, FRAMES).close()
    data = path.read_bytes()[:-1]
    path.write_bytes(data)
    JournalFile.recover(path, ORDERS)
    assert path.read_bytes() == data


def test_cut_removes_the_damaged_tail_and_returns_it(path: Path) -> None:
    write_journal(path, FRAMES).close()
    data, ends = bytearray(path.read_bytes()), frame_ends(path, FRAMES)
    data[ends[2] + 3] ^= 1
    path.write_bytes(data)
    journal, damage = JournalFile.recover(path, ORDERS)
    assert damage is not None
    assert journal.cut() == data[ends[2] :]
    assert path.stat().st_size == ends[2]
    journal.append([full_frame(15, 30)])
    journal.publish(full_frame(15, 30))
    journal.close()
    assert recovered(path) == ([*FRAMES[:2], full_frame(15, 30)], None)


def test_cut_of_an_intact_journal_removes_nothing(path: Path) -> None:
    write_journal(path, FRAMES).close()
    journal, _ = JournalFile.recover(path, ORDERS)
    assert journal.cut() == b""
    assert recovered(path) == (FRAMES, None)


def test_a_frame_that_does_not_continue_the_one_before_ends_the_journal(path: Path) -> None:
    journal = write_journal(path, FRAMES)
    journal.append([full_frame(23, 24)])
    journal.close()
    found, damage = recovered(path)
    assert found == FRAMES
    assert "begins at offset 23, expected 22" in str(damage)


def test_zeros_behind_the_last_frame_are_damage(path: Path) -> None:
    """A file system that loses power may have made a file longer without its bytes."""
    write_journal(path, FRAMES).close()
    with path.open("ab") as file:
        file.write(bytes(4096))
    found, damage = recovered(path)
    assert found == FRAMES
    assert "wrong magic" in str(damage)


@pytest.mark.parametrize("scan_bytes", [1, 63, 64, 65, 500, 700, 1_000, 2_500])
@pytest.mark.parametrize("cut_bytes", [0, 1])
def test_frames_may_be_larger_than_a_piece_of_the_scan(
    path: Path, monkeypatch: pytest.MonkeyPatch, scan_bytes: int, cut_bytes: int
) -> None:
    monkeypatch.setattr(journal_module, "_SCAN_BYTES", scan_bytes)
    write_journal(path, FRAMES).close()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - cut_bytes])
    found, damage = recovered(path)
    assert found == FRAMES[: len(FRAMES) - cut_bytes]
    assert (damage is None) == (cut_bytes == 0)


@pytest.mark.parametrize("scan_bytes", [64, 700, 1_500])
def test_finds_damage_in_the_middle_whatever_the_piece(
    path: Path, monkeypatch: pytest.MonkeyPatch, scan_bytes: int
) -> None:
    monkeypatch.setattr(journal_module, "_SCAN_BYTES", scan_bytes)
    write_journal(path, FRAMES).close()
    data, ends = bytearray(path.read_bytes()), frame_ends(path, FRAMES)
    data[ends[1] + 9] ^= 0x80  # the payload seems to be two gigabytes long
    path.write_bytes(data)
    found, damage = recovered(path)
    assert found == FRAMES[:1]
    assert damage is not None


@pytest.mark.parametrize(
    "other",
    [
        PartitionId("main", "orders", 1, 1),
        PartitionId("main", "orders", 2, 0),
        PartitionId("main", "payments", 1, 0),
        PartitionId("spare", "orders", 1, 0),
    ],
)
def test_refuses_the_journal_of_another_partition(path: Path, other: PartitionId) -> None:
    write_journal(path, FRAMES).close()
    with pytest.raises(DamagedFile, match=f"holds {ORDERS}, its place is that of {other}"):
        JournalFile.recover(path, other)


def test_refuses_a_newer_format_and_leaves_it_alone(path: Path) -> None:
    identity = json.dumps({"something": "new"}).encode()
    head = struct.pack("<8sII", b"CDCJRNL\n", 2, len(identity)) + identity
    data = head + struct.pack("<I", crc32c(head)) + b"".join(encode_frame(FRAMES[0]))
    path.write_bytes(data)
    with pytest.raises(StoreFormatUnsupported, match="format 2, this version reads up to 1"):
        JournalFile.recover(path, ORDERS)
    assert path.read_bytes() == data


@pytest.mark.parametrize("data", [b"", b"CDCJRNL", b"PAR1" * 100])
def test_refuses_what_is_no_journal(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(DamagedFile, match="not a journal"):
        JournalFile.recover(path, ORDERS)
