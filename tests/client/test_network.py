"""Services that come and go, and connections that are cut."""

from __future__ import annotations

import asyncio

import pytest

from cachesvc.client import (
    Client,
    Mode,
    SubscriptionDeleted,
    SubscriptionTakenOver,
)
from tests.client.fake_log import Key, Logs
from tests.client.fake_server import FakeLogCache, serving
from tests.client.fake_session import Subscribed
from tests.client.running import QUICK, in_event_loop
from tests.support.ports import free_ports
from tests.support.tcp_proxy import TcpProxy

KEY: Key = ("orders", 0)
OFFSETS = list(range(0, 60, 2))


@in_event_loop
async def test_entering_waits_for_the_service() -> None:
    cache = FakeLogCache(Logs({KEY: OFFSETS}))
    (port,) = free_ports(1)
    async with Client(f"127.0.0.1:{port}") as client:
        stream = client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK)
        entering = asyncio.ensure_future(stream.__aenter__())
        await asyncio.sleep(0.1)
        assert not entering.done()
        async with serving(cache, port):
            await entering
            assert [record.offset async for record in stream.records()] == OFFSETS
            await stream.__aexit__(None, None, None)


@in_event_loop
async def test_entering_can_be_cancelled() -> None:
    (port,) = free_ports(1)
    async with Client(f"127.0.0.1:{port}") as client:
        stream = client.subscribe("billing", topics="orders", mode=Mode.FULL, settings=QUICK)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), stream:
                pytest.fail("entered")
        assert "cachesvc-feed" not in {task.get_name() for task in asyncio.all_tasks()}


@in_event_loop
async def test_a_service_that_starts_again_is_found_again() -> None:
    logs = Logs({KEY: [0, 1]})
    cache = FakeLogCache(logs)
    (port,) = free_ports(1)
    async with Client(f"127.0.0.1:{port}") as client:
        stream = client.subscribe("billing", topics="orders", mode=Mode.INCREMENTAL, settings=QUICK)
        records = stream.records()
        async with serving(cache, port):
            await stream.__aenter__()
            logs.append(KEY, 2)
            assert (await anext(records)).offset == 2
            logs.append(KEY, 3)
            assert (await anext(records)).offset == 3
        committing = asyncio.ensure_future(stream.commit())
        waiting = asyncio.ensure_future(anext(records))
        await asyncio.sleep(0.2)
        assert not committing.done()
        async with serving(cache, port):
            await committing
            logs.append(KEY, 4)
            assert (await waiting).offset == 4
            await stream.commit()
            await stream.__aexit__(None, None, None)
    assert [offsets[KEY] for _, offsets in cache.commits] == [3, 4]


@in_event_loop
async def test_cut_connections_cost_nothing() -> None:
    logs = Logs({KEY: range(500)})
    cache = FakeLogCache(logs, batch_records_max=10)
    async with serving(cache) as target:
        with TcpProxy(int(target.rpartition(":")[2])) as proxy:
            async with (
                Client(f"127.0.0.1:{proxy.port}") as client,
                client.subscribe(
                    "billing", topics="orders", mode=Mode.FULL_AND_INCREMENTAL, settings=QUICK
                ) as stream,
            ):
                seen = []
                async for record in stream.records():
                    seen.append(record.offset)
                    if len(seen) == 3_000:
                        break
                    if len(seen) % 500 == 250:
                        await asyncio.to_thread(proxy.drop_connections)
                        await stream.commit()
                        # While there is more to come, a stream cannot do without a connection.
                        logs.append(KEY, *range(len(seen) + 250, len(seen) + 750))
    assert seen == list(range(3_000))
    assert len(cache.requests) > 1
    assert [each[KEY] for _, each in cache.commits] == [249, 749, 1249, 1749, 2249, 2749]


@pytest.mark.parametrize(
    ("deed", "kind"),
    [("take over", SubscriptionTakenOver), ("delete", SubscriptionDeleted)],
)
@in_event_loop
async def test_a_place_that_was_lost_in_the_meantime_is_not_taken_back(
    deed: str, kind: type[Exception]
) -> None:
    cache = FakeLogCache(Logs({KEY: [0, 1]}))
    async with serving(cache) as target:
        with TcpProxy(int(target.rpartition(":")[2])) as proxy:
            async with (
                Client(f"127.0.0.1:{proxy.port}") as client,
                client.subscribe(
                    "billing", topics="orders", mode=Mode.INCREMENTAL, settings=QUICK
                ) as stream,
            ):
                await asyncio.to_thread(proxy.cut)
                if deed == "delete":
                    del cache.subscriptions["billing"]
                else:
                    cache.subscriptions["billing"] = Subscribed(epoch=2)
                await asyncio.to_thread(proxy.restore)
                with pytest.raises(kind):
                    await anext(aiter(stream))
                with pytest.raises(kind):
                    await stream.commit()
    assert len(cache.requests) == 1
