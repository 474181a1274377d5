"""Around the cache and back, with a broker over a list."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from grpc import StatusCode

from cachesvc.client import (
    Batch,
    Client,
    DataLoss,
    Position,
    Positions,
    SubscriptionTakenOver,
    Unavailable,
)
from cachesvc.sync import InvalidTask, Task, TaskConfig
from cachesvc.sync.parts import TaskParts
from cachesvc.sync.runner.auto_source import AutoSource
from cachesvc.sync.runner.kept_positions import KeptPositions
from tests.client.fake_log import Logs
from tests.client.fake_server import FakeLogCache, Fault, serving
from tests.client.running import eventually, in_event_loop
from tests.support.ports import free_ports
from tests.sync.stage import MemorySink, at, reached, task_config
from tests.sync.test_changes import batch_of

ORDERS = ("orders", 0)


class ListBroker:
    """Gives the offsets of a list, a few at a time; those that come later as well."""

    def __init__(self, offsets: list[int], reads: list[int]) -> None:
        self._offsets = offsets
        self._reads = reads
        self._next = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    def read(self, positions: Positions, end: Positions) -> None:
        self._next = positions[ORDERS].offset
        if end:
            self._offsets = [offset for offset in self._offsets if offset < end[ORDERS].offset]
        self._reads.append(self._next)

    async def next(self) -> Batch:
        if self._offsets and self._next < self._offsets[0]:
            raise DataLoss("expired", reason="SOURCE_RETENTION")
        while not (found := [o for o in self._offsets if o >= self._next][:4]):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        batch = batch_of(['{"a":1}'] * len(found), found[0])
        self._next = found[-1] + 1
        of, payload = batch.topic_partition, batch.payload
        return Batch(type(of)("orders", 0, 1), found[0], self._next, len(found), payload)


class Stage:
    """A service that comes and goes at one address, and a broker that has all of its records."""

    def __init__(self, directory: Path, count: int = 20) -> None:
        self.port = free_ports(1)[0]
        self.target = f"127.0.0.1:{self.port}"
        self.service = FakeLogCache(Logs({ORDERS: range(count)}))
        self.broker = list(range(count))
        self.reads: list[int] = []
        self.kept = KeptPositions(directory / "positions")
        self.sink = MemorySink()
        self.tables: dict[str, Any] = {}

    def produce(self, count: int, *, cached: bool = True) -> None:
        begin = self.broker[-1] + 1
        self.broker += range(begin, begin + count)
        if cached:
            self.service.logs.append(ORDERS, *range(begin, begin + count))

    def config(self, **source: Any) -> TaskConfig:
        outside = {"outside_after_s": 0.3, "mode": "FULL_AND_INCREMENTAL"}
        return task_config(self.target, source={**outside, **source}, **self.tables)

    def task(self, **source: Any) -> Task:
        config = self.config(**source)
        parts = TaskParts(config, sink=self.sink)
        parts.source = AutoSource(
            config,
            lambda: Client(self.target, call_timeout_s=5.0),
            lambda: ListBroker(self.broker, self.reads),
            self.kept,
        )
        return Task(parts)

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        async with serving(self.service, self.port):
            yield

    def stored(self) -> int:
        return self.service.subscriptions["task"].positions[ORDERS]


@in_event_loop
async def test_around_and_back_nothing_is_left_out_and_nothing_comes_twice(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.up():
        task = stage.task()
        task.start()
        await eventually(reached(stage.sink, ORDERS, 20))
    stage.produce(15)
    await eventually(reached(stage.sink, ORDERS, 35))
    assert task.status().outside
    await eventually(lambda: stage.kept.read() == at(35))
    async with stage.up():
        await eventually(lambda: not task.status().outside)
        stage.produce(5)
        await eventually(reached(stage.sink, ORDERS, 40))
        await eventually(lambda: stage.stored() == 40)
        await task.stop()
    assert stage.sink.offsets[ORDERS] == list(range(40))
    assert (stage.reads, stage.kept.read()) == ([20], Positions())
    assert task.status().outside_s > 0 and not task.status().outside


@in_event_loop
async def test_a_task_that_starts_in_an_outage_goes_on_where_the_last_one_was(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    async with stage.up():
        task = stage.task()
        task.start()
        await eventually(reached(stage.sink, ORDERS, 20))
    stage.produce(3)
    await eventually(lambda: stage.kept.read() == at(23))
    await task.stop()
    stage.produce(3)
    second = stage.task()
    second.start()
    await eventually(reached(stage.sink, ORDERS, 26))
    async with stage.up():
        await eventually(lambda: stage.stored() == 26)
        await second.stop()
    assert stage.sink.offsets[ORDERS] == list(range(26))


@in_event_loop
async def test_what_was_kept_counts_for_a_task_that_starts_after_the_outage(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.kept.write(at(12))
    async with stage.up(), stage.task():
        await eventually(reached(stage.sink, ORDERS, 8))
        await eventually(lambda: stage.kept.read() == Positions())
    assert stage.sink.offsets[ORDERS] == list(range(12, 20))


@in_event_loop
async def test_a_full_sync_is_finished_outside_and_its_end_stored_inside(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.sink.held.clear()
    async with stage.up():
        task = stage.task(mode="FULL")
        task.start()
        await eventually(lambda: stage.sink.writing)
    stage.sink.held.set()
    stage.produce(5)
    await eventually(reached(stage.sink, ORDERS, 20))
    async with stage.up():
        status = await task.wait()
    assert status.state == "done"
    assert stage.sink.offsets[ORDERS] == list(range(20))
    assert stage.service.subscriptions["task"].full_sync_done


@in_event_loop
async def test_without_a_known_position_it_waits(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    task = stage.task()
    task.start()
    await asyncio.sleep(0.2)
    assert not stage.reads and task.status().state == "starting"
    async with stage.up():
        await eventually(reached(stage.sink, ORDERS, 20))
        await task.stop()


@in_event_loop
async def test_without_a_known_position_it_gives_up_where_it_is_told_to(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    config = stage.config()
    source = AutoSource(
        task_config(
            stage.target, source={"outside_after_s": 0.01}, retry={"give_up_after_s": 0.05}
        ),
        lambda: Client(stage.target),
        lambda: ListBroker([], []),
        stage.kept,
    )
    assert config.retry.give_up_after_s is not None
    with pytest.raises(Unavailable):
        async with source.session(None):
            pass


@in_event_loop
async def test_a_range_that_the_cache_cannot_give_comes_from_the_broker(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.service.faults.append(Fault(2, StatusCode.DATA_LOSS, "CACHE_RETENTION"))
    async with stage.up(), stage.task(outside_after_s=60.0) as task:
        await eventually(reached(stage.sink, ORDERS, 20))
        await eventually(lambda: not task.status().outside)
        stage.produce(5)
        await eventually(reached(stage.sink, ORDERS, 25))
    assert stage.sink.offsets[ORDERS] == list(range(25))
    assert stage.reads == [6]


@in_event_loop
async def test_what_the_broker_lacks_as_well_ends_the_task(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.up():
        task = stage.task()
        task.start()
        await eventually(reached(stage.sink, ORDERS, 20))
    stage.produce(10)
    del stage.broker[:25]
    with pytest.raises(DataLoss) as caught:
        await task.wait()
    assert caught.value.reason == "SOURCE_RETENTION"


@in_event_loop
async def test_a_disk_that_keeps_no_positions_does_not_end_the_task(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.up():
        task = stage.task()
        task.start()
        await eventually(reached(stage.sink, ORDERS, 20))
    obstacle = tmp_path / "positions.new"
    obstacle.mkdir()
    stage.produce(3)
    await eventually(reached(stage.sink, ORDERS, 23))
    trouble = task.status().trouble
    assert trouble is None or trouble.reason == "POSITIONS_DISK"
    obstacle.rmdir()
    await eventually(lambda: stage.kept.read() == at(23))
    await task.stop()
    assert task.status().state == "stopped"


@in_event_loop
async def test_who_lost_the_subscription_meanwhile_ends(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.up():
        task = stage.task()
        task.start()
        await eventually(reached(stage.sink, ORDERS, 20))
    await eventually(lambda: task.status().outside)
    stage.service.subscriptions["task"].epoch += 1
    async with stage.up():
        with pytest.raises(SubscriptionTakenOver):
            await task.wait()


@pytest.mark.parametrize("offset", [5, 22])
@in_event_loop
async def test_a_reset_meanwhile_is_obeyed(tmp_path: Path, offset: int) -> None:
    stage = Stage(tmp_path)
    async with stage.up():
        task = stage.task()
        task.start()
        await eventually(reached(stage.sink, ORDERS, 20))
        await eventually(lambda: stage.stored() == 20)
    stage.produce(5)
    await eventually(lambda: stage.kept.read() == at(25))
    subscribed = stage.service.subscriptions["task"]
    subscribed.positions[ORDERS] = offset
    subscribed.epoch += 1
    subscribed.evicted = None
    async with stage.up():
        again = [*range(25), *range(offset, 25)]
        await eventually(lambda: stage.sink.offsets[ORDERS] == again)
        await eventually(lambda: stage.stored() == 25)
        await task.stop()
    assert stage.kept.read() == Positions()
    assert task.status().state == "stopped"


def test_kept_positions_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "positions").write_text("{")
    with pytest.raises(InvalidTask, match="holds no positions"):
        KeptPositions(tmp_path / "positions").read()


def test_kept_positions_are_read_as_they_were_written(tmp_path: Path) -> None:
    kept = KeptPositions(tmp_path / "deep" / "positions")
    positions = Positions([Position("a", 0, 5, 1), Position("b", 3, 7, 2)])
    kept.write(positions)
    assert kept.read() == positions
    kept.forget()
    kept.forget()
    assert kept.read() == Positions()
