"""Snapshots of a store that runs: made, continued, kept, checked, and made again after damage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cachesvc.alarms.damage_facts import damage_facts
from cachesvc.bounds import Bounds
from cachesvc.errors import PreconditionFailed
from cachesvc.jobs.backup import Backup
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.scrub import Scrub
from cachesvc.jobs.shedding import Shedding
from cachesvc.jobs.snapshot import MakeSnapshots
from cachesvc.jobs.snapshot_scrub import SnapshotScrub
from cachesvc.jobs.sweep import Sweep
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.rebuilding import rebuild
from cachesvc.model import LOCAL_STORE, Mode, Snapshot, TopicId
from cachesvc.policy.retention import RetentionClock
from cachesvc.policy.size_limits import held_by
from cachesvc.snapshots.maker import SnapshotMaker
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store import layout
from cachesvc.store.catalogues import forget_all_changes
from cachesvc.store.memory_files import MemoryFiles
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.store.segments import read_table
from cachesvc.subscriptions.retention import Retention
from cachesvc.subscriptions.store_levels import StoreLevels
from cachesvc.subscriptions.subscriptions import Subscription
from cachesvc.subscriptions.topic_sizes import gather
from tests.support.frames import ORDERS, Record, flip_bit, frame, records_of, table_records
from tests.unit.log.running import append, ensure, roll, running

BOUNDS = Bounds(64 << 20, 1 << 30, 1, 60.0)
BILLING = SubscriptionRecord("billing", "main", ("orders",), "", Mode.FULL, 1, False, 0)


@dataclass(slots=True)
class Made:
    """A store, and what makes its snapshots."""

    store: LogStore
    log: PartitionLog
    shelf: Shelf
    maker: SnapshotMaker
    subscriptions: list[Subscription]
    wanted: bool = True

    async def add(self, *rows: tuple[bytes | None, str | None]) -> None:
        """Appends and seals records."""
        base = self.log.log_end_offset
        new = [Record(base + number, value, key) for number, (key, value) in enumerate(rows)]
        await append(self.store, self.log, [frame(base, base + len(new), new)])
        await roll(self.store, self.log)

    async def make(self) -> Snapshot | None:
        async with asyncio.timeout(60):
            return await self.maker.make(
                self.log.current, debezium=False, progress=lambda done, total: None
            )

    def rule(self, topic: TopicId) -> bool | None:
        return False if self.wanted else None

    def job(self) -> MakeSnapshots:
        return MakeSnapshots(self.store, self.shelf, self.maker, self.rule, 1.0)

    def rows(self, snapshot: Snapshot | None) -> list[tuple[int, bytes | None, str | None]]:
        assert snapshot is not None
        found = table_records(read_table(self.store.path / snapshot.file.path))
        return [(row.offset, row.key, row.value) for row in found]

    async def sweep(self, grace_s: float = 0.0) -> None:
        retention = Retention(RetentionClock.MINED, 3_600)
        retired = RetiredFiles(self.store, retention, grace_s)
        await Sweep(self.store, retired, 1.0).run(lambda *step: None)

    @property
    def files(self) -> set[str]:
        root = self.store.path / layout.SNAPSHOTS
        return {path.name for path in root.rglob("*") if path.is_file()}


@asynccontextmanager
async def making(
    path: Path, kept: int = 2, bounds: Bounds = BOUNDS, **changes: Any
) -> AsyncIterator[Made]:
    async with running(path, warm_bytes_max=0, **changes) as store:
        log = await ensure(store, ORDERS, 0)
        subscriptions: list[Subscription] = []
        shelf = Shelf(store, lambda: subscriptions, kept)
        yield Made(store, log, shelf, SnapshotMaker(store, shelf, bounds), subscriptions)


def names(snapshots: Sequence[Snapshot]) -> set[str]:
    return {Path(each.file.path).name for each in snapshots}


def test_made_and_continued_whatever_becomes_of_the_log(tmp_path: Path) -> None:
    async def run() -> None:
        async with making(tmp_path) as made:
            assert await made.make() is None
            await made.add((b"a", '{"n":0}'), (b"b", '{"n":1}'), (b"a", '{"n":2}'))
            first = await made.make()
            assert made.rows(first) == [(1, b"b", '{"n":1}'), (2, b"a", '{"n":2}')]
            assert await made.make() is None
            await made.add((b"b", None), (b"c", '{"n":4}'))
            # The log does not have any more what the first was made of.
            assert await made.store.expire(made.log, [made.log.segments[0]], 3)
            second = await made.make()
            assert made.rows(second) == [(2, b"a", '{"n":2}'), (4, b"c", '{"n":4}')]
            assert second is not None
            assert (second.base_offset, second.end_offset, second.read_count) == (0, 5, 5)
            assert not any((tmp_path / layout.STAGING).iterdir())
        # They are there after a restart.
        async with running(tmp_path) as store:
            shelf = Shelf(store, list, 2)
            assert shelf.newest(ORDERS) == second
            assert shelf.all() == [first, second]
            assert shelf.has(ORDERS.topic_id)
            assert not shelf.has(TopicId("main", "orders", 2))

    asyncio.run(run())


def test_one_that_is_about_to_be_read_stays(tmp_path: Path) -> None:
    """Until its begin is stored as the position of its subscription, and from then on."""

    async def run() -> None:
        async with making(tmp_path, kept=1) as made:
            await made.add((b"a", "{}"), (b"b", "{}"))
            first = await made.make()
            assert first is not None
            billing = Subscription(BILLING)
            made.subscriptions.append(billing)
            await made.shelf.begin("billing", {ORDERS: first})
            await made.add((b"c", "{}"))
            second = await made.make()
            assert made.shelf.all() == [first, second]
            assert made.shelf.readers(first) == ["billing"]
            billing.positions[ORDERS] = first.base_offset
            again = Shelf(made.store, lambda: made.subscriptions, 1)
            assert again.read_by(billing, ORDERS) == first

    asyncio.run(run())


def test_old_ones_go_but_for_one_that_is_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with making(tmp_path, kept=1) as made:
            await made.add((b"a", "{}"), (b"b", "{}"))
            first = await made.make()
            assert first is not None
            billing = Subscription(BILLING, {ORDERS: 1})
            made.subscriptions.append(billing)
            await made.shelf.begin("billing", {ORDERS: first})
            await made.add((b"c", "{}"))
            second = await made.make()
            assert second is not None
            assert made.shelf.all() == [first, second]
            assert made.shelf.read_by(billing, ORDERS) == first
            again = Shelf(made.store, lambda: made.subscriptions, 1)
            assert again.read_by(billing, ORDERS) == first
            billing.positions[ORDERS] = 2
            assert made.shelf.read_by(billing, ORDERS) is None
            await made.add((b"d", "{}"))
            third = await made.make()
            assert third is not None
            assert made.shelf.all() == [third]
            reads = await made.store.catalogue.call(lambda port: port.snapshots.list_reads())
            assert reads == {}
            await made.sweep(grace_s=3_600)
            assert made.files == names([first, second, third])
            await made.sweep()
            assert made.files == names([third])

    asyncio.run(run())


def test_a_budget_counts_them_and_takes_those_superseded_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with making(tmp_path, kept=3) as made:
            snapshots = []
            for number in range(3):
                await made.add((b"%d" % number, "{}"))
                snapshots.append(await made.make())
            first, second, third = [each for each in snapshots if each is not None]
            reader = Subscription(BILLING, {ORDERS: 0})
            made.subscriptions.append(reader)
            await made.shelf.begin("billing", {ORDERS: first})
            levels, budgets = StoreLevels(made.store), {LOCAL_STORE: 1 << 30}
            retention = Retention(RetentionClock.MINED, 3_600)
            shedding = Shedding(
                made.store,
                lambda: gather(made.store, retention, made.subscriptions),
                RetiredFiles(made.store, retention, 600.0),
                budgets,
                levels,
                made.shelf,
            )
            await shedding.look()
            segments = sum(map(held_by, made.log.segments))
            held = segments + sum(each.file.bytes for each in snapshots if each is not None)
            assert levels.all()[LOCAL_STORE].bytes == held
            # Room enough without the one that nobody reads; no segment goes for it.
            budgets[LOCAL_STORE] = held - 1
            await shedding.look()
            assert made.shelf.all() == [first, third]
            assert made.files == names([first, third])
            assert levels.all()[LOCAL_STORE].bytes == held - second.file.bytes
            assert len(made.log.segments) == 3
            # The newest stays whatever the budget, and what is read as long as it is.
            budgets[LOCAL_STORE] = third.file.bytes
            await shedding.look()
            assert made.shelf.all() == [first, third]
            reader.positions[ORDERS] = 3
            await shedding.look()
            assert made.shelf.all() == [third]

    asyncio.run(run())


def test_the_sweep_takes_what_nobody_names(tmp_path: Path) -> None:
    async def run() -> None:
        async with making(tmp_path) as made:
            await made.add((b"a", "{}"))
            snapshot = await made.make()
            assert snapshot is not None
            left = (tmp_path / snapshot.file.path).with_name("left.parquet")
            left.write_bytes(b"of a process that was killed")
            await asyncio.sleep(1.1)  # a file that is younger may belong to a build
            await made.sweep()
            assert made.files == names([snapshot])

    asyncio.run(run())


def test_the_job_makes_those_that_are_wanted_and_drops_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with making(tmp_path) as made:
            await made.add((b"a", "{}"), (b"a", "{}"))
            steps: list[tuple[int, int, str]] = []
            counts = await made.job().run(lambda *step: steps.append(step))
            assert counts["snapshots_made"] == counts["records_kept"] == 1
            assert steps[0] == (0, 1, "orders/0")
            assert steps[-1] == (1, 1, "")
            assert (await made.job().run(lambda *step: None))["snapshots_made"] == 0
            made.wanted = False
            assert (await made.job().run(lambda *step: None))["snapshots_dropped"] == 1
            assert made.shelf.all() == []

    asyncio.run(run())


def test_a_damaged_one_is_made_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with making(tmp_path) as made:
            await made.add((b"a", "{}"), (b"b", "{}"))
            older = await made.make()
            assert older is not None
            await made.add((b"a", None))
            newer = await made.make()
            assert newer is not None
            expired = await made.store.expire(made.log, [made.log.segments[0]], 2)
            assert expired
            scrub = Scrub(
                made.store,
                1.0,
                1 << 40,
                SnapshotScrub(made.store, made.shelf, made.maker, made.rule),
            )
            counts = await scrub.run(lambda *step: None)
            assert (counts["snapshots_checked"], counts["snapshots_damaged"]) == (2, 0)
            damaged = tmp_path / newer.file.path
            flip_bit(damaged, damaged.stat().st_size * 4)
            counts = await scrub.run(lambda *step: None)
            assert (counts["snapshots_checked"], counts["snapshots_damaged"]) == (2, 1)
            (told,) = damage_facts(made.store, time.time_ns() // 1_000_000)
            assert (told.partition, told.mined_again) == (ORDERS, ())
            assert told.files[0].startswith(newer.file.path), "for the alarm STORE_DAMAGED"
            again = made.shelf.newest(ORDERS)
            assert again is not None
            assert again.file.path != newer.file.path
            # Continued from the older one, for the log has not all of it any more.
            assert replace(again.file, path="", created_ms=0) == replace(
                newer.file, path="", created_ms=0
            )
            assert made.rows(again) == [(1, b"b", "{}")]

    asyncio.run(run())


@pytest.mark.parametrize("gone", [False, True])
def test_damaged_sources_are_repaired_and_nothing_is_made_of_them(
    tmp_path: Path, gone: bool
) -> None:
    async def run() -> None:
        async with making(tmp_path) as made:
            await made.add((b"a", "{}"), (b"b", "{}"))
            await made.add((b"c", "{}"))
            path = tmp_path / made.log.segments[0].path
            if gone:
                path.unlink()
            else:
                flip_bit(path, path.stat().st_size * 4)
            assert await made.make() is None
            assert made.shelf.all() == []
            assert made.files == set()
            # The log begins behind the missing range now, and the snapshot says so.
            snapshot = await made.make()
            assert snapshot is not None
            assert (snapshot.base_offset, snapshot.complete_from_offset) == (2, 2)

    asyncio.run(run())


def test_those_of_another_store_lie_there(tmp_path: Path) -> None:
    async def run() -> None:
        files = MemoryFiles()
        async with making(tmp_path, kept=1, stores={"other": files}) as made:
            made.store.stores.choose = lambda _: "other"
            await made.add((b"a", "{}"), (b"b", "{}"))
            first = await made.make()
            await made.add((b"a", None), (b"c", "{}"))
            second = await made.make()
            assert first is not None
            assert second is not None
            assert second.file.store == "other"
            assert made.files == set()
            assert not any((tmp_path / layout.STAGING).iterdir())
            frames = await made.store.reader.read_file(second.file, 0)
            assert [record.key for record in records_of(frames)] == [b"b", b"c"]
            await made.sweep()
            left = [found.path for found in files.list(layout.SNAPSHOTS)]
            assert left == [second.file.path]
            assert not await made.maker.check(second)
            files.delete(second.file.path)
            assert await made.maker.check(second)
            assert made.shelf.all() == []

    asyncio.run(run())


def test_one_that_takes_too_long_leaves_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with making(tmp_path, bounds=replace_time(BOUNDS, 0.001)) as made:
            await made.add((b"a", "{}"))
            with pytest.raises(PreconditionFailed, match="time_s_max is") as failed:
                await made.make()
            assert failed.value.reason == "SNAPSHOT_TIME_MAX"
            assert not any((tmp_path / layout.STAGING).iterdir())

    asyncio.run(run())


def test_more_keys_than_memory_are_spilled_or_told(tmp_path: Path) -> None:
    count = 300_000
    keys = [(b"%064d" % number, "{}") for number in range(count)]

    async def run() -> None:
        # About 30 MB of keys alone.
        async with making(tmp_path, bounds=Bounds(24 << 20, 1 << 30, 1, 60.0)) as made:
            await made.add(*keys)
            none = SnapshotMaker(made.store, made.shelf, Bounds(24 << 20, 0, 1, 60.0))
            with pytest.raises(PreconditionFailed) as failed:
                await none.make(made.log, debezium=False, progress=lambda done, total: None)
            assert failed.value.reason == "SNAPSHOT_MEMORY_MAX"
            assert not any((tmp_path / layout.STAGING).iterdir())
            snapshot = await made.make()
            assert snapshot is not None
            assert snapshot.file.record_count == count
            assert not any((tmp_path / layout.STAGING).iterdir())

    asyncio.run(run())


def replace_time(bounds: Bounds, time_s_max: float) -> Bounds:
    return Bounds(bounds.memory_bytes_max, bounds.spill_bytes_max, bounds.threads, time_s_max)


def test_a_backup_and_a_rebuilt_catalogue_have_them(tmp_path: Path) -> None:
    async def run() -> Snapshot:
        async with making(tmp_path / "store") as made:
            await made.add((b"a", "{}"), (b"a", "{}"))
            snapshot = await made.make()
            assert snapshot is not None
            backups = tmp_path / "backups"
            await Backup(made.store, backups, 0.0, 1).run(lambda *step: None)
            (backup,) = backups.iterdir()
            (file,) = (backup / layout.SNAPSHOTS).rglob("*.parquet")
            assert file.read_bytes() == (made.store.path / snapshot.file.path).read_bytes()
            return snapshot

    async def found(path: Path) -> list[Snapshot]:
        async with running(path) as store:
            return Shelf(store, list, 2).all()

    snapshot = asyncio.run(run())
    (backup,) = (tmp_path / "backups").iterdir()
    assert asyncio.run(found(backup)) == [snapshot]
    for name in (layout.CATALOGUE, *layout.CATALOGUE_COPIES):
        (tmp_path / "store" / name).unlink(missing_ok=True)
    forget_all_changes(tmp_path / "store")
    rebuild(tmp_path / "store")
    (rebuilt,) = asyncio.run(found(tmp_path / "store"))
    assert replace(rebuilt.file, created_ms=0) == replace(snapshot.file, created_ms=0)
    assert replace(rebuilt, file=snapshot.file) == snapshot
