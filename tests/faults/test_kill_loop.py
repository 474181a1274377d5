"""G2, G4, G5: reader and service killed at random moments while records are produced.

Afterwards the checker compares the whole store, and what every task saw over all its streams,
with what the broker has. CACHESVC_KILL_ROUNDS makes it longer.
"""

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from cachesvc.client import Client, ClientError, Mode, StreamSettings
from tests.faults.stage import check_manifest, kill_something
from tests.support.alongside import alongside, seeded
from tests.support.checker import Delivery, Observation, Restart, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, RecordWriter, create_topic, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = int(os.environ.get("CACHESVC_KILL_ROUNDS", "8"))
PARTITIONS = 3
TASKS = 3
CATCH_UP_S = 300.0


@dataclass
class Task:
    """A sync task that commits now and then, and begins again whenever its stream breaks."""

    name: str
    seen: dict[int, list[Delivery | Restart]] = field(
        default_factory=lambda: {n: [] for n in range(PARTITIONS)}
    )
    positions: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    committed: dict[int, int] = field(default_factory=dict)
    regressions: list[str] = field(default_factory=list)

    async def run(self, address: str, topic: str, chance: random.Random) -> None:
        """Streams until cancelled."""
        while True:
            with suppress(ClientError):
                async with Client(address) as client:
                    await self._stream(client, topic, chance)
            await asyncio.sleep(0.05)

    async def _stream(self, client: Client, topic: str, chance: random.Random) -> None:
        subscribing = client.subscribe(
            self.name,
            topics=[topic],
            mode=Mode.FULL_AND_INCREMENTAL,
            settings=StreamSettings(give_up_after_s=0.1),
        )
        async with subscribing as stream:
            for (_, number), at in stream.started.positions.items():
                if at.offset < self.committed.get(number, 0):
                    self.regressions.append(f"{self.name}/{number}: {at.offset}")
                self.seen[number].append(Restart(at.offset))
            async for batch in stream:
                self.seen[batch.partition] += [(r.offset, r.value) for r in batch]
                self.positions[batch.partition] = batch.position.offset
                if chance.random() < 0.3:
                    await stream.commit(batch.position)
                    self.committed[batch.partition] = batch.position.offset
                if chance.random() < 0.02:
                    return


def _producing(bootstrap: str, topic: str, chance: random.Random, stop: threading.Event) -> None:
    """Produces all the time."""
    with RecordWriter(bootstrap, "zstd") as writer:
        number = 0
        while not stop.is_set():
            for _ in range(chance.randrange(1, 400)):
                value = json.dumps({"id": number, "pad": "x" * chance.randrange(300)})
                record = OutRecord(key=str(number).encode(), value=value.encode())
                writer.write_record(topic, record, partition=number % PARTITIONS)
                number += 1
            writer.flush()
            time.sleep(chance.random() * 0.05)


def test_nothing_is_lost_or_repeated_when_processes_are_killed(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("kill")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    chance = seeded()
    # Small journals, so that kills meet every stage: append, roll, seal, manifest, compaction.
    settings = {
        "store": {"segment_bytes_max": 65_536, "memory_bytes_max": 262_144},
        "jobs.compact": {"interval_s": 1},
        "jobs.sweep": {"interval_s": 1, "grace_s": 1},
    }
    service = ServiceProcess(tmp_path, kafka.bootstrap, settings).start()
    tasks = [Task(f"task-{n}") for n in range(TASKS)]

    async def run() -> None:
        running = [
            asyncio.ensure_future(
                task.run(service.address, topic, random.Random(chance.getrandbits(32)))
            )
            for task in tasks
        ]
        theirs = random.Random(chance.getrandbits(32))
        with alongside(partial(_producing, kafka.bootstrap, topic, theirs)):
            for _ in range(ROUNDS):
                await asyncio.sleep(chance.random() * 1.5)
                await asyncio.to_thread(kill_something, service, chance)
        truth = await asyncio.to_thread(read_all, kafka.bootstrap, topic)
        ends = {n: rows[-1].offset + 1 for n, rows in truth.items()}
        give_up_s = time.monotonic() + CATCH_UP_S
        while not all(t.positions[n] >= ends[n] for t in tasks for n in ends):
            for task in running:
                if task.done():
                    task.result()
            assert time.monotonic() < give_up_s, f"{[t.positions for t in tasks]} of {ends}"
            await asyncio.sleep(0.1)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    try:
        asyncio.run(run())
        truth = read_all(kafka.bootstrap, topic)
        everything = asyncio.run(full(service.address, "everything", topic)).of(topic)
        service.stop()
    finally:
        service.kill()
    observed = [
        Observation(task.name, number, rows) for task in tasks for number, rows in task.seen.items()
    ]
    observed += [Observation("everything", number, everything.get(number, [])) for number in truth]
    assert not check(truth, observed)
    assert not [regression for task in tasks for regression in task.regressions]
    check_manifest(service.store, topic, truth)
