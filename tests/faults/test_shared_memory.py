"""Shared memory when tasks keep it, are slow, die, or when the service does."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from cachesvc.client import Batch, Client, Mode, StreamSettings
from tests.faults.stage import eventually, objects
from tests.support.checker import Observation, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.lent import Told, checksum, is_lent, shared_bytes, told
from tests.support.reading import BrokerRecord, read_all
from tests.support.service import ServiceProcess
from tests.support.tasks import PATIENCE_S
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]

PARTITIONS = 4
RECORDS = 24_000
BYTES = 1_000
TOPICS = ("keeps", "others")
BUDGET = 16 << 20
"""Less than a topic has."""
SETTINGS: dict[str, dict[str, Any]] = {"server": {"shared_memory_bytes_max": BUDGET}}
ROUNDS = int(os.environ.get("CACHESVC_KILL_ROUNDS", "10"))
AT_ONCE = 3
Truth = Mapping[int, Sequence[BrokerRecord]]


@dataclass(slots=True)
class Kept:
    """A task that keeps every table, and what each had when it came."""

    tables: list[tuple[pa.Table, str]] = field(default_factory=list)
    told: Told = field(default_factory=Told)

    def add(self, batch: Batch) -> None:
        table = batch.to_arrow()
        self.tables.append((table, checksum(table)))
        self.told.add(batch)

    def check(self) -> None:
        """Nothing of it has changed."""
        changed = [n for n, (table, was) in enumerate(self.tables) if checksum(table) != was]
        assert not changed, f"tables {changed} of {len(self.tables)} have changed"


@dataclass
class Served:
    """A service that has mined both topics, and what the broker has of them."""

    service: ServiceProcess
    truth: Mapping[str, Truth]

    async def keep(self, name: str, topic: str) -> Kept:
        kept = Kept()
        async with (
            asyncio.timeout(PATIENCE_S),
            Client(self.service.address) as client,
            client.subscribe(name, topics=[topic], mode=Mode.FULL) as stream,
        ):
            async for batch in stream:
                kept.add(batch)
        return kept

    async def read(self, name: str, topic: str) -> Told:
        found = await told(self.service.address, name, topic)
        assert not found.wrong(self.truth[topic], topic, name)
        return found


@pytest.fixture(scope="module")
def served(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    for topic in TOPICS:
        create_topic(kafka.bootstrap, topic, PARTITIONS)
        produce(kafka.bootstrap, topic, objects(0, RECORDS, PARTITIONS, BYTES))
    truth = {topic: read_all(kafka.bootstrap, topic) for topic in TOPICS}
    directory = tmp_path_factory.mktemp("keeps")
    with ServiceProcess(directory, kafka.bootstrap, SETTINGS) as service:
        found = Served(service, truth)
        for topic in TOPICS:
            asyncio.run(found.read(f"mines-{topic}", topic))
        yield found


@pytest.mark.parametrize("keepers", [1, 2])
def test_what_a_task_keeps_never_changes_and_nobody_stalls(served: Served, keepers: int) -> None:
    """It keeps more than there is; others read the same and something else meanwhile and later."""

    async def run() -> list[Kept]:
        async with asyncio.TaskGroup() as tasks:
            keeping = [
                tasks.create_task(served.keep(f"keeper-{keepers}-{number}", TOPICS[0]))
                for number in range(keepers)
            ]
            for topic in TOPICS:
                tasks.create_task(served.read(f"reads-{keepers}-{topic}", topic))
        kept = [task.result() for task in keeping]
        for number in range(3):
            for topic in TOPICS:
                await served.read(f"later-{keepers}-{number}-{topic}", topic)
        return kept

    for kept in asyncio.run(run()):
        assert kept.told.lent and kept.told.sent, "it is both handed memory and goes beyond"
        assert not kept.told.wrong(served.truth[TOPICS[0]], TOPICS[0])
        kept.check()
    assert shared_bytes(served.service.pid) <= BUDGET


def test_many_streams_of_a_topic_each_have_every_record_once(served: Served) -> None:
    """Some are slow, some keep what they get, some end early, at the same time."""
    topic = TOPICS[0]

    async def slow(name: str) -> None:
        found = Told()
        async with (
            Client(served.service.address) as client,
            client.subscribe(name, topics=[topic], mode=Mode.FULL) as stream,
        ):
            async for batch in stream:
                found.add(batch)
                await asyncio.sleep(0.05)
        assert not found.wrong(served.truth[topic], topic, name)

    async def early(name: str, batches: int) -> None:
        found = Told()
        for life in range(3):  # each goes on where the last one has committed
            async with (
                Client(served.service.address) as client,
                client.subscribe(name, topics=[topic], mode=Mode.FULL) as stream,
            ):
                async for batch in stream:
                    found.add(batch)
                    await stream.commit(batch.position)
                    if life < 2 and found.delivered.batches % batches == 0:
                        break
        assert not found.wrong(served.truth[topic], topic, name)

    async def run() -> list[Kept]:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            keeping = [tasks.create_task(served.keep(f"keeps-{n}", topic)) for n in range(2)]
            for number in range(2):
                tasks.create_task(slow(f"slow-{number}"))
                tasks.create_task(early(f"early-{number}", number + 1))
                tasks.create_task(served.read(f"fast-{number}", topic))
        return [task.result() for task in keeping]

    for kept in asyncio.run(run()):
        assert not kept.told.wrong(served.truth[topic], topic)
        kept.check()


@contextmanager
def _keeper(served: Served, name: str, topic: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.faults.lent_process"]
    process = subprocess.Popen(
        [*command, served.service.address, name, topic], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _hears(process: subprocess.Popen[str], lines: int) -> list[str]:
    assert process.stdout is not None
    return [next(process.stdout).strip() for _ in range(lines)]


def _is_lent_to(served: Served, name: str, topic: str) -> bool:
    return asyncio.run(served.read(name, topic)).lent > PARTITIONS


def test_memory_of_killed_tasks_comes_back(served: Served) -> None:
    """They hold all there is when they are killed; nothing grows with how many were."""
    service = served.service
    in_use: list[int] = []
    for number in range(ROUNDS):
        topic, other = TOPICS if number % 2 else TOPICS[::-1]
        with ExitStack() as stack:
            keepers = [
                stack.enter_context(_keeper(served, f"killed-{number}-{n}", topic))
                for n in range(AT_ONCE)
            ]
            for n, keeper in enumerate(keepers):
                said = _hears(keeper, 3 + 2 * (number + n) % 7)
                assert "lent" in said or n, said
        eventually(partial(_is_lent_to, served, f"after-{number}", other), "memory for others")
        assert shared_bytes(service.pid) <= BUDGET
        in_use.append(service.descriptors_in_use())
    assert max(in_use[ROUNDS // 2 :]) <= max(in_use[: ROUNDS // 2]) + 4, in_use


def test_a_killed_service_changes_nothing_that_was_handed_over(served: Served) -> None:
    """And its task goes on where it was, with neither a gap nor a record twice."""
    topic, kills = TOPICS[1], 3
    settings = StreamSettings(reconnect_delay_max_s=0.5, batches_buffered_max=1)

    async def run() -> Kept:
        kept = Kept()
        kill_at = {2, 5, 9}
        async with (
            asyncio.timeout(PATIENCE_S),
            Client(served.service.address) as client,
            client.subscribe("survives", topics=[topic], mode=Mode.FULL, settings=settings) as s,
        ):
            async for batch in s:
                kept.add(batch)
                if len(kept.tables) in kill_at:
                    await asyncio.to_thread(served.service.kill)
                    kept.check()
                    await asyncio.to_thread(served.service.start)
        assert len(kept.tables) > max(kill_at) and len(kill_at) == kills
        return kept

    kept = asyncio.run(run())
    assert kept.told.lent
    rows = kept.told.delivered.of(topic)
    observed = [Observation("survives", number, rows[number]) for number in range(PARTITIONS)]
    assert not check(served.truth[topic], observed)
    for name in TOPICS:
        assert asyncio.run(served.read(f"after-kills-{name}", name)).lent
    kept.check()


def test_a_batch_that_is_kept_alone_keeps_its_memory(served: Served) -> None:
    """A column's slice is all that is left of it, and the stream is over."""

    async def run() -> list[tuple[pa.Array, list[str]]]:
        found = []
        async with (
            Client(served.service.address) as client,
            client.subscribe("slices", topics=[TOPICS[0]], mode=Mode.FULL) as stream,
        ):
            async for batch in stream:
                if is_lent(batch):
                    column = batch.to_arrow()["value"].chunk(0)[10:20]
                    found.append((column, column.to_pylist()))
        return found

    slices = asyncio.run(run())
    for number in range(3):
        for topic in TOPICS:
            asyncio.run(served.read(f"over-{number}-{topic}", topic))
    assert slices and all(column.to_pylist() == was for column, was in slices)


def test_what_is_very_much_once_it_is_decoded_comes_in_messages(
    kafka: KafkaBroker, served: Served
) -> None:
    """In few bytes as it is kept, and more than half of the memory otherwise."""
    topic = "compresses"
    text = "a" * 50_000
    rows = [OutRecord(b"k", json.dumps({"id": n, "text": text}).encode()) for n in range(400)]
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, rows)
    found = asyncio.run(told(served.service.address, "compresses", topic))
    again = asyncio.run(told(served.service.address, "compresses-again", topic))
    for each in (found, again):
        assert not each.wrong(read_all(kafka.bootstrap, topic), topic)
    assert not again.lent
