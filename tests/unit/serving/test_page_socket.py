"""The socket of the pages in the browser: rights are those of the token, and never more."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cachesvc.model import PartitionId
from cachesvc.serving.local_socket import PAGES, socket_path
from cachesvc.v1.access_pb2 import GetCallerRequest
from cachesvc.v1.admin_pb2 import ListJobsRequest, ListRejectsRequest, ListTopicsRequest
from cachesvc.v1.audit_pb2 import ListAuditRequest
from cachesvc.v1.log_cache_pb2 import DeleteSubscriptionRequest, ListSubscriptionsRequest
from cachesvc.v1.watching_pb2 import GetOverviewRequest
from cachesvc.web.calls import CallFailed, Calls, On
from tests.unit.serving.guarded import RECORDS
from tests.unit.serving.test_real_tokens import tokens

FROM = "10.1.2.3"


async def refusal(calls: Calls, request: Any, token: str | None) -> str:
    with pytest.raises(CallFailed) as caught:
        await calls.ask(request, On(token, FROM))
    return caught.value.reason


def test_a_page_may_what_its_token_may(tmp_path: Path) -> None:
    async def run() -> None:
        async with tokens(tmp_path) as (service, texts):
            at = {PartitionId("main", "orders", 1, 0): 5}
            await service.parts.subscribed.subscriptions.reset(
                "billing-1", at, forget_full_sync=False
            )
            calls = Calls(socket_path(service.parts.store.path, PAGES))
            try:
                await _look_around(calls, texts)
            finally:
                await asyncio.to_thread(calls.close)

    asyncio.run(run())


async def _look_around(calls: Calls, texts: dict[str, str]) -> None:
    ann, root = On(texts["ann"], FROM), On(texts["root"], FROM)
    for nothing in (None, "", "wrong"):
        assert await refusal(calls, GetCallerRequest(), nothing) == "UNAUTHENTICATED"
    assert (await calls.ask(GetCallerRequest(), ann)).principal == "ann"

    listed = await calls.ask(ListTopicsRequest(limit=10), ann)
    assert ([topic.name for topic in listed.topics], listed.total) == (["orders"], 1)
    everything = await calls.ask(ListTopicsRequest(limit=2, skip=1), root)
    assert [topic.name for topic in everything.topics] == ["orders.eu", "vault"]
    assert everything.total == 4
    assert await refusal(calls, ListJobsRequest(), texts["ann"]) == "NOT_ALLOWED"
    assert await refusal(calls, GetOverviewRequest(), texts["ann"]) == "NOT_ALLOWED"

    unknown = DeleteSubscriptionRequest(subscription="nobody")
    assert await refusal(calls, unknown, texts["root"]) == "UNKNOWN_SUBSCRIPTION"
    trail = (await calls.ask(ListAuditRequest(), root)).entries
    (entry,) = [each for each in trail if each.call.endswith("DeleteSubscription")]
    assert (entry.principal, entry.address) == ("root", f"page:{FROM}")

    for topic, names in (("orders", ["billing-1"]), ("vault", [])):
        found = await calls.ask(ListSubscriptionsRequest(topic=topic), root)
        assert [each.name for each in found.subscriptions] == names
    named = ListSubscriptionsRequest(topic="vault")
    assert await refusal(calls, named, texts["ann"]) == "NOT_ALLOWED"

    assert await calls.gather(ListRejectsRequest(connection="main"), root) == []
    overview = await calls.ask(GetOverviewRequest(), root)
    assert [row.connection for row in overview.connections] == ["main", "spare"]
    assert (overview.subscriptions, overview.streams) == (3, 0)
    behind = [(row.subscription, row.lag_records) for row in overview.furthest_behind]
    assert behind == [("billing-1", RECORDS - 5), ("spare-1", 0), ("payroll-1", 0)]
    assert 0 < overview.disk_free_bytes <= overview.disk_bytes
    assert (await calls.ask(GetOverviewRequest(), root)).at_ms == overview.at_ms, "not so soon"


def test_nobody_answers_where_there_is_no_service(tmp_path: Path) -> None:
    async def run() -> None:
        calls = Calls(tmp_path / "none.sock")
        try:
            with pytest.raises(CallFailed) as caught:
                await calls.ask(GetCallerRequest(), On(None, FROM), 2.0)
            assert caught.value.reason in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
            assert "try again" in caught.value.message
        finally:
            await asyncio.to_thread(calls.close)

    asyncio.run(run())
