"""Workers that share a subscription: killed, stalled, coming and going while records are produced.

The checker compares what all members together got of each partition with what the broker has: each
assignment is a stream of its own, and what was committed before it began is not owed to anybody.
CACHESVC_MEMBER_ROUNDS makes it longer.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Client, Mode, Sharing
from cachesvc.v1 import log_cache_pb2 as pb
from tests.faults.stage import Calls, eventually, objects
from tests.support.alongside import alongside, seeded
from tests.support.checker import Delivery, Observation, Restart, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import (
    BrokerRecord,
    OutRecord,
    RecordWriter,
    create_topic,
    delete_records_before,
    produce,
    read_all,
)

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(600)]

ROUNDS = int(os.environ.get("CACHESVC_MEMBER_ROUNDS", "6"))
PARTITIONS = 6
COMMITTED_S = 240.0
WORKERS = 3
SNAPSHOTS = 3
"""Partitions of a topic that has some."""
SETTINGS = {"server": {"member_release_s": 1, "member_stall_s": 2}}


class Worker:
    """A process that is a member; what it says is kept with the time at which it was read."""

    def __init__(
        self,
        number: int,
        address: str,
        topic: str,
        said: Callable[..., None],
        *how: str,
    ) -> None:
        self.name = f"worker-{number}"
        module = "tests.faults.member_process"
        command = [sys.executable, "-m", module, address, topic, self.name, *how]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._listening = threading.Thread(target=self._listen, args=(said,), daemon=True)
        self._listening.start()

    def _listen(self, said: Callable[..., None]) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.endswith("\n"):
                    said(self.name, json.loads(line))

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def leave(self) -> None:
        """Has it go by itself; one that has hardly begun just ends."""
        self._process.terminate()
        assert self._process.wait(60) in (0, -signal.SIGTERM)
        self._listening.join()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listening.join()


@dataclass
class Group:
    """What all workers together said."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    streams: dict[tuple[str, int, int], list[Delivery | Restart]] = field(default_factory=dict)
    assignments: list[tuple[int, int, int]] = field(default_factory=list)
    delivered: dict[int, set[int]] = field(default_factory=dict)
    snapshots: list[tuple[int, int, bool]] = field(default_factory=list)

    def hear(self, worker: str, said: dict[str, Any]) -> None:
        with self.lock:
            if "assigned" in said:
                for number, offset, epoch in said["assigned"]:
                    self.streams[worker, number, epoch] = [Restart(offset)]
                    self.assignments.append((number, epoch, offset))
                self.snapshots += map(tuple, said["snapshots"])
            elif "rows" in said:
                number, epoch = said["partition"], said["epoch"]
                rows = [(at, value and value.encode()) for at, value in said["rows"]]
                self.streams[worker, number, epoch] += rows
                self.delivered.setdefault(number, set()).update(at for at, _ in rows)


def _producing(bootstrap: str, topic: str, chance: random.Random, stop: threading.Event) -> None:
    number = 0
    with RecordWriter(bootstrap, "lz4") as writer:
        while not stop.is_set():
            for record in objects(number, number + chance.randrange(1, 300), PARTITIONS, 200):
                writer.write_record(topic, record, partition=record.partition or 0)
                number += 1
            writer.flush()
            time.sleep(chance.random() * 0.05)


def _disturb(
    workers: list[Worker],
    start: Callable[[], Worker],
    service: ServiceProcess,
    chance: random.Random,
) -> None:
    """One of what happens to workers and services."""
    victim = chance.randrange(len(workers))
    match chance.choice(["kill", "stall", "leave", "more", "service"]):
        case "kill":
            workers.pop(victim).kill()
            workers.append(start())
        case "stall":
            workers[victim].signal(signal.SIGSTOP)
            time.sleep(3 + chance.random())
            workers[victim].signal(signal.SIGCONT)
        case "leave":
            workers.pop(victim).leave()
            if not workers:
                workers.append(start())
        case "more":
            workers.append(start())
        case "service":
            service.kill()
            service.start()


