import pytest

from cachesvc.client import MiningState, PartitionProgress, Position
from cachesvc.sync import Task
from cachesvc.sync.runner import pipeline
from cachesvc.sync.runner.progress import Meter
from tests.client.fake_log import Logs
from tests.client.fake_server import FakeLogCache, serving
from tests.client.running import eventually, in_event_loop
from tests.sync.stage import MemorySink, at, task_config

ORDERS = ("orders", 0)


def test_a_rate_that_nobody_asks_for_takes_no_memory() -> None:
    now_s = 0.0
    meter = Meter(clock=lambda: now_s)
    for _ in range(1_000):
        now_s += 1.0
        meter.dealt_with(50)
    assert len(meter._recent) < 20
    assert meter.records_per_s == 50.0


def test_an_end_of_the_source_that_was_told_long_ago_says_nothing() -> None:
    now_s = 0.0
    meter = Meter(clock=lambda: now_s)
    meter.began(at(3), at())
    told = [meter.lag_records]
    position = Position(*ORDERS, 3, 1)
    meter.saw((PartitionProgress(position, 10, 12, MiningState.MINING, ""),))
    told.append(meter.lag_records)
    now_s = 100.0
    told.append(meter.lag_records)
    meter.saw_ends({ORDERS: 20})
    told.append(meter.lag_records)
    assert told == [None, 9, None, 17]


@in_event_loop
async def test_how_far_a_task_is_behind_is_known_while_its_sink_keeps_the_stream_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "ENDS_EVERY_S", 0.02)
    service, sink = FakeLogCache(Logs({ORDERS: range(3)})), MemorySink()
    sink.held.clear()
    source = {"mode": "INCREMENTAL", "start": "earliest"}
    async with serving(service) as target:
        config = task_config(target, source=source, batch={"records_max": 2})
        async with Task(config, sink=sink) as task:
            await eventually(lambda: sink.writing)
            service.logs.append(ORDERS, *range(3, 500))
            await eventually(lambda: task.status().lag_records == 500)
            sink.held.set()
            await eventually(lambda: task.status().lag_records == 0)
