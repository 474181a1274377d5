"""Streams over partitions of which some cannot be asked: each comes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cachesvc.errors import SourceUnreachable
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningState, TopicId
from cachesvc.serving import joining
from cachesvc.serving.batches import Batches
from cachesvc.serving.convert import subscribe_call
from cachesvc.serving.subscribing import Subscribing
from cachesvc.snapshots.shelf import Shelf
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.watching.deliveries import Deliveries
from tests.support.frames import full_frame
from tests.unit.assignment.plans import Plan, planning
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import until

ORDERS = TopicId("main", "orders")
Told = list[pb.SubscribeResponse]


class Streams:
    """Subscribe calls to the services of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.lookup = plan, plan.lookup
        self._subscribing = Subscribing(
            plan.store,
            plan.sources,
            plan.subscriptions,
            plan.assignments,
            Batches(plan.store.reader, 1 << 20),
            Shelf(plan.store, plan.subscriptions.all, 2),
            0.05,
            Deliveries(),
        )

    @asynccontextmanager
    async def open(self, **request: Any) -> AsyncIterator[Told]:
        """What a stream tells, as long as it is open."""
        request = {"topics": ["orders"], "mode": pb.FULL, "encoding": pb.RECORDS, **request}
        call = subscribe_call(
            pb.SubscribeRequest(subscription="copies", connection="main", **request)
        )
        told: Told = []

        async def write(event: bytes) -> None:
            told.append(pb.SubscribeResponse.FromString(event))
            await asyncio.sleep(0)

        serving = asyncio.ensure_future(self._subscribing.serve(call, write))
        try:
            await until(lambda: bool(told) or serving.done())
            if serving.done():
                serving.result()
            yield told
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    def log(self, number: int) -> PartitionLog:
        log = self.plan.store.get(ORDERS.partition(number))
        assert log is not None
        return log

    async def mine(self, number: int, begin: int, end: int) -> None:
        await self.plan.store.writer.accept(self.log(number), full_frame(begin, end))


def play(path: Path, lookup: FakeLookup, test: Callable[[Streams], Awaitable[None]]) -> None:
    async def run() -> None:
        async with planning(path, lookup) as plan:
            plan.join("reader")
            await test(Streams(plan))

    asyncio.run(run())


def events(told: Told, kind: str) -> list[Any]:
    return [getattr(each, kind) for each in told if each.WhichOneof("event") == kind]


def offsets(told: Told, number: int) -> list[int]:
    return [r.offset for b in events(told, "batch") if b.partition == number for r in b.records]


def last_progress(told: Told) -> dict[int, tuple[int, str]]:
    found = events(told, "progress")
    return {p.partition: (p.mining_state, p.mining_error) for p in found[-1].partitions}


def silent(*numbers: int, partitions: int = 2) -> FakeLookup:
    lookup = FakeLookup(orders=partitions)
    lookup.silent = {("orders", number) for number in numbers}
    return lookup


