"""G17: a sync task, the service and the broker killed at random while records are produced.

The checker stands at the target. Nothing is lost, order holds, and what comes twice is what had not
been confirmed: a new run begins exactly at the position that the service had. CACHESVC_SYNC_ROUNDS
makes it longer.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults.killing import Killing, Victim, of_service, producing, rounds, stored
from tests.faults.stage import eventually, objects
from tests.support.alongside import alongside, seeded
from tests.support.checker import Observation, check
from tests.support.file_sink import events, mark, offsets
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import OutRecord, create_topic, read_all

ROUNDS = rounds(4)
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(600 + 60 * ROUNDS),
]

PARTITIONS = 3
_RECORDS_MAX = 20_000 * ROUNDS
_CATCH_UP_S = 300.0
_STILL_S = 2.0
"""A position that has been the same for so long is the one: no commit is on its way any more."""


def _record(number: int) -> OutRecord:
    (record,) = objects(number, number + 1, PARTITIONS, size=100)
    return record


def _restart(task: SyncProcess, service: ServiceProcess) -> None:
    """Starts a task that was killed; notes before where it has to go on."""
    kept, since_s = stored(service, task.name), time.monotonic()
    while time.monotonic() < since_s + _STILL_S:
        time.sleep(0.2)
        if (now := stored(service, task.name)) != kept:
            kept, since_s = now, time.monotonic()
    mark(task.output, kept)
    task.start()


def test_a_task_loses_nothing_and_repeats_only_what_was_not_confirmed(
    fresh_kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("kills")
    create_topic(fresh_kafka.bootstrap, topic, PARTITIONS)
    chance = seeded()
    tables = {"batch": {"records_max": 200, "wait_s_max": 0.02}}
    service = ServiceProcess(tmp_path / "service", fresh_kafka.bootstrap)
    with service, SyncProcess(tmp_path / "task", service.address, topic, tables) as task:
        restarted = Victim("task", task.kill, partial(_restart, task, service))
        broker = Victim("broker", fresh_kafka.kill, fresh_kafka.start)
        # Whoever notes where a task goes on needs the service.
        killing = Killing([restarted, *of_service(service), broker], chance, pairs=False)
        produce = partial(producing, fresh_kafka.bootstrap, topic, _record, _RECORDS_MAX)
        with alongside(produce):
            eventually(lambda: offsets(task.output, topic), "the first records")
            killing.run(ROUNDS)
            task.kill()
            _restart(task, service)
        truth = read_all(fresh_kafka.bootstrap, topic)
        ends = {number: records[-1].offset for number, records in truth.items()}
        try:
            eventually(lambda: _lasts(task, topic) == ends, "the task to catch up", _CATCH_UP_S)
        except AssertionError as error:
            raise AssertionError(f"{error}, {_lasts(task, topic)} of {ends}: {task.log}") from error
        assert task.terminate() == 0
    print(f"{ROUNDS} rounds, {sum(map(len, truth.values()))} records, kills: {killing}")
    seen = events(task.output, topic)
    assert not check(truth, [Observation("task", number, seen[number]) for number in truth])


def _lasts(task: SyncProcess, topic: str) -> dict[int, int]:
    return {number: found[-1] for number, found in offsets(task.output, topic).items()}
