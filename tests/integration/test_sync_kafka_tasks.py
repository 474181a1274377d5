"""Tasks that write into Kafka, run by the runner."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cachesvc.sync import (
    Task,
)
from tests.faults.stage import objects
from tests.integration.kafka_target import Name
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import await_decided
from tests.support.service import ServiceProcess
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import (
    BrokerRecord,
    create_topic,
    produce,
    read_all,
    watermarks,
)
from tests.support.writing import OutRecord

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


def config(address: str, bootstrap: str, source: str, target: str, **sink: Any) -> dict[str, Any]:
    """A task that copies all that a topic has now."""
    return {
        "name": target,
        "source": {"service": address, "topics": [source], "mode": "FULL"},
        "sink": {"kind": "kafka", "bootstrap_servers": [bootstrap], "topic": target, **sink},
    }


async def run_tasks(*configs: dict[str, Any]) -> None:
    """Runs tasks side by side to their ends."""

    async def one(each: dict[str, Any]) -> None:
        async with Task(each) as task:
            await task.wait()

    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        for each in configs:
            tasks.create_task(one(each))


@pytest.mark.parametrize("exactly_once", [False, True])
def test_a_task_carries_a_topic_of_the_cache(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path, exactly_once: bool
) -> None:
    source, target = topic_name("orders"), topic_name("copy")
    create_topic(kafka.bootstrap, source, 2)
    create_topic(kafka.bootstrap, target, 2, {"max.message.bytes": "3000"})
    large = OutRecord(b"large", b'{"x":"' + b"x" * 4_000 + b'"}', partition=1)
    others = objects(0, 3_000, 2)
    produce(kafka.bootstrap, source, [*others[:1_000], large, *others[1_000:]])
    how = {"partitioner": "keep", "exactly_once": exactly_once, "ignore_push_errors": True}
    errors = {"policy": "dead-letter", "dead_letters": str(tmp_path / "letters")}
    with ServiceProcess(tmp_path / "service", kafka.bootstrap) as service:
        task = config(service.address, kafka.bootstrap, source, target, **how)
        asyncio.run(run_tasks({**task, "errors": errors}))
    await_decided(kafka.bootstrap, target)
    truth, copy = read_all(kafka.bootstrap, source), read_all(kafka.bootstrap, target)

    def told(record: BrokerRecord) -> tuple[object, ...]:
        return record.timestamp_ms, record.key, record.value, record.headers

    for number in range(2):
        kept = [told(record) for record in truth[number] if record.key != b"large"]
        assert [told(record) for record in copy[number]] == kept
    letters = [file.read_text() for file in (tmp_path / "letters").rglob("*") if file.is_file()]
    assert "RECORD_TOO_LARGE" in "".join(letters)


def test_sixteen_tasks_have_the_broker_read_once(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path
) -> None:
    source = topic_name("orders")
    targets = [topic_name("copy") for _ in range(16)]
    create_topic(kafka.bootstrap, source, 2)
    value = b'{"x":"' + b"x" * 1_000 + b'"}'
    produce(
        kafka.bootstrap, source, [OutRecord(None, value, partition=n % 2) for n in range(4_000)]
    )
    with ServiceProcess(tmp_path, kafka.proxied_bootstrap) as service:
        tasks = [config(service.address, kafka.bootstrap, source, each) for each in targets]
        asyncio.run(run_tasks(tasks[0]))
        once = kafka_proxy.bytes_to_client
        assert once > 4_000_000
        asyncio.run(run_tasks(*tasks[1:]))
        # What is looked at anew each half second is small.
        assert kafka_proxy.bytes_to_client - once < once / 10
    for target in targets:
        ((_, end),) = watermarks(kafka.bootstrap, target).values()
        assert end == 4_000
