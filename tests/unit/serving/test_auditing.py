"""Calls of the real services' descriptors, and what they leave in the trail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest

from cachesvc.audit.trail import AuditTrail
from cachesvc.errors import NotFound
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import Mode
from cachesvc.policy.callers import Caller, Proof
from cachesvc.serving import auditing
from cachesvc.serving.admin.audit import AuditAdmin
from cachesvc.serving.auditing import AuditedOpening, Auditing, shown
from cachesvc.serving.calling import set_caller
from cachesvc.serving.handlers import public_handler
from cachesvc.serving.server import ADMIN, LOG_CACHE
from cachesvc.serving.status import errors_as_status
from cachesvc.serving.wrapping import wrapped
from cachesvc.store.audit_port import AuditFilter
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.subscriptions.subscriptions import Opened
from cachesvc.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    alarms_pb2,
    audit_pb2,
    connections_pb2,
    log_cache_pb2,
)
from tests.unit.log.running import until

OPS = Caller("ops", (), Proof.TOKEN, "t-7", "")


class Operating(admin_pb2_grpc.AdminServicer):
    """Answers some calls of Admin."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()

    async def PauseJob(self, request: Any, context: Any) -> Any:  # noqa: N802
        async with errors_as_status(context):
            if request.name == "nothing":
                raise NotFound("no such job", reason="UNKNOWN_JOB")
            if request.name == "wait":
                self.waits.set()
                await asyncio.Event().wait()
            if request.name == "break":
                raise ValueError("nobody foresaw this")
        return admin_pb2.PauseJobResponse()

    async def RunJob(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        yield admin_pb2.RunJobResponse()
        yield admin_pb2.RunJobResponse()

    async def ListAlarms(self, request: Any, context: Any) -> Any:  # noqa: N802
        return alarms_pb2.ListAlarmsResponse()


class Knowing(grpc.aio.ServerInterceptor):
    """Says who calls."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        return wrapped(await continuation(handler_call_details), self._known)

    @asynccontextmanager
    async def _known(self, _: Any, context: Any) -> AsyncIterator[Any]:
        set_caller(OPS)
        yield context


class _Trail:
    """A server with a trail, and a channel to it."""

    def __init__(self) -> None:
        self.catalogue = CatalogueThread(MemoryCatalogue)
        self.operating = Operating()

    async def __aenter__(self) -> _Trail:
        trail = AuditTrail(self.catalogue, None)
        self._run = asyncio.ensure_future(trail.run())
        self._server = grpc.aio.server(interceptors=[Knowing(), Auditing(trail, LOG_CACHE, ADMIN)])
        self._server.add_generic_rpc_handlers(
            (public_handler(ADMIN, AuditAdmin(trail), self.operating),)
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self.admin: Any = admin_pb2_grpc.AdminStub(self.channel)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()
        await self._server.stop(None)
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)
        self.catalogue.close()

    async def entries(self, **wanted: Any) -> list[Any]:
        answer = await self.admin.ListAudit(audit_pb2.ListAuditRequest(**wanted), timeout=60)
        return list(answer.entries)


def test_changes_leave_a_trace_whatever_becomes_of_them() -> None:
    async def body() -> None:
        async with _Trail() as stage:
            admin = stage.admin
            await admin.PauseJob(admin_pb2.PauseJobRequest(name="expire"), timeout=60)
            for name in ("nothing", "break"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await admin.PauseJob(admin_pb2.PauseJobRequest(name=name), timeout=60)
            waits = admin.PauseJob(admin_pb2.PauseJobRequest(name="wait"))
            await stage.operating.waits.wait()
            waits.cancel()
            async for _ in admin.RunJob(admin_pb2.RunJobRequest(name="seal"), timeout=60):
                pass
            await admin.ListAlarms(alarms_pb2.ListAlarmsRequest(), timeout=60)
            with pytest.raises(grpc.aio.AioRpcError):
                await admin.DeleteStore(connections_pb2.DeleteConnectionRequest(name="x"))
            audit = await stage.catalogue.call(lambda port: port.audit)
            await until(lambda: not audit.started())
            found = await stage.entries()
            assert [
                (e.call, json.loads(e.request).get("name"), e.outcome, e.reason) for e in found
            ] == [
                ("DeleteStore", "x", "UNIMPLEMENTED", ""),
                ("RunJob", "seal", "OK", ""),
                ("PauseJob", "wait", "CANCELLED", ""),
                ("PauseJob", "break", "INTERNAL", "INTERNAL"),
                ("PauseJob", "nothing", "NOT_FOUND", "UNKNOWN_JOB"),
                ("PauseJob", "expire", "OK", ""),
            ]
            assert {(e.principal, e.proof, e.credential) for e in found} == {
                ("ops", "token", "t-7")
            }
            assert all(entry.address.startswith("ipv4:127.0.0.1:") for entry in found)
            assert [entry.number for entry in found] == [6, 5, 4, 3, 2, 1]
            assert len(await stage.entries(call="RunJob")) == 1
            assert len(await stage.entries(limit=2)) == 2
            assert await stage.entries(since_ms=1 << 60) == []
            with pytest.raises(grpc.aio.AioRpcError, match="since_ms"):
                await stage.entries(since_ms=-1)

    asyncio.run(body())


def test_secrets_are_masked_and_long_requests_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = connections_pb2.CreateConnectionRequest
    request = kind(
        connection=connections_pb2.Connection(
            name="main", sasl=connections_pb2.ConnectionSasl(username="u", password_env="WHERE")
        )
    )
    text = shown(kind, request.SerializeToString())
    assert json.loads(text)["connection"]["sasl"] == {"username": "u", "password_env": "WHERE"}
    monkeypatch.setattr(auditing, "is_secret", lambda name: name == "username")
    masked = json.loads(shown(kind, request.SerializeToString()))
    assert masked["connection"]["sasl"]["username"] == "********"
    long = log_cache_pb2.DeleteSubscriptionRequest(subscription="x" * 100_000)
    text = shown(log_cache_pb2.DeleteSubscriptionRequest, long.SerializeToString())
    assert len(text) == auditing.REQUEST_CHARS_MAX
    assert text.endswith("x…")
    assert shown(kind, b"\xff") == "{}"


BILLING = SubscriptionRecord("billing", "main", ("orders",), "", Mode.FULL, 1, False, 5)


@pytest.mark.parametrize(
    ("opened", "told"),
    [
        (
            Opened(BILLING, None, taken_over=False),
            {
                "subscription": "billing",
                "effect": ["MADE"],
                "connection": "main",
                "topics": ["orders"],
                "topic_expression": "",
                "mode": "FULL",
                "gap_policy": "STOP_AT_GAP",
            },
        ),
        (
            Opened(replace(BILLING, epoch=2), BILLING, taken_over=True),
            {"subscription": "billing", "effect": ["TAKEN_OVER"]},
        ),
        (
            Opened(replace(BILLING, epoch=2, topics=("items",)), BILLING, taken_over=False),
            {
                "subscription": "billing",
                "effect": ["CHANGED"],
                "topics": ["items"],
                "before": {"topics": ["orders"]},
            },
        ),
        (
            Opened(replace(BILLING, mode=Mode.INCREMENTAL), BILLING, taken_over=True),
            {
                "subscription": "billing",
                "effect": ["TAKEN_OVER", "CHANGED"],
                "mode": "INCREMENTAL",
                "before": {"mode": "FULL"},
            },
        ),
        (Opened(replace(BILLING, epoch=2, committed_ms=9), BILLING, taken_over=False), None),
    ],
)
def test_what_subscribing_changes_leaves_a_trace(
    opened: Opened, told: dict[str, Any] | None
) -> None:
    async def body() -> None:
        catalogue = CatalogueThread(MemoryCatalogue)
        trail = AuditTrail(catalogue, None)
        run = asyncio.ensure_future(trail.run())
        try:
            set_caller(OPS)
            AuditedOpening(trail)(opened)
            last = await trail.begin(OPS, "PauseJob", "{}")
            found = await trail.list(AuditFilter(call="Subscribe"), 10)
            assert [json.loads(each.request) for each in found] == ([] if told is None else [told])
            assert {each.outcome for each in found} <= {"OK"}
            assert last.number == 1 + len(found)
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            catalogue.close()

    asyncio.run(body())
