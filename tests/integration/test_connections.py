"""Connections over Admin: made, changed and deleted while others flow on; kept over restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.client import Client, Mode, Stream
from cachesvc.v1 import connections_pb2 as pb
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import mining_tasks_pb2 as tasks
from tests.faults.stage import CALL_S, Calls, anomalies, eventually, objects, refusal
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, full
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]


@pytest.fixture
def service(kafka: KafkaBroker, tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path, kafka.bootstrap) as running:
        yield running


@pytest.fixture
def calls(service: ServiceProcess) -> Iterator[Calls]:
    with Calls(service.address) as found:
        yield found


def create(calls: Calls, name: str, bootstrap: str, **settings: Any) -> pb.Connection:
    connection = pb.Connection(name=name, bootstrap_servers=[bootstrap], **settings)
    request = pb.CreateConnectionRequest(connection=connection)
    made: pb.Connection = calls.admin.CreateConnection(request, timeout=CALL_S).connection
    return made


def update(calls: Calls, connection: pb.Connection) -> pb.Connection:
    request = pb.UpdateConnectionRequest(connection=connection)
    changed: pb.Connection = calls.admin.UpdateConnection(request, timeout=CALL_S).connection
    return changed


def delete(calls: Calls, name: str) -> None:
    calls.admin.DeleteConnection(pb.DeleteConnectionRequest(name=name), timeout=CALL_S)


def get(calls: Calls, name: str) -> pb.Connection:
    request = pb.GetConnectionRequest(name=name)
    found: pb.Connection = calls.admin.GetConnection(request, timeout=CALL_S).connection
    return found


def names(calls: Calls) -> list[str]:
    answer = calls.admin.ListConnections(pb.ListConnectionsRequest(), timeout=CALL_S)
    return [connection.name for connection in answer.connections]


def reader_pid(calls: Calls, connection: str) -> int:
    """The process that mines a connection, once it has joined."""
    name = f"{connection}-0"

    def pids() -> list[int]:
        return [reader.pid for each, reader in calls.readers().items() if each == name]

    return eventually(pids, f"{name} to join")[0]


def subscribe(calls: Calls, subscription: str, connection: str, topic: str) -> Callable[[], Any]:
    """A raw Subscribe; calling it gives the first answer."""
    request = log_cache.SubscribeRequest(
        subscription=subscription,
        connection=connection,
        topics=[topic],
        mode=log_cache.INCREMENTAL,
    )
    return lambda: next(calls.log_cache.Subscribe(request, timeout=CALL_S))


def read_full(service: ServiceProcess, connection: str, subscription: str, topic: str) -> Delivered:
    return asyncio.run(full(service.address, subscription, topic, connection=connection))


async def follow(stream: Stream, seen: Delivered, count: int) -> None:
    """Takes what comes until there are so many records."""
    async with asyncio.timeout(120):
        while seen.count < count:
            seen.add(await anext(stream))


def test_one_is_made_changed_and_deleted_while_another_flows_on(
    service: ServiceProcess, calls: Calls, kafka: KafkaBroker, topic_name: Name
) -> None:
    ours, theirs = topic_name("ours"), topic_name("theirs")
    for topic in (ours, theirs):
        create_topic(kafka.bootstrap, topic, 2)
        produce(kafka.bootstrap, topic, objects(0, 500, 2))

    async def watch() -> Delivered:
        """One stream of the file's connection, through all that happens to the other one."""
        async with (
            Client(service.address) as client,
            client.subscribe(
                "ours", connection="default", topics=[ours], mode=Mode.FULL_AND_INCREMENTAL
            ) as stream,
        ):
            seen = Delivered()
            await follow(stream, seen, 500)
            await asyncio.to_thread(change)
            produce(kafka.bootstrap, ours, objects(500, 1_000, 2))
            await follow(stream, seen, 1_000)
            return seen

    def change() -> None:
        undisturbed = reader_pid(calls, "default")
        made = create(calls, "second", kafka.bootstrap, topic_expression="theirs.*")
        assert not made.in_file and made.created_ms == made.updated_ms
        assert (made.type, made.store, made.log_caching) == ("source", "default", True)
        assert service.reader_pids() == [undisturbed], "nothing of it is wanted yet"
        truth = read_all(kafka.bootstrap, theirs)
        assert not anomalies(truth, read_full(service, "second", "one", theirs), theirs)
        first = reader_pid(calls, "second")
        eventually(lambda: get(calls, "second").reachable, "the second one to be reached")

        made.non_json_policy = pb.STOP
        assert update(calls, made).non_json_policy == pb.STOP
        eventually(lambda: reader_pid(calls, "second") != first, "another reader")
        eventually(lambda: first not in service.reader_pids(), "the former one to end")
        produce(kafka.bootstrap, theirs, objects(500, 700, 2))
        truth = read_all(kafka.bootstrap, theirs)
        assert not anomalies(truth, read_full(service, "second", "two", theirs), theirs)

        code, reason, metadata = refusal(lambda: delete(calls, "second"))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONNECTION_IN_USE")
        assert metadata["subscriptions"] == "one,two"
        for subscription in ("one", "two"):
            request = log_cache.DeleteSubscriptionRequest(subscription=subscription)
            calls.log_cache.DeleteSubscription(request, timeout=CALL_S)
        delete(calls, "second")
        assert names(calls) == ["default"]
        eventually(lambda: service.reader_pids() == [undisturbed], "its reader to end")
        assert reader_pid(calls, "default") == undisturbed

    seen = asyncio.run(watch())
    assert not anomalies(read_all(kafka.bootstrap, ours), seen, ours)


