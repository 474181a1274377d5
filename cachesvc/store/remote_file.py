"""A file of a remote store as bytes to seek in: ranges of blocks, kept on this machine's disk."""

import os
from io import RawIOBase
from typing import Literal, Protocol

from cachesvc.store.block_cache import BlockCache

BLOCK_BYTES = 1 << 20
AHEAD_BLOCKS = 3


class Ranges(Protocol):
    """What gives ranges of remote files."""

    def size(self, path: str) -> int:
        """Of a file; raises as ``ReadableFile.open``."""

    def read(self, path: str, begin: int, end: int) -> bytes:
        """``[begin, end)`` of a file, less where it ends before; raises likewise."""


class RemoteFile:
    """``file_store.ReadableFile`` of a remote store.

    Whoever reads a block behind one that is here is on its way through the file, so the blocks that
    follow come with it in the same request.

    Args:
        ranges: Where the bytes come from.
        cache: Where blocks are kept.
        path: Of the file, in its store.
        size: Of the file, if it is known.
    """

    def __init__(self, ranges: Ranges, cache: BlockCache, path: str, size: int | None) -> None:
        self._ranges = ranges
        self._cache = cache
        self._path = path
        self._size = size

    def __str__(self) -> str:
        return self._path

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def open(self, mode: Literal["rb"], buffering: Literal[0]) -> RawIOBase:
        if self._size is None:
            self._size = self._ranges.size(self._path)
        return _RemoteBytes(self, self._size)

    def read(self, begin: int, end: int, size: int) -> bytes:
        """``[begin, end)`` of the file, which has ``size`` bytes."""
        end = min(end, size)
        if begin >= end:
            return b""
        first, behind = begin // BLOCK_BYTES, -(-end // BLOCK_BYTES)
        blocks = [self._cache.get(self._path, number) for number in range(first, behind)]
        at = 0
        while at < len(blocks):
            if blocks[at] is not None:
                at += 1
                continue
            stop = at + 1
            while stop < len(blocks) and blocks[stop] is None:
                stop += 1
            fetched = self._fetch(first + at, first + stop, size, last=stop == len(blocks))
            blocks[at:stop] = fetched[: stop - at]
            at = stop
        joined = b"".join(block for block in blocks if block is not None)
        return joined[begin - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def _fetch(self, first: int, behind: int, size: int, *, last: bool) -> list[bytes]:
        """Blocks ``[first, behind)``, and some that follow if those are likely to be wanted."""
        if last and first and self._cache.has(self._path, first - 1):
            limit = min(behind + AHEAD_BLOCKS, -(-size // BLOCK_BYTES))
            while behind < limit and not self._cache.has(self._path, behind):
                behind += 1
        begin = first * BLOCK_BYTES
        data = self._ranges.read(self._path, begin, min(behind * BLOCK_BYTES, size))
        blocks = []
        for number in range(first, behind):
            at = number * BLOCK_BYTES - begin
            block = data[at : at + BLOCK_BYTES]
            if block and (len(block) == BLOCK_BYTES or begin + len(data) == size):
                self._cache.put(self._path, number, block)
            blocks.append(block)
        return blocks


class _RemoteBytes(RawIOBase):
    """What ``RemoteFile.open`` gives; for one thread."""

    def __init__(self, file: RemoteFile, size: int) -> None:
        self._file = file
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        end = self._size if size < 0 else self._at + size
        data = self._file.read(self._at, end, self._size)
        self._at += len(data)
        return data

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def tell(self) -> int:
        return self._at
