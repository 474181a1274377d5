"""What is ruled out before it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from cachesvc.filters.projection import Projection
from cachesvc.filters.reducing import Reduction
from cachesvc.filters.text import parse
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment
from cachesvc.store import segments
from cachesvc.store.frames import Frame, first_offset
from cachesvc.store.segments import SegmentLayout
from tests.support.frames import (
    NOW_MS,
    frame,
    full_frames,
    record,
    records,
    records_of,
)
from tests.unit.log.running import append, filled, roll, running, until
from tests.unit.log.test_reading import ON_DISK


@pytest.mark.usefixtures("small_chunks")
def test_segments_and_row_groups_that_nobody_wants_stay_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, int]] = []
    opened: list[str] = []
    read_row_group, read_layout = segments.read_row_group, segments.read_layout

    def noted(path: Path, segment: Segment, layout: SegmentLayout, number: int) -> list[Frame]:
        read.append((segment.base_offset, layout.first_offsets[number]))
        return read_row_group(path, segment, layout, number)

    def noted_layout(path: Path, segment: Segment) -> SegmentLayout:
        opened.append(path.name)
        return read_layout(path, segment)

    monkeypatch.setattr(segments, "read_row_group", noted)
    monkeypatch.setattr(segments, "read_layout", noted_layout)

    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0, **ON_DISK) as store:
            log = await filled(store, full_frames(0, 30, 6))
            await roll(store, log)
            await append(store, log, full_frames(30, 60, 6))
            await roll(store, log)
            await until(lambda: not log.journals)
            wanted = f"timestamp >= {NOW_MS + 14} and timestamp < {NOW_MS + 16}"
            frames = await _read_wanted(store, log, wanted)
            assert records_of(frames) == records(12, 24)
            assert first_offset(frames, 0, 60) == 0
            assert read == [(0, 12)]
            assert opened == [Path(log.segments[0].path).name]

    asyncio.run(run())


async def _read_wanted(store: LogStore, log: PartitionLog, text: str) -> list[Frame]:
    """All frames of ``[0, 60)``, as somebody reads them who wants but some records."""
    wanted = Reduction(parse(text), Projection())
    frames: list[Frame] = []
    offset = 0
    while chunk := await store.reader.read(log, offset, wanted):
        frames += chunk
        offset = chunk[-1].end_offset
    ends = [0, *(each.end_offset for each in frames)]
    assert ends == [*(each.base_offset for each in frames), 60]
    return frames


@pytest.mark.usefixtures("small_chunks")
def test_row_groups_without_a_key_that_is_wanted_stay_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[int] = []
    looked: list[tuple[int, list[str]]] = []
    read_row_group, read_columns = segments.read_row_group, segments.read_columns

    def noted(path: Path, segment: Segment, layout: SegmentLayout, number: int) -> list[Frame]:
        whole.append(layout.first_offsets[number])
        return read_row_group(path, segment, layout, number)

    def noted_look(
        path: Path, layout: SegmentLayout, number: int, columns: Sequence[str]
    ) -> pa.Table:
        looked.append((layout.first_offsets[number], list(columns)))
        return read_columns(path, layout, number, columns)

    monkeypatch.setattr(segments, "read_row_group", noted)
    monkeypatch.setattr(segments, "read_columns", noted_look)
    rows = [replace(record(offset), key=b"k-%d" % offset) for offset in range(60)]

    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0, **ON_DISK) as store:
            log = await filled(store, [frame(at, at + 6, rows[at : at + 6]) for at in (0, 6, 12)])
            await append(
                store, log, [frame(at, at + 6, rows[at : at + 6]) for at in range(18, 60, 6)]
            )
            await roll(store, log)
            await until(lambda: not log.journals)
            for _ in range(2):  # who comes later has no look to take again
                frames = await _read_wanted(store, log, 'value.id >= 0 and key == "k-17"')
                assert records_of(frames) == rows[12:24]
                assert looked == [(first, ["key"]) for first in (0, 12, 24, 36, 48)]
                assert whole == [12]
            # One group is kept whole, which nobody needs to look at before.
            assert records_of(await _read_wanted(store, log, 'key == "nobody"')) == rows[12:24]
            assert [first for first, _ in looked[5:]] == [0, 24, 36, 48]
            assert whole == [12]
            either = 'key == "k-50" or value.id == 3'
            assert records_of(await _read_wanted(store, log, either)) == rows
            assert len(looked) == 9, "a key alone rules nothing out here"

    asyncio.run(run())
