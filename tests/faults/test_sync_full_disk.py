"""A disk that is full under a sink of files: said, nothing half-written, and on with room."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from cachesvc.sync import Sink, SinkKind, TargetUnavailable, TaskContext
from cachesvc.sync.sinks.jsonl import JSONL
from cachesvc.sync.sinks.parquet import PARQUET
from cachesvc.sync.testing import changes, delivery, put
from tests.support.small_disk import disk

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]

Read = Callable[[Path], list[int]]
_ROWS = 500
_DELIVERIES_MAX = 100


def _lines(place: Path) -> list[int]:
    text = "".join(path.read_text() for path in sorted(place.glob("task.*jsonl")))
    assert not text or text.endswith("\n")
    return [json.loads(line)["offset"] for line in text.splitlines()]


def _rows(place: Path) -> list[int]:
    files = sorted(place.rglob("*.parquet"))
    return [at for file in files for at in pq.ParquetFile(file).read()["offset"].to_pylist()]


async def _fill(sink: Sink, notes: Iterator[str]) -> tuple[int, TargetUnavailable]:
    """How many rows were confirmed before the disk was full, and what was said then."""
    await sink.open()
    for turn in range(_DELIVERIES_MAX):
        begin = turn * _ROWS
        piece = changes([put(n, note=next(notes)) for n in range(begin, begin + _ROWS)])
        try:
            await sink.write(delivery(piece))
        except TargetUnavailable as error:
            return begin, error
    raise AssertionError("the disk never was full")


def _notes() -> Iterator[str]:
    """Texts that do not compress, the same each time."""
    state = 12_345
    while True:
        state = state * 6_364_136_223_846_793_005 + 1 & (1 << 1_024) - 1
        yield f"{state:x}"


@pytest.mark.parametrize(
    ("kind", "settings", "read"),
    [
        (JSONL, {"file_bytes_max": 200_000}, _lines),
        (JSONL, {"file_bytes_max": 1 << 30}, _lines),
        (PARQUET, {}, _rows),
    ],
    ids=["lines in small files", "lines in one file", "parquet"],
)
def test_what_was_confirmed_is_whole_and_the_rest_follows_once_there_is_room(
    kind: SinkKind, settings: dict[str, Any], read: Read, tmp_path: Path
) -> None:
    place = tmp_path / "disk"
    with disk(place, "1m") as remount:
        given = msgspec.convert({"path": str(place), **settings}, kind.settings)
        sink = kind.make(given, TaskContext("task"))

        async def story() -> None:
            confirmed, error = await _fill(sink, _notes())
            assert (error.reason, confirmed > 0) == ("TARGET_FULL", True)
            assert read(place) == list(range(confirmed))
            assert not list(place.rglob("*.tmp"))
            (*_, check) = await sink.check()
            assert check.passed or check.hint
            # Still full, and opened again as the runner does.
            kept = await sink.open()
            end = confirmed if kept is None else kept["conformance", 0].offset
            assert end == confirmed
            writes = [
                put(n, note=note)
                for n, note in zip(range(end, end + 5_000), _notes(), strict=False)
            ]
            rest = delivery(changes(writes))
            with pytest.raises(TargetUnavailable):
                await sink.write(rest)
            assert read(place) == list(range(confirmed))

            remount("size=20m")
            await sink.open()
            await sink.write(rest)
            await sink.close()
            assert read(place) == list(range(confirmed + 5_000))

        asyncio.run(story())