def test_what_can_be_had_is_delivered_and_the_rest_is_told(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        async with streams.open(mode=pb.FULL_AND_INCREMENTAL) as told:
            (started,) = events(told, "started")
            assert [p.partition for p in started.positions] == [0]
            await streams.mine(0, 0, 5)
            await until(lambda: len(offsets(told, 0)) == 5)
            await until(lambda: bool(events(told, "progress")))
            state, error = last_progress(told)[1]
            assert state == MiningState.SOURCE_UNREACHABLE
            assert error.startswith("SOURCE_UNREACHABLE: ")
            assert "does not answer" in error
            streams.lookup.earliest["orders", 1] = 7
            streams.lookup.silent.clear()
            await until(lambda: bool(events(told, "partition_added")))
            (added,) = events(told, "partition_added")
            assert (added.start.partition, added.start.offset) == (1, 7)
            await streams.mine(1, 7, 9)
            await until(lambda: offsets(told, 1) == [7, 8])

    play(tmp_path, silent(1), test)


def test_a_full_sync_ends_once_all_are_there(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        streams.lookup.ends = {("orders", 0): 5, ("orders", 1): 3}
        async with streams.open() as told:
            (started,) = events(told, "started")
            assert not started.end, "not all ends are known"
            await streams.mine(0, 0, 5)
            await until(lambda: len(offsets(told, 0)) == 5)
            await asyncio.sleep(0.2)
            assert not events(told, "ended")
            position = streams.plan.subscriptions.get("copies").record.epoch
            done = {ORDERS.partition(0): 5}
            await streams.plan.subscriptions.commit("copies", position, done)
            assert not streams.plan.subscriptions.get("copies").record.full_sync_done
            streams.lookup.silent.clear()
            await until(lambda: bool(events(told, "partition_added")))
            await streams.mine(1, 0, 3)
            await until(lambda: bool(events(told, "ended")))
            (ended,) = events(told, "ended")
            assert {p.partition: p.offset for p in ended.positions} == {0: 5, 1: 3}
            await streams.plan.subscriptions.commit(
                "copies", position, {**done, ORDERS.partition(1): 3}
            )
            assert streams.plan.subscriptions.get("copies").record.full_sync_done

    play(tmp_path, silent(1), test)


def test_a_full_sync_delivers_what_is_cached_before_its_end_is_known(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await streams.plan.assignments.create_logs(streams.plan.source, ["orders"])
        await streams.mine(1, 0, 3)
        streams.lookup.ends["orders", 1] = 4
        streams.lookup.silent.add(("orders", 1))
        async with streams.open() as told:
            await until(lambda: offsets(told, 1) == [0, 1, 2])
            streams.lookup.silent.clear()
            await asyncio.sleep(0.1)
            assert not events(told, "ended")
            await streams.mine(1, 3, 4)
            await until(lambda: bool(events(told, "ended")))

    play(tmp_path, silent(), test)


def test_increments_begin_with_what_came_after_the_call(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        streams.lookup.ends["orders", 1] = 90
        async with streams.open(mode=pb.INCREMENTAL):
            pass
        streams.lookup.times["orders", 1] = 42
        async with streams.open(mode=pb.INCREMENTAL) as told:  # as a client that reconnects
            streams.lookup.silent.clear()
            await until(lambda: bool(events(told, "partition_added")))
            (added,) = events(told, "partition_added")
            assert (added.start.partition, added.start.offset) == (1, 42)
        stored = streams.plan.subscriptions.get("copies").positions
        assert stored[ORDERS.partition(1)] == 42

    play(tmp_path, silent(1), test)


def test_nothing_since_the_call_means_the_end(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        streams.lookup.ends["orders", 1] = 90
        async with streams.open(mode=pb.INCREMENTAL) as told:
            streams.lookup.silent.clear()
            await until(lambda: bool(events(told, "partition_added")))
            (added,) = events(told, "partition_added")
            assert added.start.offset == 90

    play(tmp_path, silent(1), test)


def test_an_end_that_was_asked_for_waits_for_its_partition(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        ends = [pb.Position(topic="orders", partition=n, offset=2) for n in (0, 1)]
        async with streams.open(
            mode=pb.FULL_AND_INCREMENTAL, end=pb.Positions(positions=ends)
        ) as told:
            (started,) = events(told, "started")
            assert {p.partition: p.offset for p in started.end} == {0: 2, 1: 2}
            await streams.mine(0, 0, 2)
            await until(lambda: len(offsets(told, 0)) == 2)
            assert not events(told, "ended")
            streams.lookup.silent.clear()
            await until(lambda: bool(events(told, "partition_added")))
            await streams.mine(1, 0, 2)
            await until(lambda: bool(events(told, "ended")))

    play(tmp_path, silent(1), test)


def test_a_partition_that_is_gone_is_waited_for_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "GONE_AFTER_S", 0.5)

    async def test(streams: Streams) -> None:
        async with streams.open(topics=["orders", "items"]) as told:
            await asyncio.sleep(0.1)
            assert not events(told, "ended")
            del streams.lookup.topics["items"]
            await streams.plan.sources.look(streams.plan.source)
            await until(lambda: bool(events(told, "ended")))

    lookup = FakeLookup(orders=1, items=1)
    lookup.silent = {("items", 0)}
    play(tmp_path, lookup, test)


def test_a_cluster_that_does_not_answer_at_all_is_an_error(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        streams.lookup.reachable = False
        with pytest.raises(SourceUnreachable):
            async with streams.open():
                pass

    play(tmp_path, silent(), test)


def test_new_partitions_of_a_running_stream_wait_as_well(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        async with streams.open(mode=pb.INCREMENTAL) as told:
            streams.lookup.silent = {("orders", 2)}
            streams.lookup.topics["orders"] = (0, 1, 2)
            await streams.plan.sources.look(streams.plan.source)
            await until(lambda: bool(events(told, "progress")) and 2 in last_progress(told))
            streams.lookup.silent.clear()
            await until(lambda: bool(events(told, "partition_added")))
            (added,) = events(told, "partition_added")
            assert (added.start.partition, added.start.offset) == (2, 0)
            assert set(last_progress(told)) >= {0, 1}

    play(tmp_path, silent(), test)
