"""Commits: what they cover, and what becomes of them when something is in the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from grpc import StatusCode

from cachesvc.client import (
    Client,
    Mode,
    Position,
    PositionNotDelivered,
    ServiceFault,
    Stream,
    StreamClosed,
    SubscriptionTakenOver,
    TimedOut,
)
from tests.client.fake_log import Key, Logs
from tests.client.fake_server import BEFORE_STARTED, FakeLogCache, Fault, serving
from tests.client.running import QUICK, connected, eventually, in_event_loop

KEY: Key = ("orders", 0)
OFFSETS = [0, 1, 2, 5, 6, 9, 10, 11]


def made_cache() -> FakeLogCache:
    return FakeLogCache(Logs({KEY: OFFSETS}))


def full(client: Client, **settings: float) -> Stream:
    chosen = replace(QUICK, **settings)  # type: ignore[arg-type]
    return client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=chosen)


def endless(client: Client) -> Stream:
    mode = Mode.FULL_AND_INCREMENTAL
    return client.subscribe("billing", topics="orders", mode=mode, settings=QUICK)


@in_event_loop
async def test_a_batch_is_covered_once_it_is_given() -> None:
    cache = made_cache()
    async with connected(cache) as client, full(client) as stream:
        await stream.commit()
        batches = aiter(stream)
        await anext(batches)
        await stream.commit()
        await anext(batches)
        before = stream.position
        await anext(batches)
        await stream.commit(before)
    assert [offsets[KEY] for _, offsets in cache.commits] == [0, 3, 10]


@in_event_loop
async def test_a_record_is_covered_once_the_next_is_asked_for() -> None:
    cache = made_cache()
    async with connected(cache) as client, full(client) as stream:
        records = stream.records()
        covered = []
        async for _ in records:
            covered.append(stream.position[KEY].offset)
            await stream.commit()
        await stream.commit()
    assert covered == OFFSETS, "the position is that of the record in hand"
    assert [offsets[KEY] for _, offsets in cache.commits] == [*OFFSETS, 12]
    assert cache.subscriptions["billing"].full_sync_done


@in_event_loop
async def test_the_record_in_hand_can_be_covered_by_name() -> None:
    cache = made_cache()
    async with connected(cache) as client, full(client) as stream:
        async for record in stream.records():
            await stream.commit(record.position)
            with pytest.raises(PositionNotDelivered):
                await stream.commit(Position("orders", 0, record.offset + 2))
    assert [offsets[KEY] for _, offsets in cache.commits] == [offset + 1 for offset in OFFSETS]


@in_event_loop
async def test_nothing_that_was_not_handed_out_can_be_committed() -> None:
    cache = made_cache()
    async with connected(cache) as client, full(client) as stream:
        await anext(aiter(stream))
        await asyncio.sleep(0.05)
        for beyond in ({KEY: 4}, Position("orders", 0, 12), {("orders", 1): 0}, {("else", 0): 0}):
            with pytest.raises(PositionNotDelivered):
                await stream.commit(beyond)
    assert cache.commits == []


@in_event_loop
async def test_positions_only_go_forward_and_no_call_is_made_twice() -> None:
    cache = made_cache()
    async with connected(cache) as client, full(client) as stream:
        batches = [batch async for batch in stream]
        await stream.commit(batches[1].position)
        await stream.commit(batches[0].position)
        await stream.commit(batches[1].position)
        await asyncio.gather(*(stream.commit() for _ in range(10)))
    assert [offsets[KEY] for _, offsets in cache.commits] == [10, 12]


@in_event_loop
async def test_an_empty_full_sync_can_be_committed_to_its_end() -> None:
    cache = FakeLogCache(Logs({KEY: []}))
    async with connected(cache) as client, full(client) as stream:
        assert [batch async for batch in stream] == []
        await stream.commit()
    assert cache.subscriptions["billing"].full_sync_done


@in_event_loop
async def test_the_next_stream_goes_on_at_the_committed_position() -> None:
    cache = made_cache()
    async with connected(cache) as client:
        async with full(client) as stream:
            batches = aiter(stream)
            await stream.commit((await anext(batches)).position)
            await anext(batches)
        async with full(client) as stream:
            assert [record.offset async for record in stream.records()] == OFFSETS[3:]


@in_event_loop
async def test_a_commit_is_tried_again_while_the_service_gives_no_answer() -> None:
    cache = made_cache()
    cache.commit_faults.extend(
        [
            Fault(code=StatusCode.UNAVAILABLE),
            Fault(code=StatusCode.UNAVAILABLE, reason="SHUTTING_DOWN"),
            Fault(code=StatusCode.INTERNAL),
        ]
    )
    async with connected(cache) as client, full(client) as stream:
        await anext(aiter(stream))
        await stream.commit()
    assert cache.commits == [(1, {KEY: 3})]


@in_event_loop
async def test_a_commit_is_not_tried_again_when_it_is_refused() -> None:
    cache = made_cache()
    cache.commit_faults.append(Fault(code=StatusCode.INTERNAL, reason="STORE_WRITE_FAILED"))
    async with connected(cache) as client, full(client) as stream:
        await anext(aiter(stream))
        with pytest.raises(ServiceFault) as caught:
            await stream.commit()
        assert caught.value.reason == "STORE_WRITE_FAILED"
        await stream.commit()
    assert cache.commits == [(1, {KEY: 3})]


@in_event_loop
async def test_a_commit_waits_a_bounded_time_only() -> None:
    cache = made_cache()
    cache.commit_faults.extend([Fault(code=None), *[Fault()] * 1_000])
    async with connected(cache) as client, full(client, commit_timeout_s=0.2) as stream:
        await anext(aiter(stream))
        for _ in range(2):
            with pytest.raises(TimedOut):
                await stream.commit()
    assert cache.commits == []


@in_event_loop
async def test_a_commit_of_a_stream_that_was_taken_over_is_refused() -> None:
    cache = made_cache()
    async with connected(cache) as client, endless(client) as older:
        await anext(aiter(older))
        async with endless(client) as newer:
            with pytest.raises(SubscriptionTakenOver):
                await older.commit()
            with pytest.raises(SubscriptionTakenOver):
                _ = [batch async for batch in older]
            await anext(aiter(newer))
            await newer.commit()
    assert cache.commits == [(2, {KEY: 3})]


@in_event_loop
async def test_a_commit_after_the_end_of_a_taken_over_stream_is_refused_too() -> None:
    cache = made_cache()
    async with connected(cache) as client, full(client) as older:
        _ = [batch async for batch in older]
        async with full(client):
            with pytest.raises(SubscriptionTakenOver):
                await older.commit()
    assert cache.commits == []


@in_event_loop
async def test_a_commit_that_a_new_connection_overtakes_is_sent_again() -> None:
    cache = made_cache()
    cache.faults.append(Fault(2))
    cache.commits_pass.clear()
    async with connected(cache) as client, full(client) as stream:
        batches = aiter(stream)
        committing = asyncio.ensure_future(stream.commit((await anext(batches)).position))
        _ = [batch async for batch in batches]
        assert stream.started.epoch == 2
        cache.commits_pass.set()
        await committing
    assert cache.commits == [(2, {KEY: 3})]


@in_event_loop
async def test_a_commit_waits_for_an_epoch_that_is_known() -> None:
    cache = made_cache()
    answers = asyncio.Event()
    cache.faults.extend([Fault(2), Fault(BEFORE_STARTED, until=answers)])
    cache.commits_pass.clear()
    async with connected(cache) as client, full(client) as stream:
        committing = asyncio.ensure_future(stream.commit((await anext(aiter(stream))).position))
        await eventually(lambda: len(cache.requests) == 2)
        assert cache.subscriptions["billing"].epoch == 2
        assert stream.started.epoch == 1
        cache.commits_pass.set()
        await asyncio.sleep(0.05)
        assert not committing.done()
        answers.set()
        await committing
    assert cache.commits == [(3, {KEY: 3})]


@in_event_loop
async def test_a_closed_client_ends_a_commit() -> None:
    cache = made_cache()
    cache.commits_pass.clear()
    async with serving(cache) as target:
        async with Client(target) as client:
            stream = full(client)
            await stream.__aenter__()
            committing = asyncio.ensure_future(stream.commit())
            await asyncio.sleep(0.05)
        with pytest.raises(StreamClosed):
            await committing
        await stream.__aexit__(None, None, None)
        cache.commits_pass.set()
