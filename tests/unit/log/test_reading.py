from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from cachesvc.errors import DamagedFile, DataLoss, StoreUnreadable
from cachesvc.log import reading
from cachesvc.log.estimates import may_lack_times
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.rejects import read_rejects
from cachesvc.model import Segment
from cachesvc.store import journal as journal_module
from cachesvc.store import segments
from cachesvc.store.frames import Frame
from cachesvc.store.segments import SegmentLayout
from tests.support.frames import (
    NOW_MS,
    Reject,
    assert_contiguous,
    flip_bit,
    frame,
    full_frame,
    full_frames,
    record,
    records,
    records_of,
)
from tests.unit.log.running import append, filled, read_all, roll, running, until

ON_DISK = {"memory_bytes_max": 0}


async def in_every_place(store: LogStore) -> PartitionLog:
    """[0, 30) in a segment, [30, 60) warm, [60, 90) in the active journal, with holes."""
    log = await filled(store, [*full_frames(0, 20, 3), frame(20, 25), *full_frames(25, 30, 5)])
    await roll(store, log)
    first = log.journals.pop(0)
    first.path.unlink()
    await append(store, log, full_frames(30, 60, 4))
    await roll(store, log)
    await append(store, log, full_frames(60, 90, 4))
    return log


EXPECTED = [*records(0, 20), *records(25, 90)]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("memory_bytes", [0, 3_000, 1 << 30])
def test_reads_from_any_offset_to_the_end(tmp_path: Path, memory_bytes: int) -> None:
    async def run() -> None:
        async with running(tmp_path, memory_bytes_max=memory_bytes) as store:
            log = await in_every_place(store)
            for offset in range(90):
                first = (await store.reader.read(log, offset))[0]
                assert first.base_offset <= offset < first.end_offset
                frames = await read_all(store.reader, log, offset)
                assert_contiguous(frames, offset, 90)
                assert records_of(frames) == [row for row in EXPECTED if row.offset >= offset]
            assert await store.reader.read(log, 90) == ()
            assert await store.reader.read(log, 1_000) == ()

    asyncio.run(run())


@pytest.mark.usefixtures("small_chunks")
def test_every_chunk_is_read_once_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    real_frames, real_group = journal_module.read_frames, segments.read_row_group

    def read_frames(path: Path, begin: int, end: int) -> list[Frame]:
        reads.append(f"{path.name} {begin}")
        return real_frames(path, begin, end)

    def read_row_group(
        path: Path, segment: Segment, layout: SegmentLayout, number: int
    ) -> list[Frame]:
        reads.append(f"{path.name} {number}")
        return real_group(path, segment, layout, number)

    async def run() -> None:
        async with running(tmp_path, **ON_DISK) as store:
            log = await in_every_place(store)
            await append(store, log, full_frames(90, 120, 4))
            await roll(store, log)  # so that every chunk is complete
            monkeypatch.setattr(reading, "read_frames", read_frames)
            monkeypatch.setattr(segments, "read_row_group", read_row_group)
            everybody = [read_all(store.reader, log, offset % 7) for offset in range(40)]
            for frames in await asyncio.gather(*everybody):
                assert frames[-1].end_offset == 120

    asyncio.run(run())
    assert len(reads) == len(set(reads)) > 5


def test_the_growing_chunk_is_read_anew(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, **ON_DISK) as store:
            log = await filled(store, [full_frame(0, 5)])
            for end in range(10, 50, 5):
                await append(store, log, [full_frame(end - 5, end)])
                assert records_of(await read_all(store.reader, log, 0)) == records(0, end)

    asyncio.run(run())


def test_what_is_before_the_log_start_is_lost(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await in_every_place(store)
            await store.expire(log, log.segments[:1], 30)
            with pytest.raises(DataLoss) as caught:
                await store.reader.read(log, 29)
            assert caught.value.reason == "CACHE_RETENTION"
            assert records_of(await read_all(store.reader, log, 30)) == records(30, 90)

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["flip", "remove", "cut"])
def test_a_warm_journal_that_is_damaged_is_left_for_its_segment(
    tmp_path: Path, damage: str
) -> None:
    async def run() -> None:
        async with running(tmp_path, **ON_DISK) as store:
            log = await filled(store, full_frames(0, 30, 5))
            await roll(store, log)
            path = log.journals[0].path
            match damage:
                case "flip":
                    flip_bit(path, 8 * path.stat().st_size - 1)
                case "remove":
                    path.unlink()
                case _:
                    path.write_bytes(path.read_bytes()[:-1])
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)
            assert log.journals == []
            assert not path.exists()

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_warm_journal_of_an_earlier_run_that_is_damaged(tmp_path: Path, damage: str) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 30, 5))
            await roll(store, log)
            path = log.journals[0].path
        if damage == "flip":
            flip_bit(path, 8 * path.stat().st_size // 2)
        else:
            path.write_bytes(path.read_bytes()[:-1])
        async with running(tmp_path) as store:
            log = store.all()[0]
            assert [entry.sealed for entry in log.journals] == [True]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_journal_that_nothing_else_replaces_is_reported_damaged(
    tmp_path: Path, damage: str
) -> None:
    async def run() -> None:
        async with running(tmp_path, **ON_DISK) as store:
            log = await filled(store, full_frames(0, 30, 5))
            path = log.journals[0].path
            if damage == "flip":
                flip_bit(path, 8 * path.stat().st_size - 1)
            else:
                path.unlink()
            with pytest.raises(DamagedFile, match="journal"):
                await read_all(store.reader, log, 0)

    asyncio.run(run())


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_segment_is_reported_damaged(tmp_path: Path, damage: str) -> None:
    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0, **ON_DISK) as store:
            log = await filled(store, full_frames(0, 30, 5))
            await roll(store, log)
            await until(lambda: not log.journals)
            path = tmp_path / log.segments[0].path
            if damage == "flip":
                flip_bit(path, 8 * path.stat().st_size - 100)
            else:
                path.unlink()
            for _ in range(2):
                with pytest.raises(DamagedFile):
                    await store.reader.read(log, 0)

    asyncio.run(run())


