"""Streams that end with the rights they need, and what is open to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from cachesvc.model import PartitionId
from cachesvc.policy.callers import Grant, Right
from cachesvc.serving.authenticating import Doors
from cachesvc.store.ports import TopicEntry
from cachesvc.v1 import admin_pb2, log_cache_pb2, mining_pb2_grpc, watching_pb2
from tests.unit.log.running import until
from tests.unit.serving.guarded import VALID_S, Guarded, refusal, serving

HealthStub: Any = health_pb2_grpc.HealthStub
ReflectionStub: Any = reflection_pb2_grpc.ServerReflectionStub
TASK = frozenset({Right.READ, Right.COMMIT, Right.SUBSCRIPTIONS})
ORDERS = Grant(TASK, topics=("^orders.*",))
ENDS_WITHIN_S = 30.0


def subscribe(name: str = "billing-1", **fields: Any) -> log_cache_pb2.SubscribeRequest:
    usual: dict[str, Any] = {"topics": ["orders"], "mode": log_cache_pb2.INCREMENTAL}
    start = log_cache_pb2.Start(earliest=log_cache_pb2.Earliest())
    given = {**usual, **fields}
    if "topic_expression" in given:
        del given["topics"]
    return log_cache_pb2.SubscribeRequest(
        subscription=name, connection="main", start=start, **given
    )


async def topics_of(stream: Any, count: int) -> list[str]:
    """The topics of a stream's first batches, joined or not."""
    found: list[str] = []
    while len(found) < count:
        event = await stream.read()
        assert event is not grpc.aio.EOF
        if event.HasField("batch"):
            found.append(event.batch.topic)
    return found


async def end_of(stream: Any) -> Any:
    try:
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    raise AssertionError("the stream ended well")


async def ended(service: Guarded, stream: Any) -> Any:
    service.guard.changed()
    found = await asyncio.wait_for(end_of(stream), ENDS_WITHIN_S)
    # The client is told a moment before the handler is over.
    await until(lambda: not service.guard._streams)
    return found


def test_an_expression_means_those_topics_alone_that_the_caller_may_read(tmp_path: Path) -> None:
    async def body(service: Guarded) -> None:
        stream = service.begin("LogCache.Subscribe", "ann", subscribe(topic_expression=".*"))
        event = await stream.read()
        assert [p.topic for p in event.started.positions] == ["orders", "orders.eu"]
        assert set(await topics_of(stream, 2)) == {"orders", "orders.eu"}
        stream.cancel()

    serving(tmp_path, {"ann": (ORDERS,)}, body)


def test_topics_that_come_later_join_only_where_the_caller_may_read_them(tmp_path: Path) -> None:
    async def body(service: Guarded) -> None:
        stream = service.begin("LogCache.Subscribe", "ann", subscribe(topic_expression=".*"))
        await topics_of(stream, 2)
        source = service.parts.mined.sources.get("main")
        for topic in ("vault.new", "orders.new"):
            partition = PartitionId("main", topic, 1, 0)
            await service.parts.store.changes.create(TopicEntry(starts={partition: 0}))
        service.parts.mined.sources.put(source)  # tells that there is news
        while True:
            event = await stream.read()
            assert event is not grpc.aio.EOF
            if event.HasField("partition_added"):
                assert event.partition_added.start.topic == "orders.new"
                break
        event = await stream.read()
        while not event.HasField("progress"):
            event = await stream.read()
        told = {each.topic for each in event.progress.partitions}
        assert told == {"orders", "orders.eu", "orders.new"}
        stream.cancel()

    serving(tmp_path, {"ann": (ORDERS,)}, body)


def test_a_member_needs_to_read_all_topics_that_are_shared(tmp_path: Path) -> None:
    async def body(service: Guarded) -> None:
        shared = subscribe("billing-2", topic_expression=".*", sharing=log_cache_pb2.SHARED)
        stream = service.begin("LogCache.Subscribe", "ann", shared)
        found = await asyncio.wait_for(end_of(stream), ENDS_WITHIN_S)
        assert found.reason == "NOT_ALLOWED"
        assert not found.mentions("vault")

    serving(tmp_path, {"ann": (ORDERS,)}, body)


