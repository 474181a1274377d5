"""A backup of a service under load is each partition's records from the first on, each once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Client, Mode
from tests.faults.stage import Calls, eventually, objects
from tests.support.commands import run_command
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

Name = Callable[[str], str]
BEFORE = 4_000
SETTINGS: dict[str, dict[str, object]] = {
    "store": {"segment_bytes_max": 1 << 18},
    "sql": {"time_s_max": 120},
}


@contextmanager
def produced_on(bootstrap: str, topic: str) -> Iterator[None]:
    """Produces all the while."""
    over = threading.Event()

    def work() -> None:
        number = BEFORE
        while not over.is_set():
            produce(bootstrap, topic, objects(number, number + 500))
            number += 500

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def commit_all(address: str, topic: str) -> None:
    """A task that commits what there is."""
    async with (
        Client(address) as client,
        client.subscribe("copy", topics=[topic], mode=Mode.FULL) as stream,
    ):
        async for batch in stream:
            await stream.commit(batch.position)


async def positions(address: str) -> object:
    async with Client(address) as client:
        shown = await client.get_subscription("copy")
        return sorted((each.position.partition, each.position.offset) for each in shown.partitions)


def restore(backup: Path, store: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "cachesvc", "store", "restore", str(backup)]
    done = subprocess.run(
        [*command, "--store", str(store), "--json"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def records(service: ServiceProcess, topic: str) -> dict[int, list[tuple[int, str]]]:
    """By partition, offset and value in order."""
    query = f"""select "partition", "offset", value from log('{topic}') order by all"""
    done = run_command(service, "sql", query, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[int, list[tuple[int, str]]] = {}
    for row in json.loads(done.stdout):
        found.setdefault(row["partition"], []).append((row["offset"], row["value"]))
    return found


def test_a_restored_backup_has_what_was_there_each_record_once(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("kept")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, BEFORE))
    service = ServiceProcess(tmp_path / "one", kafka.bootstrap, SETTINGS)
    other = ServiceProcess(tmp_path / "two", f"{HOST}:1", SETTINGS)
    backup = tmp_path / "backup"
    try:
        service.start()
        asyncio.run(commit_all(service.address, topic))
        committed = asyncio.run(positions(service.address))
        with produced_on(kafka.bootstrap, topic), Calls(service.address) as calls:
            eventually(lambda: calls.segments(topic), "a first segment")
            least = {number: each.log_end_offset for number, each in calls.offsets(topic).items()}
            made = run_command(service, "store", "backup", str(backup), "--json")
            assert made.returncode == 0, made.stderr
            again = run_command(service, "store", "backup", str(backup))
            assert again.returncode != 0 and "is not empty" in again.stderr
            most = {number: each.log_end_offset for number, each in calls.offsets(topic).items()}
        found = restore(backup, other.store)
        assert found["subscriptions"] == 1 and found["segments"] > 0
        other.start()
        truth = read_all(kafka.bootstrap, topic)
        for number, rows in records(other, topic).items():
            assert least[number] <= len(rows) <= most[number]
            expected = truth[number][: len(rows)]
            assert rows == [(each.offset, (each.value or b"").decode()) for each in expected]
        assert asyncio.run(positions(other.address)) == committed
    finally:
        service.stop()
        other.stop()
