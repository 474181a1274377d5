"""What was committed of late, in a file beside the catalogue.

A transaction of DuckDB costs some milliseconds whatever is in it, a short append that is synced a
fifth of one. So commits are durable here first, and go into the catalogue many at a time. The
file holds what the catalogue has not yet, and is empty most of the time.

The content of a frame (``framed_file``) is MessagePack of the commits of one call.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from cachesvc.model import PartitionId
from cachesvc.store.framed_file import FramedFile, read_frames
from cachesvc.store.ports import PositionCommit

_FULL_BYTES = 1 << 20
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
        data = memoryview(path.read_bytes() if path.exists() else b"")
        self._file = FramedFile(path, len(data))
        self.waiting = [each for commits in self._frames(data) for each in commits]
        """What the catalogue has not yet, in the order in which it was committed."""

    @property
    def full(self) -> bool:
        """Whether it is time to bring into the catalogue what waits."""
        return self._file.bytes >= _FULL_BYTES

    def append(self, commits: Sequence[PositionCommit]) -> None:
        """Adds commits; they are durable when this returns.

        Raises:
            StoreUnwritable: The disk does not take them; nothing of them counts.
        """
        self._file.append(_ENCODER.encode([_packed(each) for each in commits]))
        self.waiting += commits

    def empty(self) -> None:
        """Forgets what waits, for the catalogue has it; durable when this returns.

        Raises:
            StoreUnwritable: The disk does not take it; all waits as before.
        """
        self._file.cut(0)
        self.waiting = []

    def close(self) -> None:
        """Gives its descriptor back; what waits is in the file."""
        self._file.close()

    def _frames(self, data: memoryview) -> Iterator[list[PositionCommit]]:
        for frame in read_frames(data):
            if frame.content is None:
                self._tell_damage(frame.begin, frame.end)
            else:
                yield [_unpacked(each) for each in _DECODER.decode(frame.content)]

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