@pytest.mark.parametrize("expression", [False, True])
def test_a_stream_ends_when_its_caller_loses_a_topic(tmp_path: Path, expression: bool) -> None:
    async def body(service: Guarded) -> None:
        request = subscribe(topic_expression=".*") if expression else subscribe()
        stream = service.begin("LogCache.Subscribe", "ann", request)
        await topics_of(stream, 1)
        service.roles.granted["ann"] = (Grant(TASK, topics=("orders.eu",)),)
        found = await ended(service, stream)
        assert (found.code, found.reason) == ("PERMISSION_DENIED", "NOT_ALLOWED")
        assert "'orders'" in found.words

    serving(tmp_path, {"ann": (ORDERS,)}, body)


@pytest.mark.parametrize("right", [Right.READ, Right.COMMIT])
def test_a_stream_ends_when_its_caller_loses_a_right(tmp_path: Path, right: Right) -> None:
    async def body(service: Guarded) -> None:
        stream = service.begin("LogCache.Subscribe", "ann", subscribe())
        await topics_of(stream, 1)
        service.roles.granted["ann"] = (Grant(TASK - {right}),)
        assert (await ended(service, stream)).reason == "NOT_ALLOWED"

    serving(tmp_path, {"ann": (ORDERS,)}, body)


def test_streams_of_every_kind_end_when_a_token_is_revoked(tmp_path: Path) -> None:
    async def body(service: Guarded) -> None:
        watch = watching_pb2.WatchMiningRequest(connection="main", interval_s=3_600)
        watching = service.begin("Admin.WatchMining", "ann", watch)
        await watching.read()
        reading = service.begin("LogCache.Subscribe", "ann", subscribe())
        await topics_of(reading, 1)
        other = service.begin("LogCache.Subscribe", "bob", subscribe("billing-2"))
        await topics_of(other, 1)
        service.roles.revoked.add("ann")
        service.guard.changed()
        for stream in (watching, reading):
            found = await asyncio.wait_for(end_of(stream), ENDS_WITHIN_S)
            assert (found.code, found.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
        async with asyncio.timeout(ENDS_WITHIN_S):  # a caller is told before its call is over here
            while len(service.guard._streams) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await other.read()) is not grpc.aio.EOF
        other.cancel()

    serving(tmp_path, {"ann": (ORDERS,), "bob": (ORDERS,)}, body)


def test_a_stream_ends_when_what_its_caller_showed_expires(
    tmp_path: Path, expire: Callable[[], None]
) -> None:
    async def body(service: Guarded) -> None:
        service.expires_ms = int((time.time() + VALID_S) * 1000)
        stream = service.begin("LogCache.Subscribe", "ann", subscribe())
        await topics_of(stream, 1)
        expire()
        found = await asyncio.wait_for(end_of(stream), ENDS_WITHIN_S)
        assert found.reason == "UNAUTHENTICATED"

    serving(tmp_path, {"ann": (ORDERS,)}, body)


def test_a_change_that_takes_nothing_away_ends_no_stream(tmp_path: Path) -> None:
    async def body(service: Guarded) -> None:
        stream = service.begin("LogCache.Subscribe", "ann", subscribe())
        await topics_of(stream, 1)
        # Made by the subscriber itself; what it was needed for is over.
        service.roles.granted["ann"] = (Grant(TASK - {Right.SUBSCRIPTIONS}, topics=("orders",)),)
        service.guard.changed()
        for _ in range(3):
            assert await stream.read() is not grpc.aio.EOF
        stream.cancel()

    serving(tmp_path, {"ann": (ORDERS,)}, body)


