"""A whole service in this process that holds callers to their rights; no broker is there.

It has the connections ``main``, with the topics ``orders``, ``orders.eu`` and ``vault``, and
``spare``, with ``spares``; the subscriptions ``billing-1`` of orders, ``payroll-1`` of vault and
``spare-1`` of spares.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from cachesvc.app.parts import Parts, build, open_store
from cachesvc.app.rights import hold_to_rights
from cachesvc.app.servers import around_calls, make_server
from cachesvc.model import Mode, PartitionId
from cachesvc.policy.callers import Caller, Grant, Proof
from cachesvc.serving.authenticating import Doors
from cachesvc.serving.authorizing import Authorizing
from cachesvc.serving.calling import set_caller
from cachesvc.serving.wrapping import wrapped
from cachesvc.settings.access import AccessConfig
from cachesvc.settings.config import Config, ServerConfig, StoreConfig
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.store.ports import TopicEntry
from cachesvc.subscriptions.subscriptions import SubscriptionSettings
from cachesvc.v1 import admin_pb2_grpc, log_cache_pb2_grpc
from tests.support.frames import full_frames
from tests.unit.clusters.lookups import FakeLookup, source

TOPICS = {"main": ("orders", "orders.eu", "vault"), "spare": ("spares",)}
SUBSCRIPTIONS = {
    "billing-1": ("main", "orders"),
    "payroll-1": ("main", "vault"),
    "spare-1": ("spare", "spares"),
}
RECORDS = 20
VALID_S = 600.0
"""For how long what expires is good: longer than any test takes."""
USUAL = Doors(health=True, reflection=False)


@dataclass
class FakeRoles:
    """What each principal may; a test takes it away."""

    granted: dict[str, tuple[Grant, ...]]
    revoked: set[str] = field(default_factory=set)

    def stands(self, caller: Caller) -> bool:
        in_time = caller.expires_ms is None or caller.expires_ms > time.time() * 1000
        return in_time and caller.name not in self.revoked

    def grants(self, caller: Caller) -> tuple[Grant, ...]:
        return self.granted.get(caller.name, ())


class FakeAuthenticating(grpc.aio.ServerInterceptor):  # type: ignore[misc,unused-ignore]
    """Believes what callers say in their metadata: their name, and how they show who they are."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        return handler and wrapped(handler, lambda _, context: self._believed(context))

    @asynccontextmanager
    async def _believed(self, context: Any) -> AsyncIterator[Any]:
        said = dict(context.invocation_metadata())
        if "name" in said:
            expires_ms = int(said.get("expires_ms", 0)) or None
            proof = Proof(said["proof"])
            set_caller(Caller(said["name"], (), proof, "", "ipv4:127.0.0.1:1", expires_ms))
        yield context


@dataclass(frozen=True)
class Outcome:
    """How a call ended: messages, or the reason of a refusal and all words of it."""

    messages: tuple[Any, ...]
    reason: str = ""
    code: str = "OK"
    words: str = ""

    @property
    def refused(self) -> bool:
        return self.reason in ("NOT_ALLOWED", "UNAUTHENTICATED")

    def mentions(self, word: str) -> bool:
        sent = b"".join(message.SerializeToString() for message in self.messages)
        return word.encode() in sent or word in self.words


