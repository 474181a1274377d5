"""Every change of the catalogue since its copies, in files beside it.

The catalogue is durable by itself. These files are for the day when it is damaged or gone: a copy
of it, and what was changed since, are all that it had. Changes are numbered from 1, one to a
transaction, and the catalogue has the number of its last one. A change is here just before its
transaction is committed, so that none is in the catalogue alone.

A file is called like the catalogue, ``.changes-`` and the number of the last change before it, in
20 digits. The content of a frame (``framed_file``) is MessagePack of a change: its number, and its
statements with parameters and the Arrow table that each reads, as an IPC stream. A frame without
content says that another file follows, so that one that is missing is missed.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cachesvc.errors import StoreUnwritable
from cachesvc.store import layout
from cachesvc.store.framed_file import FramedFile, read_frames


class Statement(NamedTuple):
    """A statement that changes something.

    Attributes:
        text: SQL.
        parameters: Positional.
        table: The name of an Arrow table that it reads; empty if it reads none.
        rows: That table, as an IPC stream.
    """

    text: str
    parameters: list[Any]
    table: str = ""
    rows: bytes = b""


class Change(NamedTuple):
    """What one transaction changed; ``number`` is one above that of the change before it."""

    number: int
    statements: list[Statement]


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes behind one that is known.

    Attributes:
        found: In order, nothing missing between.
        whole: Whether these are all, as far as files can tell.
    """

    found: list[Change]
    whole: bool


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Change)
_ENDLESS = 1 << 62
_GOES_ON = Change(0, [])


class ChangeLog:
    """Belongs to one thread.

    Args:
        catalogue: The file that is changed.
        number: Of the last change that it has.
    """

    def __init__(self, catalogue: Path, number: int) -> None:
        self._catalogue = catalogue
        self.number = number
        """Of the last change."""
        self._file = self._begun()
        self._before = 0

    def append(self, statements: Sequence[Statement]) -> None:
        """Adds a change with the next number; durable when this returns.

        Raises:
            StoreUnwritable: The disk does not take it; it does not count.
        """
        self._before = self._file.bytes
        self._file.append(_ENCODER.encode(Change(self.number + 1, list(statements))))
        self.number += 1

    def take_back(self) -> None:
        """Forgets the last change: its transaction was not committed."""
        self.number -= 1
        self._file.bytes = self._before
        with suppress(StoreUnwritable):  # then the next one is written over it
            self._file.cut(self._before)

    def part(self) -> int:
        """Begins a file for further changes, if this one has any; the number of the last one."""
        if self._file.bytes:
            self._file.close()
            self._file = self._begun()
        return self.number

    def forget(self, number: int) -> None:
        """Deletes files that have no change behind this one."""
        for (path, _), (_, behind) in pairwise(_files(self._catalogue)):
            if behind <= number:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Gives its descriptor back."""
        self._file.close()

    def _begun(self) -> FramedFile:
        files = [path for path, begin in _files(self._catalogue) if begin < self.number]
        path = _path(self._catalogue, self.number)
        file = FramedFile(path, path.stat().st_size if path.exists() else 0)
        # A disk that is full keeps no catalogue from being opened: the first change does it then.
        with suppress(StoreUnwritable):
            file.cut(0)  # of one change that was never committed
            if files:
                with closing(FramedFile(files[-1], files[-1].stat().st_size)) as before:
                    before.append(b"")
        file.bytes = 0
        return file


def has_changes(catalogue: Path) -> bool:
    """Whether there are any of a catalogue, or were since its copies."""
    return bool(_files(catalogue))


def read_changes(catalogue: Path, number: int) -> Changes:
    """The changes of a catalogue behind the one of that number. Blocking."""
    files = _files(catalogue)
    ends = [*(begin for _, begin in files[1:]), _ENDLESS]
    found: list[Change] = []
    if not files or files[0][1] > number:
        return Changes(found, whole=False)
    for (path, _), end in zip(files, ends, strict=True):
        damaged = goes_on = False
        # Behind the begin of the next file there is one at most that was never committed.
        for change in _read(path):
            following = number + len(found) + 1
            if change is _GOES_ON:
                goes_on = True
            elif change is None or change.number > following:
                damaged = True
                break
            elif change.number == following <= end:
                found.append(change)
        if number + len(found) < end and (damaged or goes_on or end != _ENDLESS):
            return Changes(found, whole=False)
    return Changes(found, whole=True)


def delete_changes(catalogue: Path) -> None:
    """Deletes all files of changes."""
    for path, _ in _files(catalogue):
        path.unlink()


def _read(path: Path) -> Iterator[Change | None]:
    """The changes of a file; None for a damaged one."""
    for frame in read_frames(memoryview(path.read_bytes())):
        if frame.content is None:
            yield None
        else:
            yield _DECODER.decode(frame.content) if len(frame.content) else _GOES_ON


def _files(catalogue: Path) -> list[tuple[Path, int]]:
    """By the number of the last change before each, with that."""
    begin = catalogue.name + layout.CHANGES_INFIX
    found = [
        (path, int(path.name.removeprefix(begin)))
        for path in catalogue.parent.iterdir()
        if path.name.startswith(begin) and path.name.removeprefix(begin).isdigit()
    ]
    return sorted(found, key=lambda each: each[1])


def _path(catalogue: Path, number: int) -> Path:
    return catalogue.with_name(f"{catalogue.name}{layout.CHANGES_INFIX}{number:020d}")
