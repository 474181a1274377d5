"""Whole ways of tasks into Kafka: many topics, old records, transforms, and no circle."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cachesvc.sync import Check, TargetFailed, Task, parse_task
from cachesvc.sync.checking import check_task
from cachesvc.sync.parts import parts_of
from tests.faults.stage import objects
from tests.integration.kafka_target import Name
from tests.integration.test_sync_kafka_tasks import config, run_one
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.topics import OutRecord, create_topic, produce, read_all
from tests.support.writing import RecordWriter
from tests.sync.stage import MemorySink

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

TOPICS = 300
_DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("service"), kafka.bootstrap) as running:
        yield running


def checks_of(task: dict[str, Any]) -> dict[str, Check]:
    async def run() -> list[Check]:
        return [each async for each in check_task(parts_of(task))]

    return {each.name: each for each in asyncio.run(run())}


def test_a_task_does_not_read_what_it_writes(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    source = topic_name("orders")
    create_topic(kafka.bootstrap, source)
    produce(kafka.bootstrap, source, objects(0, 10))
    circle = config(service.address, kafka.bootstrap, source, "{topic}")
    circle["name"] = source
    with pytest.raises(TargetFailed, match="allow_source_topics") as caught:
        asyncio.run(run_one(circle))
    assert caught.value.reason == "TARGET_IS_SOURCE"
    found = checks_of(circle)["sink: own source"]
    assert not found.passed and source in found.detail and found.hint
    assert len(read_all(kafka.bootstrap, source)[0]) == 10
    meant = {**circle, "sink": {**circle["sink"], "allow_source_topics": [source]}}
    assert checks_of(meant)["sink: own source"].passed
    asyncio.run(run_one(meant))
    assert len(read_all(kafka.bootstrap, source)[0]) == 20


def test_nor_a_topic_that_its_expression_selects(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    source = topic_name("loop")
    create_topic(kafka.bootstrap, source)
    produce(kafka.bootstrap, source, objects(0, 10))
    task = config(service.address, kafka.bootstrap, source, "{topic}-copy")
    reads = {
        "service": service.address,
        "topic_expression": f"{source}.*",
        "mode": "FULL_AND_INCREMENTAL",
    }
    with pytest.raises(TargetFailed) as caught:
        asyncio.run(run_one({**task, "name": source, "source": reads}))
    assert caught.value.reason == "TARGET_IS_SOURCE"
    named = {**task, "name": topic_name("named")}
    asyncio.run(run_one(named))
    assert len(read_all(kafka.bootstrap, f"{source}-copy")[0]) == 10


def test_a_table_of_debezium_is_queried_on_its_way(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    source, target = topic_name("orders"), topic_name("costs")
    create_topic(kafka.bootstrap, source, 2)

    def event(number: int, op: str) -> OutRecord:
        row = {"id": number, "price": number / 4, "count": 2}
        value = {
            "op": op,
            "before": row if op == "d" else None,
            "after": row if op != "d" else None,
        }
        return OutRecord(b"%d" % number, json.dumps(value).encode(), partition=number % 2)

    deletes = [event(number, "d") for number in range(0, 20, 5)]
    produce(kafka.bootstrap, source, [*(event(number, "c") for number in range(20)), *deletes])
    query = "select record_offset, (value->'id')::int as id, (value->'price')::double *"
    query += " (value->'count')::int as cost from batch where (value->'id')::int >= 4"
    task = config(service.address, kafka.bootstrap, source, target, partitions=2)
    task["transforms"] = [{"kind": "debezium"}, {"kind": "sql", "query": query}]
    asyncio.run(run_one(task))
    found = {
        number: [(each.key, each.value) for each in records]
        for number, records in read_all(kafka.bootstrap, target).items()
    }
    every = [pair for records in found.values() for pair in records]
    costs = {f"{n}".encode(): {"id": n, "cost": n / 2} for n in range(4, 20)}
    assert {key: json.loads(value) for key, value in every if value is not None} == costs
    assert {key for key, value in every if value is None} == {b"5", b"10", b"15"}
    for records in found.values():
        gone = {key for key, value in records if value is None}
        assert all(dict(records)[key] is None for key in gone), "a delete came before its row"


def test_records_of_a_month_ago_keep_their_time_or_get_a_new_one(
    kafka: KafkaBroker, service: ServiceProcess, topic_name: Name
) -> None:
    source = topic_name("old")
    create_topic(kafka.bootstrap, source, 1, {"retention.ms": "-1"})
    now_ms = time.time_ns() // 1_000_000
    then_ms = now_ms - 30 * _DAY_MS
    produce(kafka.bootstrap, source, objects(0, 20, timestamp_ms=then_ms))

    def copied(made_like: dict[str, str], **sink: Any) -> list[int]:
        target = topic_name("copy")
        create_topic(kafka.bootstrap, target, 1, made_like)
        asyncio.run(run_one(config(service.address, kafka.bootstrap, source, target, **sink)))
        return [each.timestamp_ms for each in read_all(kafka.bootstrap, target)[0]]

    assert copied({"retention.ms": "-1"}) == [then_ms] * 20
    appended = copied({"message.timestamp.type": "LogAppendTime"})
    written = copied({}, timestamp="now")
    assert len(appended) == len(written) == 20
    assert min(appended + written) >= now_ms - 60_000
    recent = {"message.timestamp.before.max.ms": str(_DAY_MS)}
    with pytest.raises(TargetFailed, match="INVALID_TIMESTAMP") as caught:
        copied(recent)
    assert caught.value.reason == "PUSH_REFUSED"
    assert len(copied(recent, timestamp="now")) == 20


def test_one_task_reads_hundreds_of_topics_and_those_made_later(
    fresh_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """On a broker of its own, which needs a file descriptor for each of them."""
    service = ServiceProcess(tmp_path / "service", fresh_kafka.bootstrap)
    prefix = topic_name("many")
    names = [f"{prefix}-{number}" for number in range(TOPICS)]
    _create(fresh_kafka.bootstrap, names)
    _write(fresh_kafka.bootstrap, names, 3)
    sink = MemorySink()
    source = {
        "service": service.address,
        "topic_expression": f"{prefix}-.*",
        "mode": "FULL_AND_INCREMENTAL",
    }

    def has(topics: list[str], count: int) -> Callable[[], bool]:
        wanted = list(range(count))
        return lambda: all(sink.offsets[topic, 0] == wanted for topic in topics)

    async def eventually(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    async def run() -> None:
        async with (
            asyncio.timeout(150),
            Task(parse_task({"name": prefix, "source": source}), sink=sink) as task,
        ):
            await eventually(has(names, 3))
            later = [f"{prefix}-later-{number}" for number in range(3)]
            await asyncio.to_thread(_create, fresh_kafka.bootstrap, later)
            await asyncio.to_thread(_write, fresh_kafka.bootstrap, [*later, *names], 2)
            await eventually(has(later, 2))
            await eventually(has(names, 5))
            assert task.status().records == 5 * TOPICS + 6

    with service:
        asyncio.run(run())


def _create(bootstrap: str, names: list[str]) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    made = admin.create_topics([NewTopic(name, 1, 1) for name in names], operation_timeout=60)
    for each in made.values():
        each.result(60)


def _write(bootstrap: str, names: list[str], count: int) -> None:
    writer = RecordWriter(bootstrap, "none")
    for name in names:
        for number in range(count):
            writer.write(name, b'{"n":%d}' % number, b"k", 0)
    writer.flush(60.0)
