"""Scrub finds damage in a store that runs, and goes on where it was ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from cachesvc.errors import StoreUnwritable
from cachesvc.jobs.scrub import Scrub
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import LOCAL_STORE, PartitionId
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store.local_files import LocalFiles
from tests.support.frames import ORDERS, flip_bit, full_frames
from tests.unit.log.running import append, ensure, filled, roll, running, until

FAST = 1 << 40
OTHER = PartitionId("main", "payments", 1, 0)


async def scrub(store: LogStore) -> Mapping[str, int]:
    async with asyncio.timeout(120):
        return await Scrub(store, 1.0, FAST).run(lambda done, total, message: None)


def kept(store: Path, name: str) -> list[Path]:
    return list(store.glob(f"quarantine/**/{name}.*"))


async def three_segments(store: LogStore) -> PartitionLog:
    log = await filled(store, full_frames(0, 10, 5))
    await roll(store, log)
    for begin in (10, 20):
        await append(store, log, full_frames(begin, begin + 10, 5))
        await roll(store, log)
    return log


def test_what_is_damaged_is_wanted_again_and_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0) as store:
            log = await three_segments(store)
            size = sum(segment.bytes for segment in log.segments)
            none = {"journals_checked": 0, "journals_damaged": 0}
            whole = none | {"segments_checked": 3, "bytes_checked": size, "segments_damaged": 0}
            assert await scrub(store) == whole
            path = tmp_path / log.segments[1].path
            flip_bit(path, path.stat().st_size * 4)
            assert await scrub(store) == whole | {"segments_damaged": 1}
            assert store.backfill.wanted(ORDERS) == OffsetRange(10, 20)
            assert not path.exists()
            assert kept(tmp_path, path.name)
            counts = await scrub(store)
            assert (counts["segments_checked"], counts["segments_damaged"]) == (2, 0)

    asyncio.run(run())


def test_of_a_store_that_is_away_the_next_run_looks_at_what_it_has(tmp_path: Path) -> None:
    cold, elsewhere = tmp_path / "cold", tmp_path / "unmounted"

    async def run() -> None:
        stores = {"cold": LocalFiles(cold)}
        async with running(tmp_path / "own", stores=stores, warm_bytes_max=0) as store:
            store.stores.choose = lambda topic: "cold" if topic == ORDERS.topic_id else LOCAL_STORE
            await three_segments(store)
            others = await ensure(store, OTHER, 0)
            await append(store, others, full_frames(0, 10, 5))
            await roll(store, others)
            path = tmp_path / "own" / others.segments[0].path
            flip_bit(path, path.stat().st_size * 4)
            cold.rename(elsewhere)
            with pytest.raises(StoreUnwritable, match="is it mounted"):
                await scrub(store)
            assert store.backfill.wanted(OTHER) == OffsetRange(0, 10)
            assert store.backfill.wanted(ORDERS) is None
            elsewhere.rename(cold)
            counts = await scrub(store)
            assert (counts["segments_checked"], counts["segments_damaged"]) == (3, 0)

    asyncio.run(run())


def test_one_that_was_ended_goes_on_where_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0) as store:
            await three_segments(store)
            # It has read the first, and waits for the time that this may take.
            job = Scrub(store, 1.0, 1)
            slow = asyncio.ensure_future(job.run(lambda *step: None))
            await until(lambda: bool(job._found_whole))
            slow.cancel()
            await asyncio.wait({slow})
        async with running(tmp_path) as store:
            assert (await scrub(store))["segments_checked"] == 2
            assert (await scrub(store))["segments_checked"] == 3

    asyncio.run(run())


def test_the_journal_of_a_damaged_segment_makes_it_whole(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await three_segments(store)
            (tmp_path / log.segments[0].path).unlink()
            assert (await scrub(store))["segments_damaged"] == 1
            assert store.backfill.wanted(ORDERS) is None
            assert (log.log_start_offset, len(log.segments)) == (0, 3)
            assert (await scrub(store))["segments_damaged"] == 0

    asyncio.run(run())


def test_what_an_unsealed_journal_had_is_wanted_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 100, 5))
            (entry,) = log.journals
            counts = await scrub(store)
            assert (counts["journals_checked"], counts["journals_damaged"]) == (1, 0)
            assert counts["bytes_checked"] == entry.bytes
            flip_bit(entry.path, entry.path.stat().st_size * 4)
            assert (await scrub(store))["journals_damaged"] == 1
            await until(lambda: entry not in log.current.journals)
            assert kept(tmp_path, entry.path.name)
            wanted = store.backfill.wanted(ORDERS)
            assert wanted == OffsetRange(0, 100), "one chunk"
            (found,) = store.damages.since(0)
            assert (found.partition, found.file) == (ORDERS, str(entry.path))
            assert found.missing == (wanted,)
            assert store.mending.all_damaged() == {ORDERS: [wanted]}
            counts = await scrub(store)
            assert (counts["journals_damaged"], counts["segments_damaged"]) == (0, 0)

    asyncio.run(run())


def test_a_damaged_header_costs_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0) as store:
            log = await filled(store, full_frames(0, 100, 5))
            flip_bit(log.journals[0].path, 8 * 9)
            assert (await scrub(store))["journals_damaged"] == 1
            await until(lambda: log.sealed_end_offset == 100)
            assert store.backfill.wanted(ORDERS) is None

    asyncio.run(run())


def test_a_sealed_journal_that_is_damaged_goes(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await three_segments(store)
            entry = log.journals[1]
            flip_bit(entry.path, entry.path.stat().st_size * 4)
            counts = await scrub(store)
            assert (counts["journals_checked"], counts["journals_damaged"]) == (3, 1)
            assert entry not in log.journals
            assert not entry.path.exists()
            assert store.backfill.wanted(ORDERS) is None
            assert [each.file for each in store.damages.since(0)] == [str(entry.path)]
            assert (await scrub(store))["journals_damaged"] == 0

    asyncio.run(run())


def test_journals_take_appends_while_they_are_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 1_000, 5))
            async with asyncio.TaskGroup() as tasks:
                checking = [tasks.create_task(scrub(store)) for _ in range(3)]
                for begin in range(1_000, 3_000, 100):
                    await append(store, log, full_frames(begin, begin + 100, 5))
            assert [task.result()["journals_damaged"] for task in checking] == [0, 0, 0]
            assert store.damages.since(0) == []

    asyncio.run(run())
