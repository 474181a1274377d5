"""JSON lines: changes appended to files that are turned over, or written to standard output."""

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec

from cachesvc.client import Positions
from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import InvalidTask, TargetUnavailable
from cachesvc.sync.own_thread import OwnThread
from cachesvc.sync.sink import Check, Delivery, Sink, SinkKind, TaskContext
from cachesvc.sync.sinks.files import check_directory, lock, sync_directory, telling, write_whole
from cachesvc.sync.sinks.lines import Deletes, Form, envelopes, values

STDOUT = "-"
_STDOUT_DESCRIPTOR = 1
_PIPE_BYTES = 4096
_LOOK_S = 0.2


class JsonLinesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of kind ``jsonl``.

    Attributes:
        path: Directory of the files, made where it is missing; ``-`` is standard output.
        lines: ``envelope``: an object of topic, partition, offset, timestamp, key, deleted and
            value per change; ``value``: the record's own object alone.
        deletes: What becomes of deletes where ``lines`` is ``value``: ``refuse`` or ``leave-out``.
        file_bytes_max: The file is turned over before it grows beyond this; a single delivery may.
        file_age_s_max: It is also turned over with the first write after a multiple of this since
            midnight UTC; 0 never.
        sync: Whether a delivery counts as written only once the disk has it.
    """

    path: str
    lines: Form = "envelope"
    deletes: Deletes = "refuse"
    file_bytes_max: int = 128 << 20
    file_age_s_max: float = 3600.0
    sync: bool = True


class Output(Protocol):
    """Where lines go; called in one thread."""

    def open(self) -> None: ...

    def write(self, lines: bytes) -> None:
        """Writes whole lines; all of them, or none that stays."""

    def check(self) -> list[Check]: ...

    def close(self) -> None: ...

    def hurry(self) -> None:
        """Ends a write that waits for whoever reads. From any thread."""


class RotatedFile:
    """A file that grows, and is renamed when it is full or of yesterday.

    ``NAME.jsonl`` is the one that grows; those that are complete are ``NAME.TIME.jsonl``, in order
    of their names.

    Args:
        directory: Where they lie.
        name: Their name's first part.
        settings: The limits.
        clock: Seconds since the Unix epoch.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        settings: JsonLinesSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._name = name
        self._settings = settings
        self._clock = clock
        self._path = directory / f"{name}.jsonl"
        self._descriptor: int | None = None

    def open(self) -> None:
        self.close()
        with telling(self._path):
            self._directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                lock(descriptor, self._path)
                _cut_torn_line(descriptor)
                sync_directory(self._directory)
            except BaseException:
                os.close(descriptor)
                raise
        self._descriptor = descriptor

    def write(self, lines: bytes) -> None:
        with telling(self._path):
            self._turn_over(len(lines))
            descriptor = self._opened()
            size = os.fstat(descriptor).st_size
            try:
                write_whole(descriptor, lines)
                if self._settings.sync:
                    os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise

    def check(self) -> list[Check]:
        return check_directory(self._directory)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def hurry(self) -> None:
        """Disks do not wait for readers."""

    def _opened(self) -> int:
        if self._descriptor is None:
            raise TargetUnavailable(f"{self._path} is not open")
        return self._descriptor

    def _turn_over(self, growth: int) -> None:
        found = os.fstat(self._opened())
        full = found.st_size + growth > self._settings.file_bytes_max
        age, now = self._settings.file_age_s_max, self._clock()
        old = age > 0 and now // age > found.st_mtime // age
        if not found.st_size or not (full or old):
            return
        os.fsync(self._opened())
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        complete = self._directory / f"{self._name}.{stamp}.jsonl"
        if complete.exists():
            raise TargetUnavailable(f"{complete} is there already")
        self._path.rename(complete)
        self.open()


class StandardOutput:
    """Lines for whoever reads the other end, as fast as that one reads.

    Args:
        descriptor: Of the output.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._hurry = threading.Event()

    def open(self) -> None:
        self._hurry.clear()

    def write(self, lines: bytes) -> None:
        rest = memoryview(lines)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        with telling("standard output"):
            while rest:
                if self._hurry.is_set():
                    raise TargetUnavailable("nobody reads standard output any more")
                # A pipe that is ready takes so many bytes without waiting.
                if poll.poll(_LOOK_S * 1000):
                    rest = rest[os.write(self._descriptor, rest[:_PIPE_BYTES]) :]

    def check(self) -> list[Check]:
        try:
            os.fstat(self._descriptor)
        except OSError as error:
            return [Check("write", False, str(error), "Start the task with an open output.")]
        return [Check("write", True, "standard output is open")]

    def close(self) -> None:
        """It belongs to the process."""

    def hurry(self) -> None:
        self._hurry.set()


class JsonLinesSink:
    """Appends changes as lines.

    At least once: a delivery whose confirmation got lost is there twice, and its order within each
    partition holds both times. A line that a crash tore is cut off when the file is opened again.

    Args:
        settings: The task's.
        output: Where lines go.
    """

    def __init__(self, settings: JsonLinesSettings, output: Output) -> None:
        self._settings = settings
        self._output = output
        self._thread = OwnThread("jsonl")

    async def open(self) -> Positions | None:
        await self._thread.run(self._output.open)
        return None

    async def write(self, delivery: Delivery) -> None:
        await self._thread.run(self._write, delivery.changes)

    async def check(self) -> Sequence[Check]:
        return await self._thread.run(self._output.check)

    async def close(self) -> None:
        self._output.hurry()
        await self._thread.run(self._output.close)
        await self._thread.close()

    def _write(self, changes: Sequence[Changes]) -> None:
        if self._settings.lines == "envelope":
            lines = envelopes(changes)
        else:
            lines = values(changes, self._settings.deletes)
        if lines:
            self._output.write(lines)


def _cut_torn_line(descriptor: int) -> None:
    """Cuts off what lies behind the last newline: a write that a crash ended."""
    end = os.fstat(descriptor).st_size
    while end:
        begin = max(0, end - (1 << 16))
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            end = begin + newline + 1
            break
        end = begin
    os.ftruncate(descriptor, end)


def _make(settings: JsonLinesSettings, context: TaskContext) -> Sink:
    if settings.file_bytes_max < 1:
        raise InvalidTask("sink.file_bytes_max has to be at least 1")
    if settings.file_age_s_max < 0:
        raise InvalidTask("sink.file_age_s_max has to be 0 or more")
    if settings.path == STDOUT:
        return JsonLinesSink(settings, StandardOutput(_STDOUT_DESCRIPTOR))
    if not settings.path:
        raise InvalidTask("sink.path is empty; give a directory, or - for standard output")
    file = RotatedFile(Path(settings.path), quote(context.task, safe=""), settings)
    return JsonLinesSink(settings, file)


JSONL = SinkKind(JsonLinesSettings, _make)
