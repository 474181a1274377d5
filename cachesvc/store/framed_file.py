"""A file of frames that are durable one by one, beside the catalogue.

A frame is the bytes of its content (u32, little-endian), the CRC-32C of that and of the content
(u32), and the content.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crc32c import crc32c

from cachesvc.errors import StoreUnwritable
from cachesvc.store.journal import sync_directory, write_all

_LENGTH = struct.Struct("<I")
_PREFIX_BYTES = 2 * _LENGTH.size


@dataclass(frozen=True, slots=True)
class FoundFrame:
    """What lies at ``[begin, end)`` of a file; ``content`` is None where it is damaged."""

    begin: int
    end: int
    content: memoryview | None


def read_frames(data: memoryview) -> Iterator[FoundFrame]:
    """The frames of a file, in order; one that is damaged or cut off is told, and passed over."""
    position = 0
    while position < len(data):
        begin = position + _PREFIX_BYTES
        prefix = data[position:begin]
        if len(prefix) < _PREFIX_BYTES:
            yield FoundFrame(position, len(data), None)
            return
        (length,), (checksum,) = (_LENGTH.unpack(each) for each in (prefix[:4], prefix[4:]))
        content = data[begin : begin + length]
        end = min(begin + length, len(data))
        whole = len(content) == length and crc32c(content, crc32c(prefix[:4])) == checksum
        yield FoundFrame(position, end, content if whole else None)
        position = end


class FramedFile:
    """Takes frames at its end. Belongs to one thread.

    Args:
        path: Made with the first frame.
        size: Its bytes that count; what lies behind them is cut off with the next frame.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._descriptor = -1
        self.bytes = size

    def append(self, content: bytes) -> None:
        """Adds a frame; it is durable when this returns.

        Raises:
            StoreUnwritable: The disk does not take it; it does not count.
        """
        length = _LENGTH.pack(len(content))
        checksum = _LENGTH.pack(crc32c(content, crc32c(length)))
        try:
            descriptor = self._opened()
            # What a call before left that failed.
            if os.lseek(descriptor, 0, os.SEEK_END) != self.bytes:
                os.ftruncate(descriptor, self.bytes)
                os.lseek(descriptor, self.bytes, os.SEEK_SET)
            write_all(descriptor, [length, checksum, content])
            os.fdatasync(descriptor)
        except OSError as error:
            raise self._unwritable(error) from error
        self.bytes += _PREFIX_BYTES + len(content)

    def cut(self, size: int) -> None:
        """Forgets all behind so many bytes; durable when this returns.

        Raises:
            StoreUnwritable: The disk does not take it; all is as before.
        """
        try:
            os.ftruncate(self._opened(), size)
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from error
        self.bytes = size

    def close(self) -> None:
        """Gives its descriptor back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _opened(self) -> int:
        if self._descriptor < 0:
            new = not self._path.exists()
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if new:
                sync_directory(self._path.parent)
        return self._descriptor

    def _unwritable(self, error: OSError) -> StoreUnwritable:
        return StoreUnwritable(f"{self._path} cannot be written: {error.strerror}")
