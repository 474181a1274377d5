"""What a reader process is working on, told to the process after it.

A reader that is killed says nothing, and the next one would walk into the same record. So each
notes what it has in hand in a file that is mapped into its memory: a note costs a microsecond and
no call of the system, and it is there however the process ends. The next process of that name reads
it at its start, and tells the service. A process that ends cleanly leaves nothing to tell.

Layout: a header, then slots of fixed size, each a length and as much JSON. A length is written
behind its bytes, so what cannot be read is a note that was never finished.
"""

import contextlib
import fcntl
import json
import logging
import mmap
import os
import stat
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cachesvc.mining.source import SourcePartition

_log = logging.getLogger(__name__)

_HEADER = struct.Struct("<8sII")
_MAGIC = b"CDCBOX1\n"
_LENGTH = struct.Struct("<I")
_SLOT_BYTES = 2 << 10
SLOTS = 4
"""Notes of work in hand: decoding and encoding, of the tail and of older ranges."""
_BEGUN_AT = _HEADER.size + SLOTS * _SLOT_BYTES
_FILE_BYTES = 4 << 20
_RUNNING, _ENDED = 1, 0
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
LEFT_S = 86_400.0
"""After so long nobody comes any more in the place of a reader that has ended."""


@dataclass(frozen=True, slots=True)
class WorkedOn:
    """A piece of work that a reader had in hand.

    Attributes:
        partition: Whose records.
        incarnation: Which incarnation of the topic.
        offset: Where they begin; -1 for wherever the source begins.
        bytes: Their size as fetched; 0 where that is not known.
        end: Where they end; 0 where that is not known.
        rows: How many records at most were to go into one append; 0 where none was in hand.
        alone: Whether nothing but this partition had been begun, and nothing of it was there yet.
    """

    partition: SourcePartition
    incarnation: int
    offset: int
    bytes: int = 0
    end: int = 0
    rows: int = 0
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Before:
    """What the process before left.

    Attributes:
        worked_on: What it had in hand when it died.
        deaths: How many processes in a row have died soon, this one among them.
        begun: Partitions that it had begun to fetch last, where it began them one by one.
    """

    worked_on: Sequence[WorkedOn] = ()
    deaths: int = 0
    begun: Sequence[WorkedOn] = ()


class Recorder(Protocol):
    """Takes notes of work in hand; from any thread, one at a time for each slot."""

    def note(self, slot: int, work: WorkedOn) -> None:
        """This is in hand now, instead of what was."""

    def clear(self, slot: int) -> None:
        """Nothing is."""


class NoRecorder:
    """Takes no notes."""

    def note(self, slot: int, work: WorkedOn) -> None:
        """See ``Recorder``."""

    def clear(self, slot: int) -> None:
        """See ``Recorder``."""


