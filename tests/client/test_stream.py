"""Streams while the connection holds."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from grpc import StatusCode

from cachesvc.client import (
    ArrowCompression,
    AtTimestamp,
    Batch,
    Bootstrap,
    CaughtUp,
    Client,
    DamagedBatch,
    Earliest,
    Encoding,
    Ended,
    GapPolicy,
    Latest,
    Mode,
    NotFound,
    PartitionAdded,
    Position,
    Positions,
    Progress,
    Projection,
    Start,
    Started,
    StreamBusy,
    StreamClosed,
)
from cachesvc.client.feed import Feed
from cachesvc.v1 import filters_pb2
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client import fake_log
from tests.client.fake_log import Key, Logs
from tests.client.fake_server import BEFORE_STARTED, FakeLogCache, Fault, serving
from tests.client.running import connected, in_event_loop

ONE: dict[Key, list[int]] = {("orders", 0): [0, 1, 2, 5, 6, 9, 10, 11]}
TWO: dict[Key, list[int]] = {("orders", 0): list(range(8)), ("orders", 1): list(range(10, 15))}


@in_event_loop
async def test_batches_come_in_order_until_a_full_stream_is_complete() -> None:
    cache = FakeLogCache(Logs(TWO))
    async with connected(cache) as client:
        seen: dict[int, list[int]] = {0: [], 1: []}
        async with client.subscribe("billing", topics="orders", mode=Mode.FULL) as stream:
            async for batch in stream:
                assert len(batch) <= 3
                seen[batch.partition] += [record.offset for record in batch]
                await stream.commit(batch.position)
    assert seen == {0: TWO["orders", 0], 1: TWO["orders", 1]}
    assert cache.subscriptions["billing"].positions == {("orders", 0): 8, ("orders", 1): 15}
    assert cache.subscriptions["billing"].full_sync_done


@pytest.mark.parametrize("encoding", Encoding)
@in_event_loop
async def test_records_come_one_by_one(encoding: Encoding) -> None:
    async with connected(FakeLogCache(Logs(ONE))) as client:
        stream = client.subscribe("billing", topics=["orders"], mode=Mode.FULL, encoding=encoding)
        async with stream:
            records = [record async for record in stream.records()]
    assert [record.offset for record in records] == ONE["orders", 0]
    assert [record.value for record in records] == [
        fake_log.value(("orders", 0), offset) for offset in ONE["orders", 0]
    ]


@in_event_loop
async def test_events_tell_everything() -> None:
    logs = Logs({("orders", 0): [0, 1]})
    async with connected(FakeLogCache(logs)) as client:
        async with client.subscribe("all", topics="orders", mode=Mode.FULL_AND_INCREMENTAL) as live:
            events = live.events()
            assert await anext(events) == live.started
            assert live.started == Started(
                1, Positions([Position("orders", 0, 0, 1)]), Positions(), "fake"
            )
            assert isinstance(await anext(events), Batch)
            assert await anext(events) == CaughtUp("orders")
            progress = await anext(events)
            assert isinstance(progress, Progress)
            assert progress.partitions[0].position == Position("orders", 0, 2, 1)
            logs.append(("orders", 1), 0)
            assert await anext(events) == PartitionAdded(Position("orders", 1, 0, 1))
            assert isinstance(await anext(events), Batch)
        async with client.subscribe("full", topics="orders", mode=Mode.FULL) as stream:
            last = [event async for event in stream.events()][-1]
    assert last == Ended(Positions([Position("orders", 0, 2, 1), Position("orders", 1, 1, 1)]))


@in_event_loop
async def test_what_is_appended_later_comes_too() -> None:
    logs = Logs({("orders", 0): [0]})
    async with (
        connected(FakeLogCache(logs)) as client,
        client.subscribe("billing", topics="orders", mode=Mode.INCREMENTAL) as stream,
    ):
        records = stream.records()
        for offset in (1, 2, 3):
            logs.append(("orders", 0), offset)
            assert (await anext(records)).offset == offset


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (None, 0),
        (Earliest(), 0),
        (AtTimestamp(fake_log.FIRST_TIMESTAMP_MS + 3), 5),
        (Position("orders", 0, 6), 6),
        ({("orders", 0): 9}, 9),
        ([Position("orders", 0, 10, 1)], 10),
    ],
)
@in_event_loop
async def test_where_to_start(start: Start | None, first: int) -> None:
    async with connected(FakeLogCache(Logs(ONE))) as client:
        stream = client.subscribe("billing", topics="orders", mode=Mode.FULL, start=start)
        async with stream:
            assert stream.position["orders", 0].offset == first
            offsets = [record.offset async for record in stream.records()]
    assert offsets == [offset for offset in ONE["orders", 0] if offset >= first]


@in_event_loop
async def test_start_at_latest_and_end_at_positions() -> None:
    async with connected(FakeLogCache(Logs(ONE))) as client:
        subscribe = client.subscribe
        async with subscribe("a", topics="orders", mode=Mode.FULL, start=Latest()) as stream:
            assert [batch async for batch in stream] == []
            assert stream.position["orders", 0].offset == 12
        end = {("orders", 0): 6}
        async with subscribe(
            "b", topics="orders", mode=Mode.FULL_AND_INCREMENTAL, end=end
        ) as stream:
            assert [record.offset async for record in stream.records()] == [0, 1, 2, 5]
            assert stream.started.end == Positions([Position("orders", 0, 6, 1)])


@in_event_loop
async def test_everything_asked_for_is_in_the_request() -> None:
    cache = FakeLogCache(Logs(ONE))
    async with (
        connected(cache) as client,
        client.subscribe(
            "billing",
            mode=Mode.INCREMENTAL,
            topic_expression="ord.*",
            connection="main",
            encoding=Encoding.RECORDS,
            arrow_compression=ArrowCompression.ZSTD,
            batch_bytes_max=65_536,
            gap_policy=GapPolicy.GO_ON,
            bootstrap=Bootstrap.SNAPSHOT,
            filter="exists(key)",
            projection=Projection(without_headers=True, fields=["after.id"]),
        ),
    ):
        pass
    assert cache.requests == [
        pb.SubscribeRequest(
            subscription="billing",
            connection="main",
            topic_expression="ord.*",
            mode=pb.INCREMENTAL,
            encoding=pb.RECORDS,
            arrow_compression=pb.ARROW_COMPRESSION_ZSTD,
            batch_bytes_max=65_536,
            gap_policy=pb.GO_ON_BEHIND_GAP,
            bootstrap=pb.SNAPSHOT,
            joins_batches=True,
            filter_text="exists(key)",
            projection=filters_pb2.Projection(without_headers=True, fields=["after.id"]),
        )
    ]


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ({}, 4 << 20),
        ({"batch_bytes_max": 2 << 20}, 2 << 20),
        ({"batch_bytes_max": 1 << 19}, 0),
        ({"arrow_compression": ArrowCompression.ZSTD}, 0),
        ({"encoding": Encoding.RECORDS}, 0),
    ],
)
@in_event_loop
async def test_row_groups_are_taken_as_they_lie_unless_something_else_is_asked_for(
    asked: dict[str, Any], taken: int
) -> None:
    cache = FakeLogCache(Logs(ONE))
    async with (
        connected(cache) as client,
        client.subscribe("billing", mode=Mode.INCREMENTAL, topics="orders", **asked),
    ):
        pass
    (request,) = cache.requests
    assert request.parquet_bytes_max == taken


@in_event_loop
async def test_a_filter_may_be_a_message() -> None:
    cache = FakeLogCache(Logs(ONE))
    wanted = filters_pb2.Filter(key=filters_pb2.BytesTest(prefix=b"a"))
    async with (
        connected(cache) as client,
        client.subscribe("billing", mode=Mode.INCREMENTAL, topics="orders", filter=wanted),
    ):
        pass
    (request,) = cache.requests
    assert (request.filter, request.filter_text) == (wanted, "")
    assert not request.HasField("projection")


@in_event_loop
async def test_what_the_service_refuses_is_raised_on_entering() -> None:
    cache = FakeLogCache(Logs(ONE))
    cache.faults.append(Fault(BEFORE_STARTED, StatusCode.NOT_FOUND, "UNKNOWN_TOPIC"))
    async with connected(cache) as client:
        with pytest.raises(NotFound) as caught:
            async with client.subscribe("billing", topics="nope", mode=Mode.FULL):
                pytest.fail("entered")
    assert caught.value.reason == "UNKNOWN_TOPIC"


@in_event_loop
async def test_the_ways_to_read_can_be_mixed() -> None:
    async with (
        connected(FakeLogCache(Logs(ONE))) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL) as stream,
    ):
        seen = []
        async for record in stream.records():
            seen.append(record.offset)
            if len(seen) == 2:
                break
        seen.append((await anext(stream.records())).offset)
        assert seen == [0, 1, 2]
        seen.append((await anext(stream.records())).offset)
        batch = await anext(aiter(stream))
        assert [record.offset for record in batch] == [6, 9]
        assert [record.offset async for record in stream.records()] == [10, 11]


@in_event_loop
async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    logs = Logs({("orders", 0): []})
    cache = FakeLogCache(logs)
    async with connected(cache) as client:
        async with client.subscribe("billing", topics="orders", mode=Mode.FULL, end={}) as stream:
            assert [batch async for batch in stream] == []
        async with client.subscribe("billing", topics="orders", mode=Mode.INCREMENTAL) as stream:
            seen = []
            for offset in range(20):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await anext(aiter(stream))
                logs.append(("orders", 0), offset)
                seen += [record.offset for record in await anext(aiter(stream))]
    assert seen == list(range(20))
    assert len(cache.requests) == 2


@in_event_loop
async def test_one_task_reads_at_a_time() -> None:
    async with connected(FakeLogCache(Logs({("orders", 0): []}))) as client:
        async with client.subscribe("billing", topics="orders", mode=Mode.INCREMENTAL) as stream:
            waiting = asyncio.ensure_future(anext(aiter(stream)))
            await asyncio.sleep(0)
            with pytest.raises(StreamBusy):
                await anext(aiter(stream))
        with pytest.raises(StreamClosed, match="the stream was closed"):
            await waiting


@in_event_loop
async def test_a_stream_works_only_inside_its_async_with() -> None:
    async with connected(FakeLogCache(Logs(ONE))) as client:
        stream = client.subscribe("billing", topics="orders", mode=Mode.FULL)
        with pytest.raises(StreamClosed):
            await anext(aiter(stream))
        with pytest.raises(StreamClosed):
            _ = stream.started
        async with stream:
            batch = await anext(aiter(stream))
        with pytest.raises(StreamClosed):
            await anext(aiter(stream))
        with pytest.raises(StreamClosed):
            await stream.commit(batch.position)
        with pytest.raises(StreamClosed, match="entered once"):
            await stream.__aenter__()


@in_event_loop
async def test_a_closed_client_ends_its_streams() -> None:
    async with serving(FakeLogCache(Logs({("orders", 0): []}))) as target:
        async with Client(target) as client:
            stream = client.subscribe("billing", topics="orders", mode=Mode.INCREMENTAL)
            await stream.__aenter__()
        with pytest.raises(StreamClosed, match="client was closed"):
            await anext(aiter(stream))
        await stream.__aexit__(None, None, None)


@in_event_loop
async def test_a_closed_stream_leaves_nothing_to_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        async with connected(FakeLogCache(Logs(ONE))) as client:
            async with client.subscribe("billing", topics="orders", mode=Mode.FULL) as stream:
                await anext(aiter(stream))
            assert any(isinstance(each, Feed) for each in gc.get_objects())
            del stream
            assert not any(isinstance(each, Feed) for each in gc.get_objects())
    finally:
        gc.enable()


@in_event_loop
async def test_an_error_of_the_caller_passes_through_as_it_is() -> None:
    async def reads(client: Client) -> None:
        async with client.subscribe("billing", topics="orders", mode=Mode.FULL) as stream:
            async for batch in stream:
                batch.record_count // 0

    async with connected(FakeLogCache(Logs(ONE))) as client:
        with pytest.raises(ZeroDivisionError):
            await reads(client)


@in_event_loop
async def test_a_damaged_batch_is_never_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fake_log.arrow_ipc
    monkeypatch.setattr(fake_log, "arrow_ipc", lambda records: whole(records)[:-400])
    async with (
        connected(FakeLogCache(Logs(ONE))) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL) as stream,
    ):
        start = stream.position
        for _ in range(3):
            with pytest.raises(DamagedBatch):
                _ = [record async for record in stream.records()]
            assert stream.position["orders", 0].offset < 3
        with pytest.raises(DamagedBatch):
            await anext(aiter(stream))
        assert start["orders", 0].offset == 0


@in_event_loop
async def test_a_stream_that_is_not_read_holds_a_bounded_number_of_batches() -> None:
    logs = Logs({("orders", 0): list(range(400))})
    cache = FakeLogCache(logs, batch_records_max=1)
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL) as stream,
    ):
        await asyncio.sleep(0.2)
        assert stream._feed._events.qsize() <= 2
        assert stream._ledger.received["orders", 0].offset <= 3
        assert [record.offset async for record in stream.records()] == list(range(400))