class Guarded:
    """The service, and channels to it."""

    def __init__(self, parts: Parts, guard: Authorizing, roles: FakeRoles, channel: Any) -> None:
        self.parts = parts
        self.guard = guard
        self.roles = roles
        self.channel = channel
        self.expires_ms = 0
        self.log_cache: Any = log_cache_pb2_grpc.LogCacheStub(channel)
        self.admin: Any = admin_pb2_grpc.AdminStub(channel)

    def method(self, call: str) -> Any:
        service, _, name = call.partition(".")
        return getattr(self.log_cache if service == "LogCache" else self.admin, name)

    def begin(self, call: str, who: str, request: Any, timeout_s: float = 60.0) -> Any:
        """Calls as somebody; a name that begins with @ is how the caller shows itself."""
        proof = who[1:] if who.startswith("@") else "token"
        said = (("name", who), ("proof", proof), ("expires_ms", str(self.expires_ms)))
        return self.method(call)(request, metadata=said, timeout=timeout_s)

    async def call(self, call: str, who: str, request: Any, timeout_s: float = 60.0) -> Outcome:
        """Calls and waits for the answer, or for the first message of a stream."""
        under_way = self.begin(call, who, request, timeout_s)
        try:
            if hasattr(under_way, "read"):
                first = await under_way.read()
                return Outcome(() if first is grpc.aio.EOF else (first,))
            return Outcome((await under_way,))
        except grpc.aio.AioRpcError as error:
            return refusal(error)
        finally:
            under_way.cancel()

    async def make_subscriptions(self) -> None:
        for name, (connection, topic) in SUBSCRIPTIONS.items():
            try:
                self.parts.subscribed.subscriptions.get(name)
            except Exception:
                wanted = SubscriptionSettings(
                    name, connection, (topic,), "", Mode.FULL_AND_INCREMENTAL
                )
                subscription, subscriber = await self.parts.subscribed.subscriptions.open(wanted)
                self.parts.subscribed.subscriptions.leave(subscription, subscriber)


def refusal(error: grpc.aio.AioRpcError) -> Outcome:
    reason = ""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                reason, words = info.reason, str(info)
                return Outcome((), reason, error.code().name, f"{error.details()} {words}")
    return Outcome((), "", error.code().name, error.details() or "")


async def _fill(parts: Parts) -> None:
    for connection, topics in TOPICS.items():
        lookup = FakeLookup(**dict.fromkeys(topics, 1))
        lookup.ends = {(topic, 0): RECORDS for topic in topics}
        parts.mined.sources.put(source(lookup, connection))
        for topic in topics:
            partition = PartitionId(connection, topic, 1, 0)
            await parts.store.changes.create(TopicEntry(starts={partition: 0}))
            log = parts.store.logs[partition]
            for each in full_frames(0, RECORDS, 5):
                await parts.store.writer.accept(log, each)


@asynccontextmanager
async def guarded(
    path: Path,
    granted: Mapping[str, tuple[Grant, ...]],
    doors: Doors = USUAL,
    access: AccessConfig | None = None,
) -> AsyncIterator[Guarded]:
    """With what is granted; with ``access`` callers show real tokens instead."""
    config = Config(
        access=access or AccessConfig(),
        store=StoreConfig(path=str(path)),
        server=ServerConfig(listen="127.0.0.1:0", progress_interval_s=0.2),
        connections=tuple(
            ConnectionConfig(name=name, bootstrap_servers=("127.0.0.1:1",)) for name in TOPICS
        ),
    )
    store = open_store(config, lambda: False)
    try:
        parts = await build(config, store)
        roles = FakeRoles(dict(granted))
        guard = hold_to_rights(parts, roles, doors)
        around = around_calls(parts)
        if access is None:
            around = replace(around, interceptors=[FakeAuthenticating(), guard])
        server = make_server(parts, around, None)
        running = [
            asyncio.ensure_future(run())
            for run in (
                parts.store.run,
                parts.subscribed.subscriptions.run,
                parts.mined.watch.run,
                parts.callers.audit.run,
            )
        ]
        try:
            await _fill(parts)
            port, _ = server.bind()
            await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                service = Guarded(parts, guard, roles, channel)
                await service.make_subscriptions()
                yield service
        finally:
            await server.stop(0)
            parts.store.writer.close()
            for task in running[1:]:
                task.cancel()
            await asyncio.wait(running, timeout=60)
    finally:
        store.close()


def serving(
    path: Path,
    granted: Mapping[str, tuple[Grant, ...]],
    body: Callable[[Guarded], Awaitable[None]],
    **settings: Any,
) -> None:
    async def run() -> None:
        async with guarded(path, granted, **settings) as service:
            await body(service)

    asyncio.run(run())
