"""Queries over snapshots: the latest record per key, of the same moment as the log beside it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId
from cachesvc.snapshots.shelf import Shelf
from cachesvc.sql.engine import QueryEngine, QuerySettings
from cachesvc.sql.views import LogViews
from cachesvc.store.local_files import LocalFiles
from tests.integration.test_sql import BOUNDS, FETCH_BYTES_MAX, refused, rows
from tests.support.frames import ORDERS, Record, flip_bit, frame
from tests.unit.log.running import append, ensure, roll, running
from tests.unit.snapshots.making_here import HereMaker

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
PAID = PartitionId("main", "paid", 1, 0)
SECOND = ORDERS.topic_id.partition(1)
SNAPSHOT = """select "partition", "offset", decode(key), value, snapshot_end, incarnation
    from snapshot('orders') order by all"""
# What a snapshot and the log behind it are together, as the page has it.
(LATEST,) = (
    each
    for each in re.findall(
        r"```sql\n(.*?)```", (ROOT / "docs" / "sql.md").read_text(encoding="utf-8"), re.DOTALL
    )
    if "snapshot(" in each
)


@asynccontextmanager
async def snapped(path: Path) -> AsyncIterator[tuple[LogStore, HereMaker, QueryEngine]]:
    """A store with two partitions, of which the first has a snapshot, in another store."""
    stores = {"cold": LocalFiles(path / "cold")}
    async with running(path / "own", warm_bytes_max=0, stores=stores) as store:
        store.stores.choose = lambda _: "cold"
        shelf = Shelf(store, list, 2)
        settings = QuerySettings(True, 2, BOUNDS, store.path / "queries")
        engine = QueryEngine(settings, LogViews(store, FETCH_BYTES_MAX, shelf.newest))
        first = await ensure(store, ORDERS, 0)
        await add(store, first, ("a", "0"), ("b", "1"), ("a", "2"), ("c", "3"), ("c", None))
        await roll(store, first)
        await ensure(store, SECOND, 0)
        maker = HereMaker(store, shelf)
        await maker.made(first)
        yield store, maker, engine


async def add(store: LogStore, log: PartitionLog, *pairs: tuple[str, str | None]) -> None:
    base = log.log_end_offset
    new = [Record(base + n, value, key.encode()) for n, (key, value) in enumerate(pairs)]
    await append(store, log, [frame(base, base + len(new), new)])


def test_snapshots_and_the_log_behind_them_are_the_latest_per_key(tmp_path: Path) -> None:
    async def run() -> None:
        async with snapped(tmp_path) as (store, maker, engine):
            before = [(0, 1, "b", "1", 5, 1), (0, 2, "a", "2", 5, 1)]
            log = store.logs[ORDERS]
            await add(store, log, ("b", None), ("d", "6"))
            await add(store, store.logs[SECOND], ("x", "0"))
            assert await rows(engine, SNAPSHOT) == before, "the log beside it has moved"
            latest = [(b"a", "2"), (b"d", "6"), (b"x", "0")]
            assert sorted(await rows(engine, LATEST)) == latest
            store.stores.choose = lambda _: "local"
            for partition in (ORDERS, SECOND):
                await roll(store, store.logs[partition])
                await maker.made(store.logs[partition])
            assert await rows(engine, SNAPSHOT) == [
                (0, 2, "a", "2", 7, 1),
                (0, 6, "d", "6", 7, 1),
                (1, 0, "x", "0", 1, 1),
            ]
            assert sorted(await rows(engine, LATEST)) == latest

    asyncio.run(run())


def test_a_snapshot_that_is_damaged_or_not_there_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with snapped(tmp_path) as (store, _, engine):
            (file,) = (tmp_path / "cold" / "snapshots").rglob("*.parquet")
            flip_bit(file, 8 * len(file.read_bytes()) - 200)
            assert (await refused(engine, SNAPSHOT)).reason == "DAMAGED_FILE"
            await ensure(store, PAID, 0)
            query = "from snapshot('paid', connection := 'main')"
            assert (await refused(engine, query)).reason == "SNAPSHOT_UNAVAILABLE"

    asyncio.run(run())
