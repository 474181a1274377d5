"""G2, G4: reader and service killed at random moments while older ranges are mined afterwards."""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cachesvc.client import Client, ClientError, Mode, Position, StreamSettings
from tests.faults.stage import Calls, check_manifest, eventually, kill_something, objects
from tests.support.alongside import seeded
from tests.support.checker import Delivery, Observation, Restart, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(600)]

DAY_MS = 86_400_000
PARTITIONS = 2
RECORDS = 60_000
ROUNDS = int(os.environ.get("CACHESVC_KILL_ROUNDS", "5"))
# Small journals, so that kills meet every stage: append, roll, seal, manifest, joining.
SETTINGS: dict[str, dict[str, object]] = {
    "store": {
        "segment_bytes_max": 1 << 20,
        "segment_age_s_max": 1.0,
        "memory_bytes_max": 1 << 20,
    },
    # Old records go once they were read.
    "retention": {"clock": "record"},
    "jobs.compact": {"interval_s": 2},
    "jobs.expire": {"interval_s": 1},
    "jobs.sweep": {"interval_s": 1, "grace_s": 1},
}


class Task:
    """Reads from a position on to the end, again and again from where it was."""

    def __init__(self, name: str, begin: int) -> None:
        self.name = name
        self.begin = begin
        self.positions = dict.fromkeys(range(PARTITIONS), begin)
        self.seen: dict[int, list[Delivery | Restart]] = {n: [] for n in range(PARTITIONS)}

    async def run(self, address: str, topic: str, end: int) -> None:
        while min(self.positions.values()) < end:
            with suppress(ClientError):
                async with Client(address) as client:
                    await self._stream(client, topic, end)
            await asyncio.sleep(0.05)

    async def _stream(self, client: Client, topic: str, end: int) -> None:
        subscribing = client.subscribe(
            self.name,
            topics=[topic],
            mode=Mode.INCREMENTAL,
            start=[Position(topic, n, at) for n, at in self.positions.items()],
            end=[Position(topic, n, end) for n in self.positions],
            settings=StreamSettings(give_up_after_s=0.1),
        )
        async with subscribing as stream:
            for (_, number), at in stream.started.positions.items():
                self.seen[number].append(Restart(at.offset))
            async for batch in stream:
                self.seen[batch.partition] += [(r.offset, r.value) for r in batch]
                self.positions[batch.partition] = batch.position.offset


def _forgets(service: ServiceProcess, topic: str, end: int) -> bool:
    with Calls(service.address) as calls:
        return {row.log_start_offset for row in calls.offsets(topic).values()} == {end}


def test_nothing_is_lost_or_repeated_when_processes_are_killed_in_a_backfill(
    kafka: KafkaBroker,
    kafka_proxy: TcpProxy,
    topic_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    topic, end = topic_name("fire"), RECORDS // PARTITIONS
    chance = seeded()
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    old_ms = int(time.time() * 1000) - 5 * DAY_MS
    produce(kafka.bootstrap, topic, objects(0, RECORDS, PARTITIONS, 300, old_ms))
    service = ServiceProcess(tmp_path, kafka.proxied_bootstrap, SETTINGS).start()
    tasks = [Task(f"task-{n}", chance.randrange(end)) for n in range(4)] + [Task("whole", 0)]

    async def run() -> int:
        in_time = 0
        kafka_proxy.delay(0.3)
        running = [asyncio.ensure_future(task.run(service.address, topic, end)) for task in tasks]
        for _ in range(ROUNDS):
            await asyncio.sleep(chance.random())
            in_time += not all(task.done() for task in running)
            await asyncio.to_thread(kill_something, service, chance)
        kafka_proxy.delay(0)
        async with asyncio.timeout(240):
            await asyncio.gather(*running)
        return in_time

    try:
        asyncio.run(full(service.address, "first", topic, commit=True))
        eventually(lambda: _forgets(service, topic, end), "retention")
        in_time = asyncio.run(run())
        print(f"{in_time} of {ROUNDS} kills met the backfill")
        assert in_time > 1, "everything was mined before anything was killed"
        truth = read_all(kafka.bootstrap, topic)
        everything = asyncio.run(full(service.address, "everything", topic)).of(topic)
        service.stop()
    finally:
        service.kill()
    for task in tasks:
        wanted = {n: [r for r in rows if r.offset >= task.begin] for n, rows in truth.items()}
        assert not check(wanted, [Observation(task.name, n, task.seen[n]) for n in wanted])
    assert not check(truth, [Observation("everything", n, everything[n]) for n in truth])
    check_manifest(service.store, topic, truth)
