"""Where descriptors are lacking, records come in messages."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from resource import RLIMIT_NOFILE, prlimit

import pytest

from cachesvc.client import Client, Mode
from tests.faults.stage import objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.lent import Told, told
from tests.support.reading import BrokerRecord, read_all
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(200)]

TOPIC = "few-descriptors"
PARTITIONS = 2
RECORDS = 10_000
BYTES = 1_000
Truth = dict[int, list[BrokerRecord]]


@pytest.fixture(scope="module")
def truth(kafka: KafkaBroker) -> Truth:
    create_topic(kafka.bootstrap, TOPIC, PARTITIONS)
    produce(kafka.bootstrap, TOPIC, objects(0, RECORDS, PARTITIONS, BYTES))
    return {number: list(rows) for number, rows in read_all(kafka.bootstrap, TOPIC).items()}


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, truth: Truth, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("few"), kafka.bootstrap) as started:
        asyncio.run(told(started.address, "mines", TOPIC))
        yield started


@pytest.mark.parametrize("spare", range(5))
def test_a_task_without_descriptors_gets_messages(service: ServiceProcess, spare: int) -> None:
    """Whatever it has to do without: the connection, or a block, the first one or a later one."""
    command = [sys.executable, "-m", "tests.faults.lent_process", service.address]
    said: list[str] = []
    process = subprocess.Popen(
        [*command, f"few-{spare}", TOPIC, str(spare)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as lines:
        try:
            for line in lines:
                said.append(line.strip())
                if line.startswith("end"):
                    break
        finally:
            process.kill()
            process.wait()
    assert said[-1:] == [f"end {RECORDS}"]
    assert "sent" in said


def test_a_service_without_descriptors_sends_messages(
    service: ServiceProcess, truth: Truth
) -> None:
    """It has memory for its tasks already, and makes no more."""

    async def run() -> Told:
        found = Told()
        async with (
            asyncio.timeout(120),
            Client(service.address) as client,
            client.subscribe("no-more", topics=[TOPIC], mode=Mode.FULL) as stream,
        ):
            async for batch in stream:
                if not found.delivered.batches:
                    prlimit(service.pid, RLIMIT_NOFILE, (_highest(service.pid) + 1, hard))
                found.add(batch)
        return found

    soft, hard = prlimit(service.pid, RLIMIT_NOFILE)
    try:
        found = asyncio.run(run())
    finally:
        prlimit(service.pid, RLIMIT_NOFILE, (soft, hard))
    assert not found.wrong(truth, TOPIC)
    assert asyncio.run(told(service.address, "again", TOPIC)).lent


def _highest(pid: int) -> int:
    return max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())
