"""Streams that lose their connection."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grpc import StatusCode

from cachesvc.client import (
    AccessDenied,
    DataLoss,
    Gap,
    GapCause,
    Mode,
    Position,
    Positions,
    PreconditionFailed,
    Started,
    SubscriptionDeleted,
    SubscriptionReset,
    SubscriptionTakenOver,
    Superseded,
)
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.fake_log import Key, Logs
from tests.client.fake_server import (
    BEFORE_STARTED,
    FakeLogCache,
    Fault,
)
from tests.client.running import QUICK, connected, eventually, in_event_loop

KEY: Key = ("orders", 0)
OFFSETS = list(range(0, 60, 2))

retriable = pytest.mark.parametrize(
    "fault",
    [
        Fault(2, StatusCode.UNAVAILABLE),
        Fault(2, StatusCode.UNAVAILABLE, "SHUTTING_DOWN"),
        Fault(2, StatusCode.UNAVAILABLE, "SOURCE_UNREACHABLE"),
        Fault(2, StatusCode.CANCELLED),
        Fault(2, StatusCode.UNKNOWN),
        Fault(2, StatusCode.INTERNAL),
        Fault(2, StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_SUBSCRIBERS"),
        Fault(2, StatusCode.OK),
        Fault(0, StatusCode.UNAVAILABLE),
        Fault(BEFORE_STARTED, StatusCode.UNAVAILABLE),
    ],
    ids=lambda fault: f"{fault.reason or fault.code.name}-after-{fault.after_batches}",
)


@retriable
@in_event_loop
async def test_a_lost_connection_is_made_again(fault: Fault) -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    cache.faults.extend([fault, fault, fault])
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK) as stream,
    ):
        seen = [record.offset async for record in stream.records()]
        await stream.commit()
    assert seen == OFFSETS
    assert len(cache.requests) == 4
    assert cache.commits == [(4, {KEY: 59})]


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (StatusCode.ABORTED, "SUBSCRIPTION_TAKEN_OVER", SubscriptionTakenOver),
        (StatusCode.ABORTED, "SUBSCRIPTION_RESET", SubscriptionReset),
        (StatusCode.ABORTED, "SUBSCRIPTION_DELETED", SubscriptionDeleted),
        (StatusCode.FAILED_PRECONDITION, "TOPIC_STOPPED", PreconditionFailed),
        (StatusCode.PERMISSION_DENIED, "TOPIC_FORBIDDEN", AccessDenied),
    ],
)
@in_event_loop
async def test_what_is_final_is_raised(
    code: StatusCode, reason: str, kind: type[Exception]
) -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    cache.faults.append(Fault(1, code, reason))
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK) as stream,
    ):
        for _ in range(2):
            with pytest.raises(kind):
                _ = [batch async for batch in stream]
        if issubclass(kind, Superseded):
            with pytest.raises(kind):
                await stream.commit()
        else:
            await stream.commit()
    assert len(cache.requests) == 1


@in_event_loop
async def test_lost_data_is_named() -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    message = pb.Gap(
        topic="orders", incarnation=1, begin_offset=6, end_offset=9, cause=pb.CACHE_RETENTION
    )
    cache.faults.append(Fault(1, StatusCode.DATA_LOSS, "CACHE_RETENTION", message))
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK) as stream,
    ):
        batch = await anext(aiter(stream))
        with pytest.raises(DataLoss) as caught:
            await anext(aiter(stream))
        await stream.commit()
    assert caught.value.gaps == (Gap("orders", 0, 1, 6, 9, GapCause.CACHE_RETENTION),)
    assert caught.value.reason == "CACHE_RETENTION"
    assert cache.commits == [(1, {KEY: batch.next_position})]


@in_event_loop
async def test_going_on_means_the_received_position_and_the_first_end() -> None:
    logs = Logs({KEY: OFFSETS[:6], ("orders", 1): []})
    cache = FakeLogCache(logs)
    cache.faults.append(Fault(1))
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK) as stream,
    ):
        logs.append(KEY, 100)
        events = [event async for event in stream.events()]
    first, second = (event for event in events if isinstance(event, Started))
    assert (first.epoch, first.resumed) == (1, False)
    assert (second.epoch, second.resumed) == (2, True)
    assert second.positions == Positions([Position("orders", 0, 5, 1), Position("orders", 1, 0, 1)])
    assert first.end == second.end == stream.started.end
    assert stream.position[KEY].offset == 11


@in_event_loop
async def test_what_is_buffered_is_not_asked_for_again() -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    cache.faults.append(Fault(1))
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK) as stream,
    ):
        await eventually(lambda: len(cache.requests) == 2)
        assert stream.position[KEY].offset == 0
        (resumed,) = cache.requests[1].start.positions.positions
        assert resumed.offset == 5
        assert [record.offset async for record in stream.records()] == OFFSETS


@in_event_loop
async def test_partitions_that_joined_later_stay() -> None:
    logs = Logs({KEY: [0]})
    cache = FakeLogCache(logs)
    cache.faults.append(Fault(3))
    async with (
        connected(cache) as client,
        client.subscribe(
            "billing", topics="orders", mode=Mode.INCREMENTAL, settings=QUICK
        ) as stream,
    ):
        records = stream.records()
        seen = []
        for key, offset in ((KEY, 1), (("orders", 1), 0), (("orders", 1), 1), (("orders", 1), 2)):
            logs.append(key, offset)
            seen.append((await anext(records)).position)
        positions = {(each.topic, each.partition): each.offset for each in seen}
        assert positions == {KEY: 2, ("orders", 1): 3}
        assert len(seen) == 4
        resumed = cache.requests[1].start.positions.positions
        assert {each.partition for each in resumed} == {0, 1}
        logs.append(("orders", 1), 3)
        assert (await anext(records)).offset == 3


@in_event_loop
async def test_a_service_that_sends_again_what_it_sent_is_no_matter() -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}), rewind=7)
    cache.faults.extend(Fault(count) for count in (2, 4, 3, 5, 4))
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK) as stream,
    ):
        assert [record.offset async for record in stream.records()] == OFFSETS


@in_event_loop
async def test_a_stream_that_was_taken_over_gives_nothing_more() -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS[:6]}))
    settings = replace(QUICK, batches_buffered_max=10)
    mode = Mode.FULL_AND_INCREMENTAL
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=mode, settings=settings) as older,
        client.subscribe("billing", topics="orders", mode=mode, settings=settings) as newer,
    ):
        await anext(aiter(newer))
        await eventually(lambda: older._feed._failure is not None)
        assert not older._feed._events.empty()
        with pytest.raises(SubscriptionTakenOver):
            await anext(aiter(older))


@in_event_loop
async def test_an_own_attempt_without_an_answer_is_no_other_subscriber() -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    cache.faults.extend([Fault(1), *[Fault(BEFORE_STARTED)] * 3])
    async with (
        connected(cache) as client,
        client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK) as stream,
    ):
        assert [record.offset async for record in stream.records()] == OFFSETS
        assert stream.started.epoch == 5