class BlackBox:
    """The notes of one reader process. Use ``open``.

    Attributes:
        before: What the process before left.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # A note in a page that the disk has no room for would end the process (SIGBUS), so there is
        # room for those that are mapped; the others are written.
        os.posix_fallocate(descriptor, 0, _BEGUN_AT)
        os.ftruncate(descriptor, _FILE_BYTES)
        self._map = mmap.mmap(descriptor, _FILE_BYTES)
        self.before = self._read()
        self._write_header(_RUNNING, self.before.deaths)

    @classmethod
    def open(cls, path: Path) -> "BlackBox | None":
        """Opens the box of a name, making one if there is none.

        None where that cannot be done, or another process of that name has it: a reader mines
        without as well.
        """
        descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            while True:
                descriptor = os.open(path, _FLAGS | os.O_CREAT, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return cls(descriptor)
                os.close(descriptor)  # somebody has just removed it as one that was left
                descriptor = -1
        except (OSError, ValueError) as error:
            _log.warning(
                "a reader cannot note what it is working on",
                extra={"event": "black_box_unusable", "path": str(path), "error": str(error)},
            )
            if descriptor >= 0:
                os.close(descriptor)
            return None

    def note(self, slot: int, work: WorkedOn) -> None:
        """See ``Recorder``."""
        data = json.dumps(_as_row(work)).encode()
        at = _HEADER.size + slot * _SLOT_BYTES
        if len(data) > _SLOT_BYTES - _LENGTH.size:
            return  # no name is as long
        _LENGTH.pack_into(self._map, at, 0)
        self._map[at + _LENGTH.size : at + _LENGTH.size + len(data)] = data
        _LENGTH.pack_into(self._map, at, len(data))

    def clear(self, slot: int) -> None:
        """See ``Recorder``."""
        _LENGTH.pack_into(self._map, _HEADER.size + slot * _SLOT_BYTES, 0)

    def begin(self, works: Sequence[WorkedOn]) -> None:
        """Notes that these partitions are begun to be fetched now, and none beside them."""
        data = json.dumps([_as_row(work) for work in works]).encode()
        if len(data) > _FILE_BYTES - _BEGUN_AT - _LENGTH.size:
            data = b""  # more partitions than there is room for: they are not told apart
        with contextlib.suppress(OSError):  # nor are they where the disk is full
            os.pwrite(self._descriptor, _LENGTH.pack(0), _BEGUN_AT)
            os.pwrite(self._descriptor, data, _BEGUN_AT + _LENGTH.size)
            os.pwrite(self._descriptor, _LENGTH.pack(len(data)), _BEGUN_AT)

    def calm(self) -> None:
        """This process has lived long enough: what the ones before died of is not there."""
        self._write_header(_RUNNING, 0)
        self.begin(())

    def rest(self) -> None:
        """Nothing is in hand, and nothing begun, until more is noted."""
        for slot in range(SLOTS):
            self.clear(slot)
        self.begin(())

    def close(self, *, clean: bool) -> None:
        """Ends the notes; after a clean end nothing is told of them."""
        if clean:
            self._write_header(_ENDED, 0)
        self._map.close()
        os.close(self._descriptor)

    def _write_header(self, state: int, deaths: int) -> None:
        _HEADER.pack_into(self._map, 0, _MAGIC, state, deaths)

    def _read(self) -> Before:
        magic, state, deaths = _HEADER.unpack_from(self._map)
        found: list[WorkedOn] = []
        begun: list[WorkedOn] = []
        if magic == _MAGIC and state == _RUNNING:
            for slot in range(SLOTS):
                row = self._note_at(_HEADER.size + slot * _SLOT_BYTES)
                if row is not None and (work := _from_row(row)) is not None:
                    found.append(work)
            rows = self._note_at(_BEGUN_AT)
            if isinstance(rows, list):
                begun = [work for row in rows if (work := _from_row(row)) is not None]
            deaths += 1
        else:
            deaths = 0
        self.rest()
        return Before(tuple(found), deaths, tuple(begun))

    def _note_at(self, at: int) -> Any:
        (length,) = _LENGTH.unpack_from(self._map, at)
        if not 0 < length <= _FILE_BYTES - at - _LENGTH.size:
            return None
        try:
            return json.loads(self._map[at + _LENGTH.size : at + _LENGTH.size + length])
        except ValueError:
            return None


def remove_left(directory: Path, pattern: str, keep: Path, older_s: float = LEFT_S) -> int:
    """Removes boxes of this user that no process has, and none had for so long; how many.

    Args:
        directory: Where they are; what else is there stays.
        pattern: What they are called.
        keep: One that is about to be opened.
        older_s: Seconds since the last note.
    """
    paths = [path for path in directory.glob(pattern) if path != keep]
    return sum(_removed(path, older_s) for path in paths)


def _removed(path: Path, older_s: float) -> bool:
    try:
        descriptor = os.open(path, _FLAGS | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
        old = time.time() - found.st_mtime > older_s
        if not (stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and old):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.pread(descriptor, len(_MAGIC), 0) != _MAGIC:
            return False
        path.unlink()
    except OSError:  # another process has it, or has just removed it
        return False
    finally:
        os.close(descriptor)
    return True


def _as_row(work: WorkedOn) -> list[object]:
    topic, number = work.partition
    return [topic, number, work.incarnation, work.offset, work.bytes, work.end, work.rows]


def _from_row(row: Any) -> WorkedOn | None:
    match row:
        case [str(topic), int(number), int(), int(), int(), int(), int()]:
            return WorkedOn(SourcePartition(topic, number), *row[2:])
    return None