def test_only_topics_that_may_be_of_a_connection_are_pinned(
    calls: Calls, kafka: KafkaBroker
) -> None:
    create(calls, "narrow", kafka.bootstrap, topic_expression="orders.*")

    def pin(topic: str) -> None:
        request = tasks.PinTopicRequest(connection="narrow", topic=topic, reader="to-come")
        calls.admin.PinTopic(request, timeout=CALL_S)

    pin("orders-to-come")
    code, reason, metadata = refusal(lambda: pin("payments"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC")
    assert metadata == {"connection": "narrow", "topic": "payments"}


def test_what_was_made_survives_a_restart_and_a_kill(
    service: ServiceProcess, kafka: KafkaBroker, topic_name: Name
) -> None:
    topic = topic_name("kept")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 300))
    with Calls(service.address) as calls:
        made = create(calls, "second", kafka.bootstrap, agent="", model_load_time="03:30")
    service.kill()
    service.start()
    with Calls(service.address) as calls:
        found = get(calls, "second")
        assert (found.model_load_time, found.created_ms) == ("03:30", made.created_ms)
    truth = read_all(kafka.bootstrap, topic)
    assert not anomalies(truth, read_full(service, "second", "kept", topic), topic)
    with Calls(service.address) as calls:
        found.model_load_time = "04:00"
        update(calls, found)
    service.stop()
    service.start()
    with Calls(service.address) as calls:
        assert get(calls, "second").model_load_time == "04:00"
    assert read_full(service, "second", "again", topic).count == 300


def test_those_of_the_file_are_read_only(
    service: ServiceProcess, calls: Calls, kafka: KafkaBroker
) -> None:
    found = get(calls, "default")
    assert found.in_file
    found.log_caching = False
    for change in (lambda: update(calls, found), lambda: delete(calls, "default")):
        code, reason, _ = refusal(change)
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONNECTION_IN_FILE")
    _, reason, _ = refusal(lambda: create(calls, "default", kafka.bootstrap))
    assert reason == "CONNECTION_EXISTS"
    code, reason, _ = refusal(lambda: get(calls, "no-such"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CONNECTION")
    code, reason, metadata = refusal(lambda: create(calls, "bad", "no-port"))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CONFIG")
    assert metadata["field"] == "connection.bootstrap_servers[0]"


def test_nothing_is_mined_without_log_caching(
    service: ServiceProcess, calls: Calls, kafka: KafkaBroker, topic_name: Name
) -> None:
    topic = topic_name("uncached")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 100))
    made = create(calls, "off", kafka.bootstrap, log_caching=False)
    create(calls, "target", kafka.bootstrap, type="target")
    code, reason, _ = refusal(subscribe(calls, "s", "off", topic))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LOG_CACHING_OFF")
    _, reason, _ = refusal(subscribe(calls, "s", "target", topic))
    assert reason == "CONNECTION_NOT_A_SOURCE"
    assert read_full(service, "default", "other", topic).count == 100
    assert [reader.connection for reader in calls.readers().values()] == ["default"]

    made.log_caching = True
    update(calls, made)
    assert read_full(service, "off", "s", topic).count == 100
    made.log_caching = False
    update(calls, made)
    eventually(lambda: len(service.reader_pids()) == 1, "its reader to end")
    _, reason, _ = refusal(subscribe(calls, "s", "off", topic))
    assert reason == "LOG_CACHING_OFF"


def test_connections_of_which_nothing_is_wanted_cost_no_process(
    kafka: KafkaBroker, tmp_path: Path, topic_name: Name
) -> None:
    topic = topic_name("wanted")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 100))
    more = [{"name": f"c{number}", "bootstrap_servers": [kafka.bootstrap]} for number in range(19)]
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, connections=more) as service,
        Calls(service.address) as calls,
    ):
        listed = pb.ListConnectionsRequest()
        eventually(
            lambda: all(
                found.reachable
                for found in calls.admin.ListConnections(listed, timeout=CALL_S).connections
            ),
            "every cluster to have been looked at",
        )
        assert service.reader_pids() == []
        for number, name in enumerate(("default", "c7"), start=1):
            seen = asyncio.run(full(service.address, f"task-{name}", topic, connection=name))
            assert seen.count == 100
            assert len(service.reader_pids()) == number
        service.kill()
        service.start()
        eventually(lambda: set(calls.readers()) == {"default-0", "c7-0"}, "those that are needed")
        assert len(service.reader_pids()) == 2
