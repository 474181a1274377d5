"""Stores that do not answer, or are not the place that they were."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from cachesvc.errors import StoreUnwritable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.store.local_files import LocalFiles
from tests.support.frames import ORDERS, full_frames, records, records_of
from tests.unit.log.running import append, ensure, read_all, roll, running, until


async def sealed(store: LogStore, begin: int, end: int) -> PartitionLog:
    store.stores.choose = lambda _: "cold"
    log = await ensure(store, ORDERS, 0)
    await append(store, log, full_frames(begin, end, 5))
    await roll(store, log)
    return log


def test_a_directory_that_is_not_mounted_is_away_and_nothing_in_it_damaged(tmp_path: Path) -> None:
    cold, elsewhere = tmp_path / "cold", tmp_path / "unmounted"

    async def run() -> None:
        async with running(
            tmp_path / "own",
            stores={"cold": LocalFiles(cold)},
            warm_bytes_max=0,
            memory_bytes_max=0,
            chunk_cache_bytes_max=0,
        ) as store:
            log = await sealed(store, 0, 10)
            await store.watch.look()
            assert store.watch.away == {}
            cold.rename(elsewhere)
            await store.watch.look()
            assert "is it mounted" in store.watch.away["cold"]
            with pytest.raises(StoreUnwritable, match="is it mounted"):
                await store.mend(log, 0)
            assert len(log.segments) == 1
            assert store.mending.damaged(ORDERS) == []
            cold.mkdir()  # an empty mount point is no better
            with pytest.raises(StoreUnwritable, match="it is empty"):
                await store.mend(log, 0)
            cold.rmdir()
            elsewhere.rename(cold)
            await store.watch.look()
            assert store.watch.away == {}
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 10)

    asyncio.run(run())


def test_what_is_gone_from_the_stores_is_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "own", stores={"cold": LocalFiles(tmp_path / "c")}) as store:
            await sealed(store, 0, 10)
            shutil.rmtree(tmp_path / "c")
            await store.watch.look()
            assert set(store.watch.away) == {"cold"}
            store.stores.remove("cold")
            await store.watch.look()
            assert store.watch.away == {}

    asyncio.run(run())


def test_no_more_is_accepted_than_may_wait_for_a_store_and_it_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cachesvc.log.sealing._RETRY_S", (0.01, 0.01))
    cold = tmp_path / "cold"
    cold.write_text("no directory")

    async def run() -> None:
        async with running(
            tmp_path / "own", stores={"cold": LocalFiles(cold)}, waiting_bytes_max=1
        ) as store:
            store.stores.choose = lambda topic: "cold" if topic == ORDERS.topic_id else "local"
            log = await ensure(store, ORDERS, 0)
            await append(store, log, full_frames(0, 10, 5))
            store.writer.roll(log)
            await until(lambda: "cold" in store.sealer.failures)
            with pytest.raises(StoreUnwritable, match="wait for store 'cold'") as caught:
                await append(store, log, full_frames(10, 20, 5))
            assert caught.value.reason == "STORE_BEHIND"
            assert log.accepted_end_offset == 10
            cold.unlink()
            await until(lambda: not store.sealer.waiting)
            await append(store, log, full_frames(10, 20, 5))
            assert store.sealer.failures == {}
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)

    asyncio.run(run())
