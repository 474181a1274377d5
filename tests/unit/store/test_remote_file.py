"""How many requests reading a remote file takes."""

import os
from pathlib import Path

from cachesvc.store.block_cache import BlockCache
from cachesvc.store.remote_file import AHEAD_BLOCKS, BLOCK_BYTES, RemoteFile


class Counted:
    """Ranges of one file, and which blocks were asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[tuple[int, int]] = []

    def size(self, path: str) -> int:
        return len(self.data)

    def read(self, path: str, begin: int, end: int) -> bytes:
        self.asked.append((begin // BLOCK_BYTES, -(-end // BLOCK_BYTES)))
        return self.data[begin:end]


def opened(tmp_path: Path, blocks: int, bytes_max: int = 1 << 30) -> tuple[Counted, RemoteFile]:
    ranges = Counted(os.urandom(blocks * BLOCK_BYTES - 7))
    return ranges, RemoteFile(ranges, BlockCache(tmp_path, bytes_max), "a", None)


def read(ranges: Counted, file: RemoteFile, begin: int, end: int) -> None:
    assert file.read(begin, end, len(ranges.data)) == ranges.data[begin:end]


def test_a_range_is_one_request_and_the_next_time_none(tmp_path: Path) -> None:
    ranges, file = opened(tmp_path, 12)
    read(ranges, file, 5 * BLOCK_BYTES + 3, 8 * BLOCK_BYTES + 1)
    assert ranges.asked == [(5, 9)]
    read(ranges, file, 5 * BLOCK_BYTES, 9 * BLOCK_BYTES)
    assert ranges.asked == [(5, 9)]


def test_on_the_way_through_a_file_what_follows_comes_along(tmp_path: Path) -> None:
    ranges, file = opened(tmp_path, 12)
    for number in range(12):
        read(ranges, file, number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES)
    step = 1 + AHEAD_BLOCKS
    assert ranges.asked == [(0, 1), (1, 1 + step), (1 + step, 1 + 2 * step), (1 + 2 * step, 12)]


def test_only_what_is_not_here_is_asked_for(tmp_path: Path) -> None:
    ranges, file = opened(tmp_path, 12)
    read(ranges, file, 4 * BLOCK_BYTES, 5 * BLOCK_BYTES)
    read(ranges, file, 2 * BLOCK_BYTES, 7 * BLOCK_BYTES)
    assert ranges.asked == [(4, 5), (2, 4), (5, 7 + AHEAD_BLOCKS)]


def test_without_a_cache_it_reads_all_the_same(tmp_path: Path) -> None:
    ranges, file = opened(tmp_path, 5, bytes_max=0)
    for _ in range(2):
        read(ranges, file, 0, len(ranges.data))
    assert ranges.asked == [(0, 5), (0, 5)]
