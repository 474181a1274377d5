"""Streams that begin with a snapshot: its records, then all that follows, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cachesvc.alarms.damage_facts import damage_facts
from cachesvc.errors import DataLoss, InvalidRequest, PreconditionFailed
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.reading import LogReader
from cachesvc.model import GapCause, Snapshot
from cachesvc.serving.batches import Batches
from cachesvc.serving.convert import subscribe_call
from cachesvc.serving.subscribing import Subscribing
from cachesvc.snapshots.shelf import Shelf
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.watching.deliveries import Deliveries
from tests.support.frames import ORDERS, Record, flip_bit, frame
from tests.unit.assignment.plans import Plan, planning
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import roll, until
from tests.unit.snapshots.making_here import HereMaker

Told = list[pb.SubscribeResponse]
Rows = list[tuple[int, str | None, bool]]


class Streams:
    """Subscribe calls to a store with snapshots."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.shelf = Shelf(plan.store, plan.subscriptions.all, 1)
        self.maker = HereMaker(plan.store, self.shelf)
        self._subscribing = Subscribing(
            plan.store,
            plan.sources,
            plan.subscriptions,
            plan.assignments,
            Batches(plan.store.reader, 1 << 20),
            self.shelf,
            0.05,
            Deliveries(),
        )

    @property
    def log(self) -> PartitionLog:
        log = self.plan.store.get(ORDERS)
        assert log is not None
        return log

    async def create(self) -> None:
        await self.plan.assignments.create_logs(self.plan.source, ["orders"])

    async def mine(self, rows: Mapping[str, str | None]) -> None:
        """Mines and seals records, by key."""
        base = self.log.log_end_offset
        new = [
            Record(base + number, value, key.encode())
            for number, (key, value) in enumerate(rows.items())
        ]
        await self.plan.store.writer.accept(self.log, frame(base, base + len(new), new))
        self.plan.lookup.ends["orders", 0] = base + len(new)
        await roll(self.plan.store, self.log)

    async def snapshot(self) -> Snapshot:
        return await self.maker.made(self.log)

    async def expire(self, begin: int) -> None:
        """Neither the cache nor the source has anything before an offset any more."""
        gone = [each for each in self.log.segments if each.end_offset <= begin]
        assert await self.plan.store.expire(self.log, gone, begin)
        self.plan.lookup.earliest["orders", 0] = begin

    async def lose(self, begin: int, end: int) -> None:
        await self.plan.store.changes.lose(self.log, begin, end)

    async def commit(self, offset: int) -> None:
        epoch = self.plan.subscriptions.get("copies").record.epoch
        await self.plan.subscriptions.commit("copies", epoch, {ORDERS: offset})

    @asynccontextmanager
    async def open(self, **request: Any) -> AsyncIterator[tuple[Told, asyncio.Future[None]]]:
        request = {
            "topics": ["orders"],
            "mode": pb.FULL_AND_INCREMENTAL,
            "encoding": pb.RECORDS,
            "bootstrap": pb.SNAPSHOT,
            **request,
        }
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
            if not told:
                serving.result()
            yield told, serving
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def read(self, count: int, **request: Any) -> tuple[Rows, pb.Started]:
        """The first records of a stream, and how it began."""
        async with self.open(**request) as (told, _):
            await until(lambda: len(rows(told)) >= count)
            return rows(told), told[0].started


def rows(told: Told) -> Rows:
    """Offset, value and mark of each record."""
    return [
        (r.offset, r.value.decode() if r.HasField("value") else None, each.batch.snapshot)
        for each in told
        if each.WhichOneof("event") == "batch"
        for r in each.batch.records
    ]


def play(
    path: Path, test: Callable[[Streams], Awaitable[None]], lookup: FakeLookup | None = None
) -> None:
    async def run() -> None:
        async with planning(path, lookup or FakeLookup(orders=1)) as plan:
            plan.join("reader")
            streams = Streams(plan)
            await streams.create()
            await test(streams)

    asyncio.run(run())


