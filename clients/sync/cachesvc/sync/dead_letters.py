"""Where a task keeps records that are refused for good: one append-only file.

``NAME.letters.jsonl`` in the directory of the settings has one JSON object a line: a letter, or the
note that an earlier one is settled. What is appended is on the disk before the task goes on. A line
that a crash tore is cut off when the file is opened to be written.
"""

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from cachesvc.sync.config import ErrorsConfig
from cachesvc.sync.errors import SyncError, TargetUnavailable, TooManyRefused
from cachesvc.sync.runner.letters import Letter

_SHARE_FROM_RECORDS = 100
Identity = tuple[str, int, int, int]


class LettersInUse(SyncError):
    """Another process writes these letters: the task runs."""

    default_reason = "LETTERS_IN_USE"


class LettersDamaged(SyncError):
    """A line of the file is none of ours."""

    default_reason = "LETTERS_DAMAGED"


class LettersShared(SyncError):
    """A topic has more than the letters of one task, and cannot lose these alone."""

    default_reason = "LETTERS_SHARED"


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The note that a letter needs no attention any more: ``written`` or ``exported``."""

    identity: Identity
    how: str
    settled_ms: int


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    letter: Letter | None = None
    settled: Settled | None = None


_decoder = msgspec.json.Decoder(_Line)


class LetterBox:
    """The letters of one task. Blocks; one thread at a time.

    Args:
        directory: Of the settings.
        task: The task's name.
    """

    def __init__(self, directory: Path, task: str) -> None:
        self.path = directory / f"{task}.letters.jsonl"
        self._file: BinaryIO | None = None
        self._standing: dict[Identity, Letter] = {}

    @property
    def count(self) -> int:
        """Letters that stand, as of the last look."""
        return len(self._standing)

    def read(self) -> list[Letter]:
        """The letters that stand, by topic, partition and offset; also while a task runs.

        Raises:
            LettersDamaged: A line is none of ours.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        self._standing = dict(_replayed(content, self.path))
        return sorted(self._standing.values(), key=lambda each: each.identity)

    def open(self) -> None:
        """Gets ready to write, and keeps others from it. Idempotent.

        Raises:
            LettersInUse: Another process writes here.
            LettersDamaged: A line is none of ours.
            TargetUnavailable: The disk refuses.
        """
        if self._file is not None:
            return
        with _disk(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            file = os.fdopen(descriptor, "r+b", buffering=0)
            try:
                _lock(file, self.path)
                _cut_torn_line(file)
                _sync_directory(self.path.parent)
                self.read()
            except BaseException:
                file.close()
                raise
            self._file = file

    def close(self) -> None:
        """Lets others write. Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def news_among(self, letters: Iterable[Letter]) -> list[Letter]:
        """Those that do not stand here already, for the same reason and as often; each once."""
        known = self._standing
        news = {
            each.identity: each
            for each in letters
            if (before := known.get(each.identity)) is None
            or before.reason != each.reason
            or before.tries < each.tries
        }
        return list(news.values())

    def append(self, letters: Sequence[Letter]) -> None:
        """Keeps letters; they are on the disk when this returns.

        Raises:
            TargetUnavailable: The disk refuses; nothing is kept.
        """
        self._append([_Line(letter=each) for each in letters])
        self._standing.update((each.identity, each) for each in letters)

    def settle(self, letters: Sequence[Letter], how: str) -> None:
        """Notes that letters need no attention any more, and makes the file smaller if it can.

        Raises:
            TargetUnavailable: The disk refuses; they stand.
        """
        now_ms = time.time_ns() // 1_000_000
        self._append(
            [
                _Line(settled=Settled(identity=each.identity, how=how, settled_ms=now_ms))
                for each in letters
            ]
        )
        for each in letters:
            self._standing.pop(each.identity, None)
        if not self._standing:
            assert self._file is not None
            with _disk(self.path):
                self._file.truncate(0)
                os.fsync(self._file.fileno())

    def _append(self, lines: Sequence[_Line]) -> None:
        assert self._file is not None, "opened first"
        content = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        with _disk(self.path):
            size = os.fstat(self._file.fileno()).st_size
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[self._file.write(rest) :]
                os.fsync(self._file.fileno())
            except OSError:
                os.ftruncate(self._file.fileno(), size)
                raise


class Limits:
    """How much may be refused, by the settings.

    Args:
        config: Of the settings.
        hint: For messages: where to look.

    Attributes:
        refused: Records that this run refused.
        records: Records of the source that it came to.
    """

    def __init__(self, config: ErrorsConfig, hint: str) -> None:
        self._config = config
        self._hint = hint
        self.refused = 0
        self.records = 0

    def check(self, letters: Sequence[Letter], standing: int) -> None:
        """Whether letters may be added, so that so many stand.

        Raises:
            TooManyRefused: They may not.
        """
        config = self._config
        # None of these may be there yet.
        first = letters[0]
        where = f"the last ones from {first.topic}/{first.partition} at offset {first.offset} on: "
        where += f"{first.reason}: {first.detail}; {self._hint}"
        if standing > config.refused_max:
            raise TooManyRefused(
                f"{standing} records are refused, errors.refused_max allows "
                f"{config.refused_max}; {where}",
                metadata={"refused": str(standing)},
            )
        total, records = self.refused + len(letters), self.records
        share = config.refused_share_max
        if share is not None and records >= _SHARE_FROM_RECORDS and total > share * records:
            raise TooManyRefused(
                f"{total} of {records} records are refused, errors.refused_share_max allows "
                f"{share:.2%}; {where}",
                metadata={"refused": str(total), "records": str(records)},
            )


class DeadLetters:
    """Keeps what is refused in a letter box, up to the limits of the settings.

    Args:
        box: Where to.
        limits: Of the settings.
    """

    def __init__(self, box: LetterBox, limits: ErrorsConfig) -> None:
        self._box = box
        hint = f"`cachesvc-sync dead-letters list` shows what is kept in {box.path}"
        self._limits = Limits(limits, hint)

    async def open(self) -> None:
        """Gets ready; raises as ``LetterBox.open`` does."""
        await asyncio.to_thread(self._box.open)

    async def keep(self, letters: Sequence[Letter]) -> None:
        news = self._box.news_among(letters)
        self._limits.check(letters, self._box.count + len(news))
        if news:
            await asyncio.to_thread(self._box.append, news)
        self._limits.refused += len(letters)

    def count(self, records: int) -> None:
        self._limits.records += records

    async def close(self) -> None:
        """Lets others write. Idempotent."""
        await asyncio.to_thread(self._box.close)


def _replayed(content: bytes, path: Path) -> Iterator[tuple[Identity, Letter]]:
    standing: dict[Identity, Letter] = {}
    *lines, _torn = content.split(b"\n")
    for number, text in enumerate(lines, 1):
        try:
            line = _decoder.decode(text)
        except msgspec.DecodeError as error:
            raise LettersDamaged(f"{path}: line {number} is no letter: {error}") from error
        if line.letter is not None:
            standing[line.letter.identity] = line.letter
        elif line.settled is not None:
            standing.pop(line.settled.identity, None)
    yield from standing.items()


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        advice = "stop the task first: `cachesvc-sync stop`"
        raise LettersInUse(f"{path} is being written by a running task; {advice}") from error


def _cut_torn_line(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    end = size
    while end:
        begin = max(0, end - 65_536)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        file.truncate(end)
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turns trouble with the disk into what may pass."""
    try:
        yield
    except OSError as error:
        raise TargetUnavailable(
            f"{path}: dead letters cannot be kept: {error.strerror}", reason="DEAD_LETTERS_DISK"
        ) from error
