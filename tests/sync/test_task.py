import asyncio
from typing import Any

import pyarrow as pa
import pytest
from grpc import StatusCode

from cachesvc.client import DataLoss, SubscriptionTakenOver
from cachesvc.sync import (
    InvalidTask,
    SyncError,
    TargetFailed,
    TargetUnavailable,
    Task,
    Transformed,
    run_task,
)
from cachesvc.sync.changes import Changes
from cachesvc.sync.transform import RefusedRow
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.fake_log import Logs
from tests.client.fake_server import FakeLogCache, Fault, serving
from tests.client.running import eventually, in_event_loop
from tests.sync.stage import MemorySink, Unavailable, at, reached, task_config

ORDERS = ("orders", 0)


def cache(count: int = 20, **settings: Any) -> FakeLogCache:
    return FakeLogCache(Logs({ORDERS: range(count)}), **settings)


def stored(service: FakeLogCache) -> dict[tuple[str, int], int]:
    return dict(service.subscriptions["task"].positions)


@in_event_loop
async def test_a_full_sync_ends_by_itself_with_its_end_stored() -> None:
    service, sink = cache(), MemorySink()
    async with serving(service) as target:
        status = await run_task(task_config(target), sink=sink)
    assert sink.offsets[ORDERS] == list(range(20))
    assert (status.state, status.records, status.share) == ("done", 20, 1.0)
    assert stored(service) == {ORDERS: 20}
    assert service.subscriptions["task"].full_sync_done
    assert sink.calls[-1] == "close"


@in_event_loop
async def test_a_sink_that_keeps_positions_cannot_share_them() -> None:
    service, sink = cache(), MemorySink(keeps_positions=True)
    async with serving(service) as target:
        with pytest.raises(InvalidTask, match=r"source\.sharing"):
            await run_task(task_config(target, source={"sharing": "shared"}), sink=sink)
    assert not service.requests
    assert sink.calls[-1] == "close"


@in_event_loop
async def test_the_service_is_told_the_name_of_the_task() -> None:
    service = cache()
    async with serving(service) as target:
        await run_task(task_config(target), sink=MemorySink())
    assert str(service.metadata["user-agent"]).startswith("cachesvc-sync/task ")


@in_event_loop
async def test_a_second_run_goes_on_where_the_first_was() -> None:
    service, first, second = cache(), MemorySink(), MemorySink()
    async with serving(service) as target:
        await run_task(task_config(target), sink=first)
        service.logs.append(ORDERS, 20, 21)
        await run_task(task_config(target), sink=second)
    assert second.offsets[ORDERS] == [20, 21]


@in_event_loop
async def test_a_position_is_stored_only_once_the_sink_has_confirmed() -> None:
    service, sink = cache(3), MemorySink()
    sink.held.clear()
    async with serving(service) as target:
        async with Task(task_config(target), sink=sink) as task:
            await eventually(lambda: sink.writing)
            assert stored(service) == {ORDERS: 0}
            sink.held.set()
            await task.wait()
        assert stored(service) == {ORDERS: 3}


@in_event_loop
async def test_the_next_delivery_is_read_while_the_sink_writes() -> None:
    service, sink = cache(30), MemorySink()
    sink.held.clear()
    config = {"records_max": 6, "wait_s_max": 5.0}
    async with (
        serving(service) as target,
        Task(task_config(target, batch=config), sink=sink) as task,
    ):
        await eventually(lambda: sink.writing and task.status().bytes_waiting > 0)
        sink.held.set()
        await task.wait()
    assert [len(each) for each in sink.deliveries] == [6, 6, 6, 6, 6]


@in_event_loop
async def test_what_may_pass_is_tried_again() -> None:
    service, sink = cache(), MemorySink()
    sink.faults.extend([Unavailable(), Unavailable(), None, Unavailable()])
    async with serving(service) as target:
        status = await run_task(task_config(target), sink=sink)
    assert sink.offsets[ORDERS] == list(range(20))
    assert status.retries == 3
    assert sink.calls.count("open") == 4


@in_event_loop
async def test_what_does_not_pass_ends_the_task_behind_what_was_confirmed() -> None:
    service, sink = cache(), MemorySink()
    sink.faults.extend([None, TargetFailed("no such table", reason="NO_TABLE")])
    async with serving(service) as target, Task(task_config(target), sink=sink) as task:
        with pytest.raises(TargetFailed):
            await task.wait()
        status = task.status()
    assert status.state == "failed"
    assert status.trouble is not None and status.trouble.reason == "NO_TABLE"
    assert stored(service) == {ORDERS: len(sink.offsets[ORDERS])}


@in_event_loop
async def test_it_gives_up_where_it_is_told_to() -> None:
    service, sink = cache(), MemorySink()
    sink.faults.extend(Unavailable() for _ in range(1_000))
    retry = {"give_up_after_s": 0.05}
    async with serving(service) as target:
        with pytest.raises(TargetUnavailable):
            await run_task(task_config(target, retry=retry), sink=sink)
    assert stored(service) == {ORDERS: 0}