async def history(streams: Streams) -> Snapshot:
    """Seven records, a snapshot [0, 5) of two of them at offsets 2 and 3, and what follows."""
    await streams.mine({"a": "{}", "b": "{}"})
    await streams.mine({"a": '{"n":2}', "c": '{"n":3}', "b": None})
    snapshot = await streams.snapshot()
    await streams.mine({"a": '{"n":5}', "c": None})
    return snapshot


FROM_SNAPSHOT = [(2, '{"n":2}', True), (3, '{"n":3}', True)]
BEHIND = [(5, '{"n":5}', False), (6, None, False)]


@pytest.mark.parametrize("expired", [False, True])
def test_the_snapshot_then_everything_behind_it(tmp_path: Path, expired: bool) -> None:
    async def test(streams: Streams) -> None:
        snapshot = await history(streams)
        if expired:
            await streams.expire(5)
        found, started = await streams.read(4)
        assert found == FROM_SNAPSHOT + BEHIND
        assert [position.offset for position in started.positions] == [0]
        (told,) = started.snapshots
        assert (told.topic, told.partition, told.incarnation) == ("orders", 0, 1)
        assert (told.base_offset, told.end_offset, told.complete_from_offset) == (0, 5, 0)
        assert (told.record_count, told.created_ms) == (2, snapshot.file.created_ms)
        assert not told.resumed
        # No reader was asked for anything.
        assert streams.plan.store.backfill.wanted(ORDERS) is None
        # Without bootstrap all is as ever.
        if not expired:
            other, started = await streams.read(7, bootstrap=pb.NONE, mode=pb.FULL, start=EARLIEST)
            assert [row[0] for row in other] == list(range(7))
            assert not started.snapshots

    play(tmp_path, test)


EARLIEST = pb.Start(earliest=pb.Earliest())


@pytest.mark.parametrize("form", [pb.ARROW_COMPRESSION_LZ4, pb.ARROW_COMPRESSION_ZSTD])
def test_other_forms_are_not_taken_for_those_of_the_log(tmp_path: Path, form: int) -> None:
    async def test(streams: Streams) -> None:
        await history(streams)
        whole, _ = await streams.read(7, bootstrap=pb.NONE, start=EARLIEST)
        assert len(whole) == 7
        await streams.plan.subscriptions.delete("copies")
        found, _ = await streams.read(4)
        assert found == FROM_SNAPSHOT + BEHIND
        await streams.plan.subscriptions.delete("copies")
        request = {"encoding": pb.ARROW_IPC, "arrow_compression": form}
        async with streams.open(**request) as (told, _):

            def counts() -> list[tuple[int, bool]]:
                batches = [e.batch for e in told if e.WhichOneof("event") == "batch"]
                return [(batch.record_count, batch.snapshot) for batch in batches]

            await until(lambda: sum(count for count, _ in counts()) == 4)
            assert counts() == [(2, True), (2, False)]

    play(tmp_path, test)