@pytest.mark.parametrize(
    ("grant", "name", "allowed"),
    [
        (Grant(TASK, subscriptions=("billing-*",)), "billing-new", True),
        (Grant(TASK, subscriptions=("billing-*",)), "payroll-1", False),
        (Grant(TASK, subscriptions=("billing-*",)), "payroll-new", False),
        (Grant(TASK - {Right.SUBSCRIPTIONS}), "billing-1", True),
        (Grant(TASK - {Right.SUBSCRIPTIONS}), "billing-new", False),
        (Grant(TASK - {Right.COMMIT}), "billing-1", False),
        (Grant(TASK, connections=("spare",)), "billing-1", False),
        (Grant(TASK, topics=("orders.eu",)), "billing-1", False),
    ],
)
def test_who_may_subscribe(tmp_path: Path, grant: Grant, name: str, allowed: bool) -> None:
    async def body(service: Guarded) -> None:
        found = await service.call("LogCache.Subscribe", "ann", subscribe(name))
        assert found.refused is not allowed
        assert bool(found.messages) is allowed
        made = name in {each.record.name for each in service.parts.subscribed.subscriptions.all()}
        assert made == (allowed or not name.endswith("new")), "a refusal leaves nothing behind"

    serving(tmp_path, {"ann": (grant,)}, body)


def test_a_subscription_of_another_connection_is_not_taken_over(tmp_path: Path) -> None:
    async def body(service: Guarded) -> None:
        found = await service.call("LogCache.Subscribe", "ann", subscribe("spare-1"))
        assert found.reason == "NOT_ALLOWED"
        assert service.parts.subscribed.subscriptions.get("spare-1").record.connection == "spare"

    serving(tmp_path, {"ann": (Grant(TASK, connections=("main",)),)}, body)


@pytest.mark.parametrize("doors", [Doors(health=True, reflection=True), Doors(False, False)])
@pytest.mark.parametrize("who", [None, "ann"])
def test_health_and_reflection_are_open_or_closed(
    tmp_path: Path, doors: Doors, who: str | None
) -> None:
    said = () if who is None else (("name", who), ("proof", "token"))

    async def body(service: Guarded) -> None:
        health: Any = HealthStub(service.channel)
        reflection: Any = ReflectionStub(service.channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        asks: list[tuple[bool, Callable[[], Any]]] = [
            (doors.health, lambda: health.Check(health_pb2.HealthCheckRequest(), metadata=said)),
            (
                doors.reflection,
                lambda: reflection.ServerReflectionInfo(iter([asked]), metadata=said).read(),
            ),
        ]
        for open_to_all, ask in asks:
            if open_to_all or who is not None:
                assert await ask() is not grpc.aio.EOF
            else:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ask()
                assert refusal(caught.value).reason == "NOT_ALLOWED"

    serving(tmp_path, {}, body, doors=doors)


@pytest.mark.parametrize("who", ["@none", "ann"])
def test_nobody_appends_but_readers_by_the_socket(tmp_path: Path, who: str) -> None:
    async def body(service: Guarded) -> None:
        stub: Any = mining_pb2_grpc.MiningStub(service.channel)
        said = (("name", who), ("proof", "token" if who == "ann" else "none"))
        for call in (stub.Join(metadata=said), stub.Append(metadata=said)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert refusal(caught.value).reason == "NOT_ALLOWED"

    serving(tmp_path, {"ann": (Grant(frozenset(Right)),)}, body)


def test_bytes_that_are_no_request_are_told_as_such(tmp_path: Path) -> None:
    async def body(service: Guarded) -> None:
        said = (("name", "ann"), ("proof", "token"))
        for path in ("/cachesvc.v1.Admin/ListTopics", "/cachesvc.v1.LogCache/Commit"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await service.channel.unary_unary(path)(b"\xff\xff\xff", metadata=said)
            assert refusal(caught.value).reason == "MALFORMED_REQUEST"

    serving(tmp_path, {"ann": (ORDERS,)}, body)


def test_an_error_names_no_connection_that_the_caller_may_not_know(tmp_path: Path) -> None:
    async def body(service: Guarded) -> None:
        for request, reason in (
            (log_cache_pb2.ListOffsetsRequest(), "CONNECTION_REQUIRED"),
            (log_cache_pb2.ListOffsetsRequest(connection="gone"), "UNKNOWN_CONNECTION"),
        ):
            found = await service.call("LogCache.ListOffsets", "ann", request)
            assert found.reason == reason
            assert not found.mentions("spare")
        listed = await service.call("Admin.ListTopics", "ann", admin_pb2.ListTopicsRequest())
        assert {topic.connection for topic in listed.messages[0].topics} == {"main"}

    serving(tmp_path, {"ann": (Grant(TASK, connections=("main", "gone")),)}, body)