@pytest.mark.usefixtures("small_chunks")
def test_finds_the_offset_at_a_time_wherever_it_lies(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, **ON_DISK) as store:
            log = await in_every_place(store)
            assert await store.reader.offset_at(log, 0) == 0
            for offset in (0, 19, 25, 29, 30, 59, 60, 89):
                assert await store.reader.offset_at(log, NOW_MS + offset) == offset
            assert await store.reader.offset_at(log, NOW_MS + 20) == 25
            assert await store.reader.offset_at(log, NOW_MS + 90) is None
            await store.expire(log, log.segments[:1], 30)
            assert await store.reader.offset_at(log, 0) == 30

    asyncio.run(run())


def test_finds_a_time_though_times_do_not_rise(tmp_path: Path) -> None:
    rows = [record(offset, timestamp_ms=time) for offset, time in enumerate([50, 10, 70, 20, 60])]

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, [frame(n, n + 1, [row]) for n, row in enumerate(rows)])
            found = [await store.reader.offset_at(log, time) for time in (0, 50, 51, 70, 71)]
            assert found == [0, 0, 2, 2, None]

    asyncio.run(run())


@pytest.mark.parametrize("sealed", [False, True])
def test_tells_where_records_without_a_time_may_be(tmp_path: Path, sealed: bool) -> None:
    rows = [record(offset, timestamp_ms=time) for offset, time in enumerate([50, 10, -1, 20])]

    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0, **ON_DISK) as store:
            log = await filled(store, [frame(0, 2, rows[:2])])
            assert not may_lack_times(log, 2)
            await roll(store, log)
            await append(store, log, [frame(2, 4, rows[2:])])
            if sealed:
                await roll(store, log)
                await until(lambda: not log.journals)
            assert not may_lack_times(log, 2)
            assert may_lack_times(log, 3)

    asyncio.run(run())


def test_reading_ahead_has_no_say(tmp_path: Path) -> None:
    """Whatever reading ahead meets, the one who reads is told, and nobody else."""

    async def run() -> None:
        noises: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: noises.append(what))
        async with running(tmp_path, **ON_DISK) as store:
            log = await filled(store, full_frames(0, 30, 5))
            store.reader.prefetch(log, 0)
            store.reader.prefetch(log, 30)
            log.journals[0].path.unlink()
            store.reader.prefetch(log, 0)
            await asyncio.sleep(0.05)
        assert noises == []

    asyncio.run(run())


def test_rejects_are_told_in_offset_order(tmp_path: Path) -> None:
    def with_rejects(base: int, rejects: Sequence[int]) -> Frame:
        return frame(base, base + 10, [record(base)], [Reject(offset) for offset in rejects])

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, [with_rejects(0, [1, 2]), with_rejects(10, [])])
            await roll(store, log)
            await append(store, log, [with_rejects(20, [25])])
            await roll(store, log)
            await append(store, log, [with_rejects(30, [31]), with_rejects(40, [42, 49])])
            rows = [row async for page in read_rejects(store, log) for row in page]
            assert [row["offset"] for row in rows] == [1, 2, 25, 31, 42, 49]
            assert {row["timestamp"] for row in rows} == {NOW_MS}
            assert rows[0]["value"] == b"no json"
            (tmp_path / log.segments[0].rejects_path).unlink()
            rows = [row async for page in read_rejects(store, log) for row in page]
            assert [row["offset"] for row in rows] == [25, 31, 42, 49]

    asyncio.run(run())


@pytest.mark.parametrize("offset", [0, 70])  # in a segment, in the active journal
def test_what_the_system_does_not_let_read_is_no_damage(tmp_path: Path, offset: int) -> None:
    async def run() -> None:
        async with running(tmp_path, **ON_DISK) as store:
            log = await in_every_place(store)
            active = log.active
            assert active is not None
            path = active.path if offset else store.path / log.segments[0].path
            hidden = path.rename(path.with_suffix(".hidden"))
            path.mkdir()
            with pytest.raises(StoreUnreadable, match="Is a directory; try again") as refused:
                await store.reader.read(log, offset)
            assert refused.value.reason == "STORE_READ_FAILED"
            assert refused.value.metadata == {"path": str(path)}
            path.rmdir()
            hidden.rename(path)
            assert (await store.reader.read(log, offset))[0].base_offset <= offset

    asyncio.run(run())
