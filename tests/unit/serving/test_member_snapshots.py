"""Members of a subscription that begins with snapshots: each is read once, whoever reads it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cachesvc.errors import DataLoss, PreconditionFailed
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import GapCause, LostRange, Snapshot
from cachesvc.serving.recovery import StreamSnapshots
from cachesvc.v1 import log_cache_pb2 as pb
from tests.support.frames import Record, frame
from tests.unit.log.running import roll, until
from tests.unit.serving.workers import ORDERS, Worker, Workers, play
from tests.unit.snapshots.making_here import HereMaker

FROM_SNAPSHOT = [2, 3]
BEHIND = [5, 6]


class Table:
    """Two partitions with snapshots, and the members that read them."""

    def __init__(self, workers: Workers) -> None:
        self.workers, self.store, self.shelf = workers, workers.plan.store, workers.shelf
        self._maker = HereMaker(self.store, self.shelf)

    def log(self, number: int) -> PartitionLog:
        log = self.store.get(ORDERS.partition(number))
        assert log is not None
        return log

    async def mine(self, number: int, rows: Mapping[str, str | None]) -> None:
        log = self.log(number)
        base = log.log_end_offset
        new = [
            Record(base + at, value, key.encode()) for at, (key, value) in enumerate(rows.items())
        ]
        await self.store.writer.accept(log, frame(base, base + len(new), new))
        self.workers.lookup.ends["orders", number] = base + len(new)
        await roll(self.store, log)

    async def history(self, numbers: range = range(2)) -> list[Snapshot]:
        """Seven records of each, a snapshot [0, 5) of two at offsets 2 and 3, and what follows."""
        await self.workers.plan.assignments.create_logs(self.workers.plan.source, ["orders"])
        made = []
        for number in numbers:
            await self.mine(number, {"a": "{}", "b": "{}"})
            await self.mine(number, {"a": '{"n":2}', "c": '{"n":3}', "b": None})
            made.append(await self.snapshot(number))
            await self.mine(number, {"a": '{"n":5}', "c": None})
        return made

    async def snapshot(self, number: int) -> Snapshot:
        return await self._maker.made(self.log(number))

    @asynccontextmanager
    async def open(self, member: str, **request: Any) -> AsyncIterator[Worker]:
        async with self.workers.open(member, bootstrap=pb.SNAPSHOT, **request) as worker:
            yield worker


def begun(worker: Worker) -> list[tuple[int, int, bool]]:
    """What was told of snapshots: partition, the position it stands for, whether it is resumed."""
    return [
        (each.partition, each.end_offset, each.resumed)
        for assigned in worker.heard("partitions_assigned")
        for each in assigned.snapshots
    ]


def marked(worker: Worker) -> list[tuple[int, int]]:
    """The records of snapshots."""
    return [
        (batch.partition, record.offset)
        for batch in worker.heard("batch")
        if batch.snapshot
        for record in batch.records
    ]


def test_each_partition_begins_with_its_snapshot_and_goes_on_in_the_log(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        table = Table(workers)
        await table.history()
        async with table.open("one") as one, table.open("two") as two:
            await until(lambda: {*one.rows, *two.rows} >= {(n, 6) for n in (0, 1)})
            for number in (0, 1):
                (reader,) = [each for each in (one, two) if number in each.epochs]
                assert reader.offsets(number) == FROM_SNAPSHOT + BEHIND
                assert reader.starts[number] == 0
                assert (number, 5, False) in begun(reader)
            assert sorted(set(marked(one) + marked(two))) == [(0, 2), (0, 3), (1, 2), (1, 3)]
            assert not one.heard("started")[0].snapshots

    play(tmp_path, test, partitions=2)


def test_the_next_member_goes_on_in_the_same_snapshot(tmp_path: Path) -> None:
    """A newer one lacks "c", whose end this subscription has to hear of."""

    async def test(workers: Workers) -> None:
        table = Table(workers)
        (_, first) = await table.history()
        async with table.open("one") as one:
            await until(lambda: one.offsets(1) == FROM_SNAPSHOT + BEHIND)
            await workers.commit({1: 3}, one.epochs)
            newer = await table.snapshot(1)
            assert newer.end_offset == 7
            assert table.shelf.of(newer.partition) == [first, newer]
            async with table.open("two") as two:
                await until(lambda: two.offsets(1) == [3, *BEHIND])
                assert begun(two) == [(1, 5, True)]
                assert marked(two) == [(1, 3)]
                await workers.commit({1: 7}, two.epochs)
        # Whoever comes when it is read to its end has the log.
        async with table.open("three") as three:
            await until(lambda: three.offsets(0) == FROM_SNAPSHOT + BEHIND)
            assert begun(three) == [(0, 5, False)]
            assert three.starts[1] == 7

    play(tmp_path, test, partitions=2)


def test_a_start_that_comes_late_moves_nothing_back(tmp_path: Path) -> None:
    """A member that loses a partition while its snapshot is noted stores nothing of it."""

    async def test(workers: Workers) -> None:
        table = Table(workers)
        await table.history()
        begin, goes_on, calls = table.shelf.begin, asyncio.Event(), []

        async def slow(*wanted: Any, **how: Any) -> None:
            calls.append(wanted)
            if len(calls) == 1:
                await goes_on.wait()
            await begin(*wanted, **how)

        table.shelf.begin = slow  # type: ignore[method-assign]
        async with table.open("one") as one:
            await until(lambda: bool(calls))
            async with table.open("two") as two:
                await until(lambda: two.offsets(1) == FROM_SNAPSHOT + BEHIND)
                await workers.commit({1: 7}, two.epochs)
                assert not one.rows
                goes_on.set()
                await until(lambda: one.offsets(0) == FROM_SNAPSHOT + BEHIND)
                assert workers.stored == {0: 0, 1: 7}
                assert one.has == [0]

    play(tmp_path, test, partitions=2)


def test_a_full_sync_is_done_when_all_is_stored(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        table = Table(workers)
        await table.history()
        async with table.open("one", mode=pb.FULL) as one, table.open("two", mode=pb.FULL) as two:
            for each in (one, two):
                await until(lambda each=each: each.serving.done())  # type: ignore[misc]
                each.serving.result()
            assert {*one.rows, *two.rows} == {
                (n, o) for n in (0, 1) for o in FROM_SNAPSHOT + BEHIND
            }
            for each in (one, two):
                await workers.commit(dict.fromkeys(each.has, 7), each.epochs)
        assert workers.plan.subscriptions.get("copies").record.full_sync_done

    play(tmp_path, test, partitions=2)


def test_a_full_sync_covers_a_snapshot_that_is_newer_than_its_end(tmp_path: Path) -> None:
    """It is begun by the member after one that had the end set and went before it began."""

    async def test(workers: Workers) -> None:
        table = Table(workers)
        await table.history()
        begin = table.shelf.begin
        noted = asyncio.Event()

        async def never(*_: Any, **__: Any) -> None:
            noted.set()
            await asyncio.Event().wait()

        table.shelf.begin = never  # type: ignore[method-assign]
        async with table.open("one", mode=pb.FULL) as one:
            await noted.wait()
            for number in (0, 1):
                await table.mine(number, {"a": '{"n":7}', "d": '{"n":8}'})
                assert (await table.snapshot(number)).end_offset == 9
            table.shelf.begin = begin  # type: ignore[method-assign]
            async with table.open("two", mode=pb.FULL) as two:
                one.serving.cancel()
                await until(two.serving.done)
                two.serving.result()
            assert {*two.rows} == {(number, offset) for number in (0, 1) for offset in (7, 8)}
            (ended,) = two.heard("ended")
            assert {at.offset for at in ended.positions} == {9}

    play(tmp_path, test, partitions=2)


def test_where_there_is_none_that_serves_the_member_ends(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        table = Table(workers)
        await table.history(range(0))
        for number in (0, 1):
            await table.mine(number, {"a": "{}"})
        async with table.open("one") as one:
            await until(one.serving.done)
            assert isinstance(one.failure, PreconditionFailed)
            assert one.failure.reason == "SNAPSHOT_UNAVAILABLE"
        assert not workers.stored
        # Once there is one for some partitions, what has none begins at its first record.
        await table.snapshot(0)
        async with table.open("one") as one:
            await until(lambda: sorted(one.rows) == [(0, 0), (1, 0)])
            assert begun(one) == [(0, 1, False)]

    play(tmp_path, test, partitions=2)


def test_all_members_begin_alike(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        table = Table(workers)
        await table.history()
        async with table.open("one") as one, workers.open("two") as two:
            assert isinstance(two.failure, PreconditionFailed)
            assert two.failure.reason == "SHARING_CONTRADICTED"
            assert "or bootstrap" in str(two.failure)
            await until(lambda: len(one.rows) == 8)

    play(tmp_path, test, partitions=2)


async def fallen(table: Table) -> None:
    """Partition 0 of a subscription at 6 lacks [6, 8), beyond which a snapshot reaches."""
    await table.history()
    async with table.open("before") as before:
        await until(lambda: len(before.rows) == 8)
        await table.workers.commit({0: 6, 1: 7}, before.epochs)
    await table.mine(0, {"d": '{"n":7}'})
    await table.snapshot(0)
    await table.mine(0, {"e": '{"n":8}'})
    log = table.log(0)
    gone = [each for each in log.segments if each.end_offset <= 8]
    assert await table.store.expire(log, gone, 8)
    table.workers.lookup.earliest["orders", 0] = 8
    await table.store.changes.lose(log, 6, 8)


def test_another_member_loads_anew_what_fell_out_of_retention(tmp_path: Path) -> None:
    async def test(workers: Workers) -> None:
        table = Table(workers)
        await fallen(table)
        recovers = {"gap_policy": pb.RECOVER_FROM_SNAPSHOT}
        async with table.open("one", **recovers) as one, table.open("two", **recovers) as two:
            await until(one.serving.done)
            assert isinstance(one.failure, DataLoss)
            assert one.failure.metadata["recovers_from_snapshot"] == "true"
            await until(lambda: two.offsets(0) == [5, 7, 8])
            assert begun(two) == [(0, 8, False)]
            assert workers.stored == {0: 0, 1: 7}
            (recovery,) = table.shelf.recoveries()
            assert recovery == ("copies", table.shelf.newest(ORDERS.partition(0)))

    play(tmp_path, test, partitions=2)


@pytest.mark.parametrize("has", [True, False])
def test_who_has_lost_the_partition_sets_nothing_back(tmp_path: Path, has: bool) -> None:
    async def test(workers: Workers) -> None:
        table = Table(workers)
        await fallen(table)
        asked = []

        def check(*what: Any) -> bool:
            asked.append(what)
            return has

        async with table.open("one", gap_policy=pb.RECOVER_FROM_SNAPSHOT):
            subscriptions = workers.plan.subscriptions
            subscription = subscriptions.get("copies")
            await until(lambda: subscription.group is not None)
            (subscriber,) = subscription.subscribers
            snapshots = StreamSnapshots(table.shelf, subscriptions, subscription, subscriber, check)
            partition = ORDERS.partition(1)
            lost = LostRange(3, 4, GapCause.CACHE_RETENTION)
            assert await snapshots.recover(partition, 77, lost) is has
            assert asked == [(partition, 77)]
            assert workers.stored[1] == (0 if has else 7)

    play(tmp_path, test, partitions=2)