@in_event_loop
async def test_a_lost_service_costs_no_record_and_repeats_none() -> None:
    service, sink = cache(), MemorySink()
    service.faults.extend([Fault(2), Fault(1, StatusCode.UNAVAILABLE)])
    async with serving(service) as target:
        await run_task(task_config(target), sink=sink)
    assert sink.offsets[ORDERS] == list(range(20))


@in_event_loop
async def test_who_lost_the_subscription_ends() -> None:
    service, sink = cache(), MemorySink()
    source = {"mode": "INCREMENTAL", "start": "earliest"}
    async with serving(service) as target, Task(task_config(target, source=source), sink=sink) as t:
        await eventually(reached(sink, ORDERS, 20))
        service.subscriptions["task"].evict("SUBSCRIPTION_TAKEN_OVER")
        with pytest.raises(SubscriptionTakenOver):
            await t.wait()


@in_event_loop
async def test_a_sink_with_positions_decides_where_the_task_goes_on() -> None:
    service, sink = cache(), MemorySink(keeps_positions=True)
    sink.positions = at(12)
    async with serving(service) as target:
        await run_task(task_config(target), sink=sink)
    assert sink.offsets[ORDERS] == list(range(12, 20))


@in_event_loop
async def test_a_sink_with_positions_gets_nothing_twice() -> None:
    service, sink = cache(), MemorySink(keeps_positions=True)
    sink.late_faults.extend([None, Unavailable(), None, Unavailable()])
    async with serving(service) as target:
        await run_task(task_config(target), sink=sink)
    assert sink.offsets[ORDERS] == list(range(20))


@in_event_loop
async def test_a_target_that_lost_what_it_had_gets_it_again() -> None:
    service, sink = cache(), MemorySink(keeps_positions=True)
    source = {"mode": "INCREMENTAL", "start": "earliest"}
    async with serving(service) as target, Task(task_config(target, source=source), sink=sink):
        await eventually(reached(sink, ORDERS, 20))
        sink.positions = at(15)
        sink.faults.append(Unavailable())
        service.logs.append(ORDERS, 20)
        await eventually(reached(sink, ORDERS, 26))
    assert sink.offsets[ORDERS][20:] == list(range(15, 21))


@in_event_loop
async def test_paused_it_writes_nothing_and_goes_on_where_it_was() -> None:
    service, sink = cache(), MemorySink()
    source = {"mode": "INCREMENTAL", "start": "earliest"}
    async with (
        serving(service) as target,
        Task(task_config(target, source=source), sink=sink) as task,
    ):
        await eventually(reached(sink, ORDERS, 20))
        task.pause()
        assert task.status().state == "paused"
        service.logs.append(ORDERS, *range(20, 40))
        await asyncio.sleep(0.05)
        assert len(sink.offsets[ORDERS]) == 20
        task.resume()
        await eventually(reached(sink, ORDERS, 40))
        await task.stop()
        assert task.status().state == "stopped"
    assert sink.offsets[ORDERS] == list(range(40))
    assert stored(service) == {ORDERS: 40}


@in_event_loop
async def test_a_stop_finishes_the_delivery_in_hand() -> None:
    service, sink = cache(3), MemorySink()
    sink.held.clear()
    async with serving(service) as target, Task(task_config(target), sink=sink) as task:
        await eventually(lambda: sink.writing)
        stopping = asyncio.create_task(task.stop())
        await asyncio.sleep(0.02)
        sink.held.set()
        await stopping
    assert sink.offsets[ORDERS]
    assert stored(service) == {ORDERS: len(sink.offsets[ORDERS])}


@in_event_loop
async def test_a_stop_gives_up_a_delivery_that_takes_too_long() -> None:
    service, sink = cache(3), MemorySink()
    sink.held.clear()
    async with (
        serving(service) as target,
        Task(task_config(target, stop_timeout_s=0.05), sink=sink) as task,
    ):
        await eventually(lambda: sink.writing)
        await task.stop()
        assert task.status().state == "stopped"
    assert not sink.offsets[ORDERS]
    assert stored(service) == {ORDERS: 0}


@in_event_loop
async def test_a_stop_ends_a_full_sync_whose_end_cannot_be_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cachesvc.sync.runner.pipeline.STORE_TIMEOUT_S", 0.05)
    service, sink = cache(3), MemorySink()
    sink.held.clear()
    async with serving(service) as target, Task(task_config(target), sink=sink) as task:
        await eventually(lambda: sink.writing)
        service.commits_pass.clear()
        sink.held.set()
        await eventually(reached(sink, ORDERS, 3))
        task.ask_to_stop()
        assert (await task.wait()).state == "stopped"


@in_event_loop
async def test_a_stop_counts_for_a_target_that_goes_back_as_well() -> None:
    service, sink = cache(6), MemorySink(keeps_positions=True)
    async with (
        serving(service) as target,
        Task(
            task_config(target, source={"mode": "INCREMENTAL", "start": "earliest"}), sink=sink
        ) as task,
    ):
        await eventually(reached(sink, ORDERS, 6))
        sink.held.clear()
        service.logs.append(ORDERS, 6)
        await eventually(lambda: sink.writing)
        sink.faults.append(Unavailable())
        sink.positions = at(2)
        requests = len(service.requests)
        task.ask_to_stop()
        sink.held.set()
        assert (await task.wait()).state == "stopped"
    assert len(service.requests) == requests