def test_a_full_sync_is_done_behind_it(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await history(streams)
        async with streams.open(mode=pb.FULL) as (told, serving):
            await until(serving.done)
            assert rows(told) == FROM_SNAPSHOT + BEHIND
            assert told[-1].WhichOneof("event") == "ended"
        await streams.commit(7)
        assert streams.plan.subscriptions.get("copies").record.full_sync_done

    play(tmp_path, test)


@pytest.mark.parametrize(
    ("offset", "left"), [(0, FROM_SNAPSHOT), (3, FROM_SNAPSHOT[1:]), (4, []), (5, [])]
)
def test_it_goes_on_in_the_same_one(tmp_path: Path, offset: int, left: Rows) -> None:
    async def test(streams: Streams) -> None:
        first = await history(streams)
        await streams.read(1)
        await streams.commit(offset)
        # A newer one would lack "c", which a stream that read the first one must hear of.
        newer = await streams.snapshot()
        reading = offset < first.end_offset
        assert streams.shelf.all() == ([first, newer] if reading else [newer])
        found, started = await streams.read(len(left + BEHIND))
        assert found == left + BEHIND
        assert [each.resumed for each in started.snapshots] == ([offset > 0] if reading else [])
        # A client that reconnects asks for what it has received.
        at = pb.Start(positions=pb.Positions(positions=[position(3)]))
        found, _ = await streams.read(len(BEHIND), start=at)
        assert found[-2:] == BEHIND
        assert [row[0] for row in found if row[2]] == ([3] if reading else [])
        # It may also want the log alone, from the same position on.
        begin = min(offset, 3)  # where that was a step back, it is stored
        found, started = await streams.read(7 - begin, bootstrap=pb.NONE)
        assert [row[0] for row in found] == list(range(begin, 7))
        assert not started.snapshots

    play(tmp_path, test)


def position(offset: int) -> pb.Position:
    return pb.Position(topic="orders", partition=0, offset=offset)


@pytest.mark.parametrize("when", ["before", "within"])
def test_a_damaged_one_leaves_its_readers_to_the_log(tmp_path: Path, when: str) -> None:
    async def test(streams: Streams) -> None:
        snapshot = await history(streams)
        await streams.read(4)
        if when == "within":
            await streams.commit(3)
        path = tmp_path / snapshot.file.path
        flip_bit(path, path.stat().st_size * 4)
        store = streams.plan.store
        # Nothing of it is in memory any more.
        store.reader = LogReader(store.stores, store._threads, 1 << 20)
        found, _ = await streams.read(2)
        begin = 3 if when == "within" else 0
        assert [row[0] for row in found] == list(range(begin, 7))
        assert not any(marked for _, _, marked in found)
        assert streams.shelf.all() == []
        (told,) = damage_facts(store, time.time_ns() // 1_000_000)
        assert told.files[0].startswith(snapshot.file.path), "for the alarm STORE_DAMAGED"

    play(tmp_path, test)


def test_where_there_is_none_that_serves(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await streams.mine({"a": "{}"})
        with pytest.raises(PreconditionFailed, match="there is none of the topic") as refused:
            await streams.read(1)
        assert refused.value.reason == "SNAPSHOT_UNAVAILABLE"
        await streams.snapshot()
        with pytest.raises(PreconditionFailed, match="behind the end 0"):
            await streams.read(1, end=pb.Positions(positions=[position(0)]))
        found, _ = await streams.read(1)
        assert found == [(0, "{}", True)]

    play(tmp_path, test)


def test_one_that_begins_too_late_is_refused(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await streams.mine({"a": "{}"})
        await streams.mine({"b": "{}"})
        await streams.expire(1)
        streams.plan.lookup.earliest["orders", 0] = 0
        made = await streams.snapshot()
        assert (made.base_offset, made.complete_from_offset) == (1, 1)
        with pytest.raises(PreconditionFailed, match="begins at offset 1, and there are records"):
            await streams.read(1)
        # Once the source has them no more either, it is as complete as can be.
        streams.plan.lookup.earliest["orders", 0] = 1
        found, _ = await streams.read(1)
        assert found == [(1, "{}", True)]

    play(tmp_path, test)


def test_an_empty_topic_needs_none(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        async with streams.open() as (told, _):
            assert not told[0].started.snapshots
            await streams.mine({"a": "{}"})
            await until(lambda: rows(told) == [(0, "{}", False)])

    play(tmp_path, test)


@pytest.mark.parametrize(
    "request_",
    [
        {"mode": pb.INCREMENTAL},
        {"start": EARLIEST},
        {"start": pb.Start(timestamp_ms=5)},
        {"bootstrap": pb.NONE, "gap_policy": pb.RECOVER_FROM_SNAPSHOT},
        {"bootstrap": 9},
    ],
)
def test_contradictions_are_refused(request_: dict[str, Any]) -> None:
    fields = {"mode": pb.FULL, "bootstrap": pb.SNAPSHOT, **request_}
    with pytest.raises(InvalidRequest) as refused:
        subscribe_call(pb.SubscribeRequest(subscription="copies", topics=["orders"], **fields))
    assert refused.value.reason in ("BOOTSTRAP_CONTRADICTED", "UNKNOWN_BOOTSTRAP")


def test_who_fell_out_of_retention_loads_anew(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await history(streams)
        await streams.read(4)
        await streams.commit(6)
        await streams.mine({"d": '{"n":7}'})
        await streams.snapshot()
        await streams.mine({"e": '{"n":8}'})
        await streams.expire(8)
        await streams.lose(6, 8)
        recovers = {"gap_policy": pb.RECOVER_FROM_SNAPSHOT}
        async with streams.open(**recovers) as (told, serving):
            await until(serving.done)
            gaps = [e.gap for e in told if e.WhichOneof("event") == "gap"]
            assert [(g.begin_offset, g.end_offset) for g in gaps] == [(6, 8)]
            with pytest.raises(DataLoss) as lost:
                serving.result()
        assert lost.value.metadata["recovers_from_snapshot"] == "true"
        assert "loads the partition anew, from a snapshot" in str(lost.value)
        # What the stream had delivered cannot be committed any more.
        with pytest.raises(InvalidRequest, match="has delivered up to 0"):
            await streams.commit(6)
        assert streams.plan.subscriptions.get("copies").positions == {ORDERS: 0}
        (recovery,) = streams.shelf.recoveries()
        assert recovery == ("copies", streams.shelf.newest(ORDERS))
        found, started = await streams.read(3, **recovers)
        # It is known until the next snapshot after that.
        assert list(streams.shelf.recoveries()) == [recovery]
        await streams.commit(8)
        assert list(Shelf(streams.plan.store, list, 1).recoveries()) == [recovery]
        assert found == [(5, '{"n":5}', True), (7, '{"n":7}', True), (8, '{"n":8}', False)]
        assert [each.resumed for each in started.snapshots] == [False]
        await streams.snapshot()
        assert not list(streams.shelf.recoveries())

    play(tmp_path, test)


def test_without_a_snapshot_beyond_the_gap_it_stays_there(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await history(streams)
        await streams.read(4)
        await streams.commit(6)
        await streams.mine({"d": "{}"})
        await streams.expire(8)
        await streams.lose(6, 8)
        async with streams.open(gap_policy=pb.RECOVER_FROM_SNAPSHOT) as (_, serving):
            await until(serving.done)
            with pytest.raises(DataLoss) as lost:
                serving.result()
        assert lost.value.metadata["recovers_from_snapshot"] == "false"
        assert streams.plan.subscriptions.get("copies").positions == {ORDERS: 6}

    play(tmp_path, test)


def test_what_the_source_had_deleted_is_a_gap_in_it(tmp_path: Path) -> None:
    async def test(streams: Streams) -> None:
        await streams.mine({"a": "{}"})
        await streams.lose(1, 3)
        await streams.plan.store.writer.accept(streams.log, frame(1, 3))
        await roll(streams.plan.store, streams.log)
        await streams.mine({"b": "{}"})
        made = await streams.snapshot()
        assert made.complete_from_offset == 3
        async with streams.open() as (told, serving):
            await until(serving.done)
            with pytest.raises(DataLoss) as lost:
                serving.result()
        assert lost.value.reason == GapCause.SOURCE_RETENTION.name
        assert rows(told) == [(0, "{}", True)]
        found, started = await streams.read(2, gap_policy=pb.GO_ON_BEHIND_GAP)
        assert found == [(0, "{}", True), (3, "{}", True)]
        assert [each.complete_from_offset for each in started.snapshots] == [3]

    play(tmp_path, test)