def test_members_killed_and_stalled_lose_nothing(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("members")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    chance = seeded()
    group = Group()
    with ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS) as service:
        numbers = iter(range(10_000))

        def start() -> Worker:
            return Worker(next(numbers), service.address, topic, group.hear)

        workers = [start() for _ in range(WORKERS)]
        try:
            theirs = random.Random(chance.getrandbits(32))
            with alongside(partial(_producing, kafka.bootstrap, topic, theirs)):
                eventually(lambda: len(group.delivered) == PARTITIONS, "all partitions begun")
                for _ in range(ROUNDS):
                    time.sleep(chance.random())
                    _disturb(workers, start, service, chance)
            truth = read_all(kafka.bootstrap, topic)
            ends = {number: rows[-1].offset + 1 for number, rows in truth.items()}
            with Calls(service.address) as calls:
                _all_committed(calls, ends)
            assert all(worker.lives for worker in workers), "one has ended by itself"
        finally:
            for worker in workers:
                worker.kill()
    _check(group, truth)


def test_members_killed_in_the_middle_of_snapshots(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    """Each partition is read from one snapshot, whoever reads it, and from the log behind it.

    Others are made meanwhile, which lack keys that were deleted since; and there is nothing before
    the first one to go back to, neither at the broker nor in the log.
    """
    topic = topic_name("snapshots")
    create_topic(kafka.bootstrap, topic, SNAPSHOTS)
    chance = seeded()
    group = Group()
    settings = {
        **SETTINGS,
        "store": {"segment_records_max": 300},
        "retention": {"age_s": 1, "unread_age_s": 3_600},
        "jobs.expire": {"interval_s": 86_400},
        "jobs.snapshot": {"interval_s": 86_400, "threads": 1, "kept": 1},
    }
    connection = {"snapshot_expression": topic}
    with ServiceProcess(tmp_path, kafka.bootstrap, settings, connection) as service:
        first = _table(kafka.bootstrap, topic, service)
        numbers = iter(range(10_000))

        def start(*stays: str) -> Worker:
            number = next(numbers)
            return Worker(number, service.address, topic, group.hear, "SNAPSHOT", *stays)

        workers = [start("STAYS") for _ in range(2)]
        try:
            eventually(lambda: group.delivered, "a snapshot begun")
            with Calls(service.address) as calls:
                eventually(lambda: _is_within(_stored(calls), first), "somebody in the middle")
            while workers:
                workers.pop().kill()
            workers += [start(), start()]
            for number in range(max(2, ROUNDS // 3)):
                time.sleep(chance.random())
                _disturb(workers, start, service, chance)
                changes = [OutRecord(key, None, partition=at) for at, key in _keys(number * 20, 20)]
                produce(kafka.bootstrap, topic, changes)
                _another_snapshot(service, topic)
            later = read_all(kafka.bootstrap, topic)
            ends = {number: rows[-1].offset + 1 for number, rows in later.items()}
            with Calls(service.address) as calls:
                _all_committed(calls, ends)
            assert all(worker.lives for worker in workers), "one has ended by itself"
        finally:
            for worker in workers:
                worker.kill()
    truth = {number: [*_latest(rows), *later[number]] for number, rows in first.items()}
    _check(group, truth)
    read = {(number, end) for number, end, _ in group.snapshots}
    assert read == {(number, rows[-1].offset + 1) for number, rows in first.items()}
    assert any(resumed for _, _, resumed in group.snapshots)


def _is_within(stored: Mapping[int, int], rows: Mapping[int, Sequence[BrokerRecord]]) -> bool:
    """Whether a position lies in the middle of a snapshot of these records."""
    return any(0 < offset <= rows[number][-1].offset for number, offset in stored.items())


def _keys(begin: int, count: int) -> list[tuple[int, bytes]]:
    """Partition and key of records of ``objects``."""
    return [(number % SNAPSHOTS, b"k%d" % number) for number in range(begin, begin + count)]


def _table(bootstrap: str, topic: str, service: ServiceProcess) -> dict[int, list[BrokerRecord]]:
    """Mines records, makes snapshots of them, and takes away all else; what was at the broker."""
    produce(bootstrap, topic, objects(0, 1_500, SNAPSHOTS, 1_000))
    produce(bootstrap, topic, [OutRecord(key, None, partition=at) for at, key in _keys(700, 200)])
    produce(bootstrap, topic, objects(900, 1_500, SNAPSHOTS, 1_000))
    truth = read_all(bootstrap, topic)
    asyncio.run(full(service.address, "mine", topic, commit=True))
    with Calls(service.address) as calls:
        calls.run_job("seal")
        assert calls.run_job("snapshot")["snapshots_made"] == SNAPSHOTS
        delete_records_before(
            bootstrap, topic, {n: rows[-1].offset + 1 for n, rows in truth.items()}
        )
        eventually(lambda: calls.run_job("expire") and not calls.segments(topic), "expiry")
    return truth


def _another_snapshot(service: ServiceProcess, topic: str) -> None:
    asyncio.run(full(service.address, "mine", topic, commit=True))
    with Calls(service.address) as calls:
        calls.run_job("seal")
        calls.run_job("snapshot")
        calls.run_job("expire")


def _latest(rows: Sequence[BrokerRecord]) -> list[BrokerRecord]:
    """The latest record of each key that is not deleted."""
    latest = {row.key: row for row in rows}
    found = (row for row in latest.values() if row.value is not None)
    return sorted(found, key=lambda row: row.offset)


def _stored(calls: Calls) -> dict[int, int]:
    request = pb.GetSubscriptionRequest(subscription="shared")
    found = calls.log_cache.GetSubscription(request, timeout=60).subscription
    return {each.position.partition: each.position.offset for each in found.partitions}


def _all_committed(calls: Calls, ends: Mapping[int, int]) -> None:
    try:
        eventually(lambda: _stored(calls) == ends, "everything committed", COMMITTED_S)
    except AssertionError as error:
        raise AssertionError(f"{error}, {_stored(calls)} of {ends}") from error


def _check(group: Group, truth: Mapping[int, Sequence[BrokerRecord]]) -> None:
    """No assignment is wrong in itself, none begins behind what is stored, and none is missing."""
    observed = [
        # Of one assignment only what came of it is owed; together they are everything.
        Observation(f"{worker}@{epoch}", number, rows[1:], _position(rows), _behind(rows))
        for (worker, number, epoch), rows in group.streams.items()
    ]
    assert not check(truth, observed)
    for number, records in truth.items():
        missing = {record.offset for record in records} - group.delivered[number]
        assert not missing, f"partition {number}: nobody got {sorted(missing)[:5]}"
    epochs = [(number, epoch) for number, epoch, _ in group.assignments]
    assert len(epochs) == len(set(epochs)), "an epoch was given twice"
    for number in truth:
        starts = [offset for of, _, offset in sorted(group.assignments) if of == number]
        assert starts == sorted(starts), "a stored position went back"


def _position(rows: list[Delivery | Restart]) -> int:
    assert isinstance(rows[0], Restart)
    return rows[0].position


def _behind(rows: list[Delivery | Restart]) -> int:
    last = rows[-1]
    return last.position if isinstance(last, Restart) else last[0] + 1


def test_a_stalled_member_is_told_and_comes_back(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    """Its client takes nothing while others do; afterwards it is a member again by itself."""
    topic = topic_name("stalled")
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, objects(0, 60_000, 2, 2_000))

    async def run(address: str) -> None:
        async with Client(address) as client, asyncio.timeout(120):

            def member(name: str) -> Any:
                return client.subscribe(
                    "shared",
                    topics=[topic],
                    mode=Mode.FULL_AND_INCREMENTAL,
                    sharing=Sharing.SHARED,
                    member=name,
                )

            async with member("slow") as slow, member("quick") as quick:
                seen: dict[int, set[int]] = {0: set(), 1: set()}
                taken = aiter(slow)
                await anext(taken)
                async for batch in quick:
                    seen[batch.partition].update(record.offset for record in batch)
                    await quick.commit(batch.position)
                    if len(seen[0]) == len(seen[1]) == 30_000:
                        break
                found = await client.get_subscription("shared")
                assert found.sharing is Sharing.SHARED
                assert sum(len(each.positions) for each in found.members) == 2
                # What it still had in hand goes nowhere, and it has a share again.
                reading = asyncio.create_task(_read(taken, slow))
                while True:
                    found = await client.get_subscription("shared")
                    if sorted(len(each.positions) for each in found.members) == [1, 1]:
                        break
                    await asyncio.sleep(0.1)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    with ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS) as service:
        asyncio.run(run(service.address))


async def _read(batches: Any, stream: Any) -> None:
    async for batch in batches:
        await stream.commit(batch.position)
