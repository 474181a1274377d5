"""A sink of the tests' own: appends what it gets to a file, and says where each run begins.

It is found as a stranger's sink would be, by an entry point; ``entry_point`` makes one in a
directory for ``PYTHONPATH``.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from cachesvc.client import Positions
from cachesvc.sync import ChangesRefused, Check, Delivery, Refusal, SinkKind, TaskContext
from tests.support.checker import Delivery as Delivered
from tests.support.checker import Restart

_METADATA = "Metadata-Version: 2.1\nName: stage-sink\nVersion: 1\n"
_ENTRY_POINTS = "[cachesvc.sinks]\nstage = tests.support.file_sink:STAGE\n"


class StageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of kind ``stage``.

    Attributes:
        path: The file.
        refuse: A value that contains this is refused; empty for none.
        pause_s: Each delivery takes so long, and nothing of it is written; 0 for at once.
    """

    path: str
    refuse: str = ""
    pause_s: float = 0.0


class StageSink:
    """One line per record: topic, partition, offset, value; ``[]`` where a run begins."""

    def __init__(self, settings: StageSettings) -> None:
        self._settings = settings
        self._file: int | None = None

    async def open(self) -> Positions | None:
        if self._file is None:
            self._file = os.open(self._settings.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            _cut_torn_line(self._file)
            os.write(self._file, b"[]\n")
        return None

    async def write(self, delivery: Delivery) -> None:
        assert self._file is not None
        if self._settings.pause_s:
            await asyncio.sleep(self._settings.pause_s)
            return
        lines, refusals = [], []
        for number, changes in enumerate(delivery.changes):
            of = changes.source
            offsets = changes.rows.column("offset").to_pylist()
            values = changes.rows.column("value").to_pylist()
            for row, (offset, value) in enumerate(zip(offsets, values, strict=True)):
                if self._settings.refuse and self._settings.refuse in (value or ""):
                    refusals.append(Refusal(number, row, "UNWANTED", "it is in there"))
                lines.append(json.dumps([of.topic, of.partition, offset, value]) + "\n")
        if refusals:
            raise ChangesRefused(refusals)
        rest = "".join(lines).encode()
        while rest:
            rest = rest[os.write(self._file, rest) :]

    async def check(self) -> Sequence[Check]:
        writable = os.access(Path(self._settings.path).parent, os.W_OK)
        return [Check("write", writable, self._settings.path)]

    async def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _make(settings: StageSettings, context: TaskContext) -> StageSink:
    return StageSink(settings)


STAGE = SinkKind(StageSettings, _make)


def entry_point(directory: Path) -> Path:
    """Makes the sink known to whoever has the directory on its path; gives it back."""
    info = directory / "stage_sink-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(_METADATA)
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    return directory


Row = tuple[int, str | None]


def mark(path: Path, positions: dict[int, int]) -> None:
    """Notes where the next run has to begin, by partition; nothing else may be writing."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        _cut_torn_line(file)
        os.write(file, json.dumps(positions).encode() + b"\n")
    finally:
        os.close(file)


def runs(path: Path, topic: str) -> list[dict[int, list[Row]]]:
    """What each run wrote: offset and value, by partition."""
    found: list[dict[int, list[Row]]] = []
    for fields in _lines(path):
        if fields == []:
            found.append({})
        elif isinstance(fields, list) and fields[0] == topic:
            found[-1].setdefault(fields[1], []).append((fields[2], fields[3]))
    return found


def events(path: Path, topic: str) -> dict[int, list[Delivered | Restart]]:
    """What a task did to each partition, as the checker wants it."""
    found: defaultdict[int, list[Delivered | Restart]] = defaultdict(list)
    for fields in _lines(path):
        if isinstance(fields, dict):
            for number, position in fields.items():
                found[int(number)].append(Restart(position))
        elif fields and fields[0] == topic:
            value = None if fields[3] is None else fields[3].encode()
            found[fields[1]].append((fields[2], value))
    return found


def _lines(path: Path) -> list[Any]:
    """A torn last line is left out."""
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def offsets(path: Path, topic: str) -> dict[int, list[int]]:
    """What all runs wrote, in order, by partition."""
    found: dict[int, list[int]] = {}
    for run in runs(path, topic):
        for number, rows in run.items():
            found.setdefault(number, []).extend(offset for offset, _ in rows)
    return found


def _cut_torn_line(file: int) -> None:
    size = os.lseek(file, 0, os.SEEK_END)
    content = os.pread(file, size, 0)
    os.ftruncate(file, content.rfind(b"\n") + 1)
