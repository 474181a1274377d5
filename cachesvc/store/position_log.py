"""What was committed of late, in a file beside the catalogue.

A transaction of DuckDB costs some milliseconds whatever is in it, a short append that is synced a
fifth of one. So commits are durable here first, and go into the catalogue many at a time. The
file holds what the catalogue has not yet, and is empty most of the time.

A frame is the bytes of its content (u32, little-endian), the CRC-32C of that and of the content
(u32), and the content: MessagePack of the commits of one call.
"""

import logging
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from crc32c import crc32c

from cachesvc.errors import StoreUnwritable
from cachesvc.model import PartitionId
from cachesvc.store.journal import sync_directory, write_all
from cachesvc.store.ports import PositionCommit

_FULL_BYTES = 1 << 20
_LENGTH = struct.Struct("<I")
_PREFIX_BYTES = 2 * _LENGTH.size
_Partition = tuple[str, str, int, int]
_Commit = tuple[str, int | None, bool, list[tuple[_Partition, int]]]
_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[_Commit])
_log = logging.getLogger(__name__)


class PositionLog:
    """Belongs to one thread. What was in the file is ``waiting`` after opening.

    A damaged frame is left out and told in the log: its subscriptions get records again.

    Args:
        path: The file, made with the first append.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._bytes = 0
        self.waiting: list[PositionCommit] = []
        """What the catalogue has not yet, in the order in which it was committed."""
        if path.exists():
            data = memoryview(path.read_bytes())
            self._bytes = len(data)
            self.waiting = [each for commits in self._frames(data) for each in commits]

    @property
    def full(self) -> bool:
        """Whether it is time to bring into the catalogue what waits."""
        return self._bytes >= _FULL_BYTES

    def append(self, commits: Sequence[PositionCommit]) -> None:
        """Adds commits; they are durable when this returns.

        Raises:
            StoreUnwritable: The disk does not take them; nothing of them counts.
        """
        content = _ENCODER.encode([_packed(each) for each in commits])
        length = _LENGTH.pack(len(content))
        checksum = _LENGTH.pack(crc32c(content, crc32c(length)))
        try:
            descriptor = self._opened()
            # What a call before left that failed.
            if os.lseek(descriptor, 0, os.SEEK_END) != self._bytes:
                os.ftruncate(descriptor, self._bytes)
                os.lseek(descriptor, self._bytes, os.SEEK_SET)
            write_all(descriptor, [length, checksum, content])
            os.fdatasync(descriptor)
        except OSError as error:
            raise self._unwritable(error) from error
        self._bytes += _PREFIX_BYTES + len(content)
        self.waiting += commits

    def empty(self) -> None:
        """Forgets what waits, for the catalogue has it; durable when this returns.

        Raises:
            StoreUnwritable: The disk does not take it; all waits as before.
        """
        try:
            os.ftruncate(self._opened(), 0)
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from error
        self._bytes = 0
        self.waiting = []

    def close(self) -> None:
        """Gives its descriptor back; what waits is in the file."""
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

    def _frames(self, data: memoryview) -> Iterator[list[PositionCommit]]:
        position = 0
        while position < len(data):
            begin = position + _PREFIX_BYTES
            prefix = data[position:begin]
            if len(prefix) < _PREFIX_BYTES:
                self._tell_damage(position, len(data))
                return
            (length,), (checksum,) = (_LENGTH.unpack(each) for each in (prefix[:4], prefix[4:]))
            content = data[begin : begin + length]
            if len(content) == length and crc32c(content, crc32c(prefix[:4])) == checksum:
                yield [_unpacked(each) for each in _DECODER.decode(content)]
            else:
                self._tell_damage(position, min(begin + length, len(data)))
            position = begin + length

    def _tell_damage(self, begin: int, end: int) -> None:
        _log.warning(
            "commits cannot be read: their subscriptions go on from earlier ones",
            extra={
                "event": "commits_damaged",
                "path": str(self._path),
                "begin_byte": begin,
                "end_byte": end,
            },
        )


def _packed(commit: PositionCommit) -> _Commit:
    positions = [
        ((each.connection, each.topic, each.incarnation, each.partition), offset)
        for each, offset in commit.positions.items()
    ]
    return commit.subscription, commit.committed_ms, commit.full_sync_done, positions


def _unpacked(packed: _Commit) -> PositionCommit:
    name, committed_ms, full_sync_done, positions = packed
    found = {PartitionId(*identity): offset for identity, offset in positions}
    return PositionCommit(name, found, committed_ms, full_sync_done)
