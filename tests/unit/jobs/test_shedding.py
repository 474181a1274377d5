"""Stores within their budgets, over a log store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.errors import StoreUnwritable
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.shedding import Shedding
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Mode, TopicId
from cachesvc.policy.retention import RetentionClock
from cachesvc.policy.size_limits import held_by
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store.drops_port import DropCause
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.subscriptions.retention import Retention, TopicSize
from cachesvc.subscriptions.store_levels import StoreLevels
from cachesvc.subscriptions.subscriptions import Subscription
from cachesvc.subscriptions.topic_sizes import gather
from tests.support.frames import full_frames
from tests.unit.log.running import append, ensure, roll, running, until

LARGE, SMALL = (TopicId("main", name).partition(0) for name in ("large", "small"))


class Guarded:
    """A store with a budget that a test sets."""

    def __init__(self, store: LogStore, size: TopicSize | None = None) -> None:
        self.store = store
        self.subscriptions: list[Subscription] = []
        self.levels = StoreLevels(store)
        self.budgets = {"local": 1 << 30}
        retention = Retention(RetentionClock.MINED, 1e6, None, size=size or TopicSize())
        self.shedding = Shedding(
            store,
            lambda: gather(store, retention, self.subscriptions),
            RetiredFiles(store, retention, grace_s=600.0),
            self.budgets,
            self.levels,
            Shelf(store, lambda: self.subscriptions, kept=2),
        )
        store.writer.check_room = self.levels.check_room

    async def look(self, bytes_max: int) -> None:
        self.budgets["local"] = bytes_max
        await self.shedding.look()

    def on_disk(self) -> int:
        files = [path for root in ("log", "journals", "rejects") for path in self._files(root)]
        return sum(path.stat().st_size for path in files)

    def _files(self, root: str) -> list[Path]:
        return [path for path in (self.store.path / root).rglob("*") if path.is_file()]


async def fill(store: LogStore, log: PartitionLog, segments: int) -> None:
    """So many segments of a hundred records."""
    for _ in range(segments):
        base = log.log_end_offset
        await append(store, log, full_frames(base, base + 100, 50))
        await roll(store, log)


def bytes_of(*logs: PartitionLog) -> int:
    return sum(held_by(segment) for log in logs for segment in log.segments)


def test_the_largest_topic_sheds_its_oldest_and_the_disk_follows_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            guarded = Guarded(store)
            large, small = [await ensure(store, each, 0) for each in (LARGE, SMALL)]
            await fill(store, large, 6)
            await fill(store, small, 2)
            held = bytes_of(large, small)
            budget = held * 11 // 20
            await guarded.look(held + 10)
            assert store.sealer.warm_bytes <= 10, "what is only faster goes first"
            assert (large.log_start_offset, small.log_start_offset) == (0, 0)
            await guarded.look(budget)
            assert (len(large.segments), small.log_start_offset) == (2, 0)
            assert guarded.on_disk() <= budget, "files do not wait for their grace time"
            (drop,) = await store.catalogue.call(lambda port: port.drops.list("", "", 10))
            assert (drop.cause, drop.topic, drop.store) == (DropCause.STORE_BYTES, "large", "local")
            assert (drop.segments, drop.records) == (4, 400)
            assert drop.detail == f"store local held {held:,} bytes, its budget is {budget:,}"
            level = guarded.levels.all()["local"]
            assert (level.bytes, level.full) == (bytes_of(large, small), "")
            # The next look does nothing, and what is mined goes on.
            await guarded.look(budget)
            assert len(await store.catalogue.call(lambda port: port.drops.list("", "", 10))) == 1
            await fill(store, large, 1)

    asyncio.run(run())


def test_where_nothing_may_go_mining_waits_until_it_may(tmp_path: Path) -> None:
    record_of = SubscriptionRecord("s", "main", ("large",), "", Mode.FULL, 1, False, 1)

    async def run() -> None:
        async with running(tmp_path) as store:
            guarded = Guarded(store, TopicSize(unread_bytes_max=1 << 30))
            log = await ensure(store, LARGE, 0)
            await fill(store, log, 4)
            task = Subscription(record_of, {LARGE: 150})
            guarded.subscriptions.append(task)
            half = bytes_of(log) // 2
            await guarded.look(half)
            assert log.log_start_offset == 100, "what was read may go"
            level = guarded.levels.all()["local"]
            assert level.kept_bytes == level.bytes == bytes_of(log)
            assert level.full == (
                f"it holds {bytes_of(log):,} bytes of {half:,}, and {bytes_of(log):,} of them may "
                "not go"
            )
            with pytest.raises(StoreUnwritable, match="store 'local' is full") as caught:
                store.writer.accept(log, full_frames(400, 410, 10)[0])
            assert caught.value.reason == "STORE_FULL"
            task.positions[LARGE] = 400
            await guarded.look(half)
            assert guarded.levels.all()["local"].full == ""
            await append(store, log, full_frames(400, 410, 10))

    asyncio.run(run())


def test_journals_that_fill_a_store_are_sealed_so_that_they_can_go(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            guarded = Guarded(store)
            log = await ensure(store, LARGE, 0)
            await append(store, log, full_frames(0, 2_000, 100))
            budget = log.journals[0].bytes // 3
            await guarded.look(budget)
            assert guarded.levels.all()["local"].full
            await until(lambda: bool(log.segments))
            await guarded.look(budget)
            assert guarded.levels.all()["local"].full == ""
            assert guarded.on_disk() <= budget

    asyncio.run(run())


def test_one_store_that_does_not_answer_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            guarded = Guarded(store)
            guarded.budgets["there"] = 1 << 20
            log = await ensure(store, LARGE, 0)
            await fill(store, log, 2)
            monkeypatch.setattr(store, "expire", _refusing(StoreUnwritable("the disk is full")))
            await guarded.look(10)
            assert guarded.levels.all().keys() == {"there"}
            monkeypatch.undo()
            await guarded.look(10)
            assert guarded.levels.all().keys() == {"local", "there"}
            assert bytes_of(log) == 0

    asyncio.run(run())


def _refusing(error: Exception) -> Callable[..., object]:
    async def refuse(*_: object) -> None:
        raise error

    return refuse