@in_event_loop
async def test_a_gap_is_told_with_the_setting_that_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service, sink = cache(6), MemorySink()
    gap = pb.Gap(topic="orders", partition=0, begin_offset=6, end_offset=9)
    service.faults.append(Fault(2, StatusCode.DATA_LOSS, "TOPIC_RECREATED", gap))
    async with serving(service) as target:
        with pytest.raises(DataLoss):
            await run_task(task_config(target), sink=sink)
    assert "offsets 6 to 9 (exclusive) of orders/0 cannot be given any more" in caplog.text
    assert 'source.gaps = "go-on" goes on behind them' in caplog.text


@in_event_loop
async def test_what_waits_is_bounded_in_bytes() -> None:
    service, sink = cache(3_000, batch_records_max=20), MemorySink()
    sink.held.clear()
    most = 0
    batch = {"bytes_max": 4_096, "wait_s_max": 1.0}
    async with (
        serving(service) as target,
        Task(task_config(target, batch=batch), sink=sink) as task,
    ):
        await eventually(lambda: sink.writing and task.status().bytes_waiting > 2_000)
        sink.held.set()
        while task.status().state != "done":
            most = max(most, task.status().bytes_waiting)
            await asyncio.sleep(0)
    assert sink.offsets[ORDERS] == list(range(3_000))
    assert most < 2 * 4_096


@in_event_loop
async def test_a_silent_service_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachesvc.sync.task._SILENT_S", 0.02)
    async with Task(task_config("127.0.0.1:1"), sink=MemorySink()) as task:
        await eventually(lambda: task.status().trouble is not None)
        trouble = task.status().trouble
    assert trouble is not None
    assert trouble.reason == "SERVICE_SILENT"
    assert "127.0.0.1:1" in trouble.message


@in_event_loop
async def test_a_stop_ends_a_task_that_waits_for_its_service() -> None:
    async with Task(task_config("127.0.0.1:1"), sink=MemorySink()) as task:
        await asyncio.sleep(0.02)
        await task.stop()
        assert task.status().state == "stopped"


@in_event_loop
async def test_tasks_of_one_process_do_not_share_their_fate() -> None:
    service, good, bad = cache(), MemorySink(), MemorySink()
    bad.faults.append(ZeroDivisionError())
    async with (
        serving(service) as target,
        Task(task_config(target, name="bad"), sink=bad) as failing,
        Task(task_config(target, name="good"), sink=good) as going,
    ):
        with pytest.raises(ZeroDivisionError):
            await failing.wait()
        assert (await going.wait()).state == "done"
    assert good.offsets[ORDERS] == list(range(20))


@in_event_loop
async def test_a_start_of_the_settings_counts_the_first_time_alone() -> None:
    service, sink = cache(), MemorySink()
    start = [{"topic": "orders", "partition": 0, "offset": 7}]
    source = {"mode": "INCREMENTAL", "start": start}
    async with serving(service) as target:
        for count in (13, 14):
            async with Task(task_config(target, source=source), sink=sink):
                await eventually(reached(sink, ORDERS, count))
            service.logs.append(ORDERS, count + 7)
    assert sink.offsets[ORDERS] == list(range(7, 21))


class Doubling:
    """Refuses every fifth record, and writes each other twice."""

    def apply(self, changes: Changes) -> Transformed:
        offsets = changes.rows.column("offset").to_pylist()
        kept = [row for row, offset in enumerate(offsets) for _ in range(2) if offset % 5 != 4]
        refused = [
            RefusedRow(row, "FIFTH", "one in five")
            for row, offset in enumerate(offsets)
            if offset % 5 == 4
        ]
        rows = changes.rows.take(pa.array(kept, pa.int64()))
        return Transformed(changes.with_rows(rows), refused)


@in_event_loop
async def test_a_record_that_a_transform_refuses_ends_the_task_and_is_named() -> None:
    service, sink = cache(), MemorySink()
    async with serving(service) as target:
        with pytest.raises(SyncError, match="orders/0 at offset 4: FIFTH") as caught:
            await run_task(task_config(target), sink=sink, transforms=[Doubling()])
    assert caught.value.metadata["offset"] == "4"
    assert set(sink.offsets[ORDERS]) <= set(range(4))


@in_event_loop
@pytest.mark.parametrize("names", [True, False])
async def test_a_record_that_the_sink_refuses_ends_the_task_and_is_named(names: bool) -> None:
    service, sink = cache(), MemorySink(names_refused=names)
    sink.refuses = {13}
    async with serving(service) as target:
        with pytest.raises(SyncError, match="orders/0 at offset 13: BAD") as caught:
            await run_task(task_config(target, batch={"wait_s_max": 1.0}), sink=sink)
    assert caught.value.reason == "BAD"
    assert sink.offsets[ORDERS] == ([] if names else list(range(13)))
    assert stored(service) == {ORDERS: 0 if names else 13}
