"""G17: a sync task, the service and the broker killed at random while records are produced.

The checker stands at the target. Nothing is lost, order holds, and what comes twice is what had not
been confirmed: a new run begins exactly at the position that the service had. CACHESVC_SYNC_ROUNDS
makes it longer.
"""

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cachesvc.client import Client, ClientError, NotFound
from tests.faults.stage import WAIT_S, eventually, kill_something, objects
from tests.support.alongside import alongside, seeded
from tests.support.checker import Observation, check
from tests.support.file_sink import events, mark, offsets
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import RecordWriter, create_topic, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = int(os.environ.get("CACHESVC_SYNC_ROUNDS", "4"))
PARTITIONS = 3
_CATCH_UP_S = 300.0
_STILL_S = 2.0
"""A position that has been the same for so long is the one: no commit is on its way any more."""


def _producing(bootstrap: str, topic: str, stop: threading.Event) -> None:
    """Produces all the time; a broker that is away is waited for."""
    number = 0
    with RecordWriter(bootstrap) as writer:
        while not stop.is_set():
            for record in objects(number, number + 300, PARTITIONS, size=100):
                writer.write_record(topic, record)
            number += 300
            writer.flush(WAIT_S)
            time.sleep(0.1)


def _stored(service: ServiceProcess, name: str) -> dict[int, int]:
    """Where the service has the task, by partition; asked until it answers."""

    async def ask() -> dict[int, int] | None:
        try:
            async with Client(service.address, call_timeout_s=5.0) as client:
                found = await client.get_subscription(name)
        except NotFound:
            return {}
        except ClientError:
            return None
        return {each.position.partition: each.position.offset for each in found.partitions}

    def answer() -> list[dict[int, int]]:
        positions = asyncio.run(ask())
        return [] if positions is None else [positions]

    return eventually(answer, "the service to tell the position")[0]


def _restart(task: SyncProcess, service: ServiceProcess) -> None:
    """Kills the task and starts it again; notes in between where it has to go on."""
    task.kill()
    stored, since_s = _stored(service, task.name), time.monotonic()
    while time.monotonic() < since_s + _STILL_S:
        time.sleep(0.2)
        if (now := _stored(service, task.name)) != stored:
            stored, since_s = now, time.monotonic()
    mark(task.output, stored)
    task.start()


def _kill(
    chance: random.Random, task: SyncProcess, service: ServiceProcess, kafka: KafkaBroker
) -> None:
    """Kills one of them, and starts it again."""
    match chance.choice(["task", "task", "service", "broker"]):
        case "task":
            _restart(task, service)
        case "service":
            kill_something(service, chance)
        case "broker":
            kafka.kill()
            kafka.start()


def test_a_task_loses_nothing_and_repeats_only_what_was_not_confirmed(
    fresh_kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("kills")
    create_topic(fresh_kafka.bootstrap, topic, PARTITIONS)
    chance = seeded()
    tables = {"batch": {"records_max": 200, "wait_s_max": 0.02}}
    service = ServiceProcess(tmp_path / "service", fresh_kafka.bootstrap)
    with service, SyncProcess(tmp_path / "task", service.address, topic, tables) as task:
        with alongside(partial(_producing, fresh_kafka.bootstrap, topic)):
            eventually(lambda: offsets(task.output, topic), "the first records")
            for _ in range(ROUNDS):
                time.sleep(chance.random() * 1.5)
                _kill(chance, task, service, fresh_kafka)
            _restart(task, service)
        truth = read_all(fresh_kafka.bootstrap, topic)
        ends = {number: records[-1].offset for number, records in truth.items()}
        try:
            eventually(lambda: _lasts(task, topic) == ends, "the task to catch up", _CATCH_UP_S)
        except AssertionError as error:
            raise AssertionError(f"{error}, {_lasts(task, topic)} of {ends}: {task.log}") from error
        assert task.terminate() == 0
    seen = events(task.output, topic)
    assert not check(truth, [Observation("task", number, seen[number]) for number in truth])


def _lasts(task: SyncProcess, topic: str) -> dict[int, int]:
    return {number: found[-1] for number, found in offsets(task.output, topic).items()}
