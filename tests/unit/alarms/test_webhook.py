"""Delivery to a webhook that fails, hangs, goes away and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cachesvc.alarms.webhook import Webhook, retry_delay_s
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.alarms import AlarmKey, AlarmKind
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.watching_port import AlarmRecord
from tests.support.ports import free_ports
from tests.support.webhook import WebhookServer
from tests.unit.log.running import until

TIMEOUT_S = 1.5
# Where nothing hangs: what is slow for another reason would be posted again.
PATIENT_S = 30.0


def alarm(number: int, cleared_ms: int | None = None) -> AlarmRecord:
    key = AlarmKey(AlarmKind.PARTITION_BLOCKED, "main", "orders", 0)
    return AlarmRecord(number, key, "“no object”", 100, cleared_ms)


@asynccontextmanager
async def delivering(
    url: str, *alarms: AlarmRecord, token: str = "", timeout_s: float = TIMEOUT_S
) -> AsyncIterator[tuple[CatalogueThread, Webhook]]:
    catalogue = CatalogueThread(MemoryCatalogue)
    webhook = Webhook(catalogue, url, token, timeout_s, chance=lambda: 0.0)
    await catalogue.call(lambda port: port.alarms.put(alarms, notify=True))
    running = asyncio.ensure_future(webhook.run())
    try:
        yield catalogue, webhook
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        catalogue.close()


async def waiting(catalogue: CatalogueThread) -> int:
    return await catalogue.call(lambda port: port.alarms.count_notices())


def test_posts_in_order() -> None:
    async def body() -> None:
        with WebhookServer() as server:
            alarms = [alarm(1), alarm(2), alarm(1, 200)]
            notices = delivering(server.url, *alarms, token="s3cret", timeout_s=PATIENT_S)
            async with notices as (catalogue, webhook):
                await asyncio.to_thread(server.wait_for, 3)
                await catalogue.call(lambda port: port.alarms.put([alarm(3)], notify=True))
                webhook.wake()
                await asyncio.to_thread(server.wait_for, 4)
            assert [post["notice"] for post in server.taken] == [
                "1-raised",
                "2-raised",
                "1-cleared",
                "3-raised",
            ]
            assert set(server.tokens) == {"Bearer s3cret"}
            assert server.taken[2] == {
                "notice": "1-cleared",
                "event": "cleared",
                "alarm": 1,
                "kind": "PARTITION_BLOCKED",
                "connection": "main",
                "topic": "orders",
                "partition": 0,
                "subscription": None,
                "message": "“no object”",
                "raised_ms": 100,
                "cleared_ms": 200,
            }

    asyncio.run(body())


@pytest.mark.parametrize("status", [302, 400, 404, 500, 503])
def test_what_it_refuses_is_posted_again(status: int) -> None:
    async def body() -> None:
        with WebhookServer() as server:
            server.status = status
            notices = delivering(server.url, alarm(1), alarm(2), timeout_s=PATIENT_S)
            async with notices as (catalogue, _):
                await asyncio.to_thread(server.wait_for, 2, taken=False)
                assert await waiting(catalogue) == 2
                server.status = 204
                await asyncio.to_thread(server.wait_for, 2)
            # Nothing overtakes what was refused.
            assert {post["notice"] for post in server.posts[:-1]} == {"1-raised"}
            assert server.posts[-1]["notice"] == "2-raised"
            assert server.tokens[0] is None

    asyncio.run(body())


def test_what_it_does_not_answer_is_posted_again() -> None:
    async def body() -> None:
        with WebhookServer() as server:
            server.hang()
            async with delivering(server.url, alarm(1)) as (catalogue, _):
                await asyncio.to_thread(server.wait_for, 2, taken=False)
                assert await waiting(catalogue) == 1
                server.go_on()
                await asyncio.to_thread(server.wait_for, 1)
                await until(lambda: catalogue._catalogue.alarms.first_notice() is None)

    asyncio.run(body())


def test_one_that_is_away_is_found_when_it_is_back() -> None:
    async def body() -> None:
        (port,) = free_ports(1)
        async with delivering(f"http://127.0.0.1:{port}/x", alarm(1)):
            await asyncio.sleep(0)
            with WebhookServer(port) as server:
                await asyncio.to_thread(server.wait_for, 1)

    asyncio.run(body())


def test_an_end_does_not_wait_for_one_that_hangs() -> None:
    async def body() -> None:
        with WebhookServer() as server:
            server.hang()
            async with asyncio.timeout(None) as bound:
                async with delivering(server.url, alarm(1), timeout_s=600):
                    await asyncio.to_thread(server.wait_for, 1, taken=False)
                    bound.reschedule(asyncio.get_running_loop().time() + PATIENT_S)
            assert not server.taken

    asyncio.run(body())


def test_delays_double_up_to_a_minute() -> None:
    assert [retry_delay_s(failures, 1.0) for failures in (1, 2, 3, 7, 8, 100)] == [
        0.5,
        1.0,
        2.0,
        32.0,
        60.0,
        60.0,
    ]
    assert retry_delay_s(8, 0.0) == 30.0
