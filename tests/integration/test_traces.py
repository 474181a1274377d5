"""What a collector is told of records that go through a real service, from a real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.stage import eventually, objects
from tests.support.collector import GrpcCollector, HttpCollector, Received, ReceivedSpan
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST, free_ports
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OF_APPEND = ["in the source", "fetch", "wait", "encode", "append", "journal"]


def traced(number: int, flags: str = "01") -> OutRecord:
    header = "traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode()
    return OutRecord(b"k", b'{"id":%d}' % number, headers=(("other", b"x"), header))


def children(received: Received, parent: ReceivedSpan) -> list[ReceivedSpan]:
    found = [span for span in list(received.spans) if span.parent_id == parent.span_id]
    return sorted(found, key=lambda span: (span.begin_ns, span.end_ns))


def test_the_way_of_a_record_whose_producer_was_traced(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=swordfish")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    topic, quiet = topic_name("traced"), topic_name("quiet")
    create_topic(kafka.bootstrap, topic, 1)
    create_topic(kafka.bootstrap, quiet, 1)
    produced_ns = time.time_ns()
    produce(kafka.bootstrap, topic, [*objects(0, 5), traced(5), traced(6)])
    produce(kafka.bootstrap, quiet, [*objects(0, 5), traced(5, flags="00")])
    with HttpCollector() as collector:
        settings = {"traces": {"endpoint": collector.endpoint, "ratio": 0}}
        with ServiceProcess(tmp_path, kafka.bootstrap, settings) as service:
            asyncio.run(full(service.address, "others", quiet, commit=True))
            asyncio.run(full(service.address, "copies", topic, commit=True))
            eventually(lambda: collector.named("commit copies"), "the commit's span")
            assert not service.events("traces_not_sent")
        (mine,) = collector.named("mine ")

    # The append.
    assert mine.name == f"mine {topic}"
    assert not mine.parent_id
    assert mine.links == ((TRACE, SPAN, {"messaging.kafka.offset": 5}),)
    assert mine.attributes == {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": "0",
        "messaging.operation.name": "mine",
        "messaging.operation.type": "process",
        "messaging.batch.message_count": 7,
        "messaging.kafka.offset": 0,
        "cachesvc.end_offset": 7,
        "cachesvc.bytes": mine.attributes["cachesvc.bytes"],
        "cachesvc.rejects": 0,
        "cachesvc.backfill": False,
        "cachesvc.connection": "default",
        "cachesvc.incarnation": 1,
    }
    assert mine.attributes["cachesvc.bytes"] > 1_000
    assert mine.resource["service.name"] == "cachesvc"
    assert mine.resource["service.version"] == "0.1.0"
    assert mine.resource["deployment.environment.name"] == "test"
    assert collector.headers[0]["x-key"] == "swordfish"

    # Its steps, each of which begins where the one before ends.
    *steps, delivery = children(collector, mine)
    assert [span.name for span in steps] == OF_APPEND
    ends = [span.end_ns for span in steps]
    assert [span.begin_ns for span in steps] == [mine.begin_ns, *ends[:-1]]
    assert ends[-1] == mine.end_ns
    # A timestamp has milliseconds.
    assert produced_ns - 1_000_000 <= mine.begin_ns < mine.end_ns <= time.time_ns()

    # The subscription.
    assert delivery.name == "deliver copies"
    assert delivery.attributes["messaging.consumer.group.name"] == "copies"
    assert delivery.begin_ns == mine.end_ns
    (commit,) = children(collector, delivery)
    assert commit.name == "commit copies"
    assert delivery.end_ns == commit.begin_ns < commit.end_ns
    assert {span.trace_id for span in collector.spans} == {mine.trace_id}
    assert len(collector.spans) == 1 + len(steps) + 2


def test_a_collector_that_is_away_holds_nobody_up(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("away")
    create_topic(kafka.bootstrap, topic, 1)
    produce(kafka.bootstrap, topic, objects(0, 50))
    (port,) = free_ports(1)
    traces = {
        "endpoint": f"http://{HOST}:{port}",
        "protocol": "grpc",
        "ratio": 1,
        "timeout_s": 0.5,
        "service_name": "shop",
    }
    with ServiceProcess(tmp_path, kafka.bootstrap, {"traces": traces}) as service:
        seen = asyncio.run(full(service.address, "copies", topic, commit=True))
        assert seen.count == 50
        event, *_ = eventually(lambda: service.events("traces_not_sent"), "the warning")
        assert event["level"] == "warning"
        assert event["endpoint"] == traces["endpoint"]
        assert "UNAVAILABLE" in event["error"] or "DEADLINE_EXCEEDED" in event["error"]
        with GrpcCollector(port) as collector:
            produce(kafka.bootstrap, topic, objects(50, 60))
            asyncio.run(full(service.address, "copies", topic, commit=True))
            eventually(lambda: collector.named("commit copies"), "spans")
            assert {span.resource["service.name"] for span in collector.spans} == {"shop"}
            again, *_ = eventually(lambda: service.events("traces_sent"), "that all is well")
            assert again["lost"] > 0
        # There is something to send, and nobody to take it.
        produce(kafka.bootstrap, topic, objects(60, 70))
        asyncio.run(full(service.address, "copies", topic, commit=True))
        assert service.stop() < 30, "10 s of grace, and a machine that does other things"
