"""Sync tasks that share a subscription, killed, ended and joined by others while records come.

The check stands at their targets: together they have every record, what was confirmed never comes
again, whoever has the partition then, and each partition is written in order but where it changes
hands. CACHESVC_SYNC_ROUNDS makes it longer.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cachesvc.v1 import log_cache_pb2 as pb
from tests.faults.killing import rounds
from tests.faults.stage import Calls, eventually, objects
from tests.support.alongside import alongside, seeded
from tests.support.checker import Observation, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import BrokerRecord, RecordWriter, create_topic, read_all

ROUNDS = rounds(5)
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(400 + 40 * ROUNDS),
]

PARTITIONS = 4
SHARED = "shared-tasks"
# A delivery in hand is given the time to end, however busy the machine is.
SETTINGS = {"server": {"member_release_s": 20}}
HANDS_PER_ROUND = 4
"""How often a partition changes hands for one thing that happens to the tasks, at most."""


@dataclass
class Moment:
    """What the service had stored, and how much each task had written a little later."""

    stored: Mapping[int, int]
    written: Mapping[Path, int]


@dataclass
class Crew:
    """Tasks that share, those that have ended too."""

    directory: Path
    service: ServiceProcess
    topic: str
    tasks: list[SyncProcess] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def add(self) -> None:
        name = f"task-{len(self.outputs)}"
        tables: dict[str, dict[str, Any]] = {
            "": {"name": name},
            "source": {"subscription": SHARED, "sharing": "shared"},
            "batch": {"records_max": 200, "wait_s_max": 0.02},
        }
        task = SyncProcess(self.directory / name, self.service.address, self.topic, tables)
        self.tasks.append(task.start())
        self.outputs.append(task.output)

    def note(self, calls: Calls) -> None:
        stored = _stored(calls)
        sizes = {path: path.stat().st_size if path.exists() else 0 for path in self.outputs}
        self.moments.append(Moment(stored, sizes))

    def disturb(self, chance: random.Random) -> None:
        victim = chance.choice(self.tasks)
        match chance.choice(["kill", "kill", "end", "more", "service"]):
            case "kill":
                victim.kill()
                victim.start()
            case "end":
                assert victim.terminate() == 0
                self.tasks.remove(victim)
                self.add()
            case "more":
                self.add()
            case "service":
                self.service.kill()
                self.service.start()


def test_shared_tasks_lose_nothing_and_repeat_nothing_that_was_confirmed(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("shared")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    chance = seeded()
    with (
        ServiceProcess(tmp_path / "service", kafka.bootstrap, SETTINGS) as service,
        Calls(service.address) as calls,
    ):
        crew = Crew(tmp_path, service, topic)
        try:
            for _ in range(2):
                crew.add()
            with alongside(partial(_producing, kafka.bootstrap, topic)):
                eventually(lambda: len(_written(crew)) == PARTITIONS, "all partitions begun")
                for _ in range(ROUNDS):
                    time.sleep(chance.random() * 2)
                    crew.note(calls)
                    crew.disturb(chance)
            truth = read_all(kafka.bootstrap, topic)
            ends = {number: rows[-1].offset + 1 for number, rows in truth.items()}
            eventually(lambda: _stored(calls) == ends, "everything stored")
            assert [task.terminate() for task in crew.tasks] == [0] * len(crew.tasks)
        finally:
            for task in crew.tasks:
                task.kill()
    _check(crew, truth)


def _producing(bootstrap: str, topic: str, stop: threading.Event) -> None:
    number = 0
    with RecordWriter(bootstrap) as writer:
        while not stop.is_set():
            for record in objects(number, number + 300, PARTITIONS, size=100):
                writer.write_record(topic, record)
            number += 300
            writer.flush()
            time.sleep(0.1)


def _stored(calls: Calls) -> dict[int, int]:
    request = pb.GetSubscriptionRequest(subscription=SHARED)
    found = calls.log_cache.GetSubscription(request, timeout=60, wait_for_ready=True).subscription
    return {each.position.partition: each.position.offset for each in found.partitions}


def _check(crew: Crew, truth: Mapping[int, Sequence[BrokerRecord]]) -> None:
    written = _written(crew)
    for number, records in truth.items():
        # One observation for each assignment: where hands change, records may come again.
        stretches = [each for path in crew.outputs for each in _stretches(path, number)]
        observed = [
            Observation(str(at), number, each, each[0][0], each[-1][0] + 1)
            for at, each in enumerate(stretches)
        ]
        assert not check(truth, observed)
        missing = {record.offset for record in records} - written[number]
        assert not missing, f"partition {number}: nobody got {sorted(missing)[:5]}"
        assert len(stretches) <= 2 + HANDS_PER_ROUND * ROUNDS, "order holds only by accident"
    for moment in crew.moments:
        for path in crew.outputs:
            for number, offset, _ in _lines(path, moment.written.get(path, 0)):
                stored = moment.stored.get(number, 0)
                assert offset >= stored, f"{path}: {number}@{offset} came again, {stored} is stored"


def _written(crew: Crew) -> dict[int, set[int]]:
    found: defaultdict[int, set[int]] = defaultdict(set)
    for path in crew.outputs:
        for number, offset, _ in _lines(path):
            found[number].add(offset)
    return found


def _stretches(path: Path, partition: int) -> list[list[tuple[int, bytes | None]]]:
    """What one task wrote of a partition, cut where an offset does not follow the one before."""
    found: list[list[tuple[int, bytes | None]]] = []
    for number, offset, value in _lines(path):
        if number == partition:
            if not found or offset != found[-1][-1][0] + 1:
                found.append([])
            found[-1].append((offset, None if value is None else value.encode()))
    return found


def _lines(path: Path, begin: int = 0) -> Iterator[tuple[int, int, str | None]]:
    """Partition, offset and value of lines behind a place; a line that it cuts is left out."""
    content = path.read_bytes() if path.exists() else b""
    if begin and content[begin - 1 : begin] != b"\n":
        begin = content.find(b"\n", begin) + 1 or len(content)
    for line in content[begin : content.rfind(b"\n") + 1].splitlines():
        fields = json.loads(line)
        if fields:
            yield fields[1], fields[2], fields[3]
