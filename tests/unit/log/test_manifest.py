"""Changes of the manifest that meet each other, and times of mining."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment
from cachesvc.policy.mined_times import ClockReading
from cachesvc.store.merging import merge_segments
from tests.support.frames import ORDERS, full_frames, seal
from tests.unit.log.running import append, ensure, filled, roll, running

HOUR = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def set_time(path: Path, at_ms: int) -> None:
    os.utime(path, ns=(at_ms * 1_000_000, at_ms * 1_000_000))


async def mined(store: LogStore, *times: int) -> PartitionLog:
    """A log with a segment of ten records for each time, mined then."""
    log = await ensure(store, ORDERS, 0)
    for number, at_ms in enumerate(times):
        await append(store, log, full_frames(10 * number, 10 * number + 10, 5))
        index = log.journals[-1].index
        assert index is not None
        index.oldest_mined_ms = index.newest_mined_ms = at_ms
        await roll(store, log)
    return log


async def listed(store: LogStore) -> list[Segment]:
    return await store.catalogue.call(lambda port: port.list_segments())


def test_a_segment_knows_when_it_was_mined(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            begun_ms = now_ms()
            log = await filled(store, full_frames(0, 5, 5))
            await asyncio.sleep(0.05)
            again_ms = now_ms()
            await append(store, log, full_frames(5, 10, 5))
            appended_ms = now_ms()
            await asyncio.sleep(0.05)
            await roll(store, log)
            (segment,) = await listed(store)
            assert log.segments == [segment]
            assert begun_ms <= segment.oldest_mined_ms < again_ms
            assert again_ms <= segment.newest_mined_ms <= appended_ms < segment.created_ms

    asyncio.run(run())


def test_what_a_restart_finds_was_mined_when_its_journal_was_last_written(tmp_path: Path) -> None:
    last_week = now_ms() - 168 * HOUR

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            path, begun_ms = log.journals[0].path, log.journals[0].created_ms
        set_time(path, begun_ms + 1_000)
        async with running(tmp_path) as store:
            (log,) = store.all()
            await roll(store, log)
            assert log.segments[0].oldest_mined_ms == begun_ms
            assert log.segments[0].newest_mined_ms == begun_ms + 1_000
        # A file that claims to be older than its begin is a copy of some kind.
        async with running(tmp_path) as store:
            (log,) = store.all()
            await append(store, log, full_frames(10, 20, 5))
            path, begun_ms = log.journals[-1].path, log.journals[-1].created_ms
        set_time(path, last_week)
        async with running(tmp_path) as store:
            (log,) = store.all()
            await roll(store, log)
            assert log.segments[1].newest_mined_ms == begun_ms

    asyncio.run(run())


def test_a_merge_was_mined_when_its_parts_were(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await mined(store, 3_000, 1_000, 2_000)
            merged = merge_segments(tmp_path, log.segments, 1, now_ms())
            assert (merged.oldest_mined_ms, merged.newest_mined_ms) == (1_000, 3_000)
            assert await store.manifest.merge(log, log.segments, merged)
            assert log.segments == await listed(store) == [merged]

    asyncio.run(run())


def test_a_merge_of_what_retention_has_taken_meanwhile_is_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await mined(store, 1, 2, 3)
            sources = log.segments[:2]
            merged = merge_segments(tmp_path, sources, 1, now_ms())
            expiring = asyncio.ensure_future(store.expire(log, sources[:1], 10))
            await asyncio.sleep(0)
            assert not await store.manifest.merge(log, sources, merged)
            assert await expiring
            assert [each.base_offset for each in await listed(store)] == [10, 20]
        async with running(tmp_path) as store:
            (log,) = store.all()
            assert log.log_start_offset == 10, "what is gone does not come back with a restart"

    asyncio.run(run())


def test_an_expiry_of_what_was_merged_meanwhile_is_left_to_the_next_run(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await mined(store, 1, 2, 3)
            sources = log.segments[:2]
            merged = merge_segments(tmp_path, sources, 1, now_ms())
            merging = asyncio.ensure_future(store.manifest.merge(log, sources, merged))
            await asyncio.sleep(0)
            assert not await store.expire(log, sources[:1], 10)
            assert await merging
            assert log.log_start_offset == 0
            assert log.segments[0] == merged

    asyncio.run(run())


def test_where_the_clock_was_set_all_times_are_put_right(tmp_path: Path) -> None:
    """Forward by ten hours: in segments, in the catalogue, and in what is not sealed yet."""
    begin = 1_000 * HOUR
    earlier = ClockReading(begin, 0)
    now = ClockReading(begin + 12 * HOUR, 2 * HOUR)
    by_old_clock, by_new_clock = begin + HOUR, now.wall_ms - HOUR

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await mined(store, by_old_clock, by_new_clock, now.wall_ms + 1)
            await append(store, log, full_frames(30, 40, 5))
            index = log.journals[-1].index
            assert index is not None
            index.oldest_mined_ms = index.newest_mined_ms = by_old_clock
            corrected = await store.manifest.put_times_right(store.every, earlier, now)
            assert corrected == 2
            right = [by_old_clock + 10 * HOUR, by_new_clock, now.wall_ms]
            assert [each.newest_mined_ms for each in log.segments] == right
            assert [each.oldest_mined_ms for each in log.segments] == right
            assert await listed(store) == log.segments
            await roll(store, log)
            assert log.segments[-1].newest_mined_ms == by_old_clock + 10 * HOUR
            assert not await store.manifest.put_times_right(store.every, now, now)
        async with running(tmp_path) as store:
            (log,) = store.all()
            assert [each.newest_mined_ms for each in log.segments[:3]] == right

    asyncio.run(run())


def test_a_seal_under_way_takes_the_time_that_was_put_right(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            index = log.journals[0].index
            assert index is not None
            written = seal(tmp_path / "elsewhere", full_frames(0, 10, 5))
            index.oldest_mined_ms, index.newest_mined_ms = 5, 7
            published = await store.manifest.add(log, written, index)
            assert (published.oldest_mined_ms, published.newest_mined_ms) == (5, 7)
            assert log.segments == await listed(store) == [published]

    asyncio.run(run())
