"""G17: tasks with sinks of their own kind, the service and brokers killed at random; the checker
stands at the targets.

Kafka: three brokers, which are source and target. What is written exactly once, and the files of
Parquet, have each record once; others have what was not confirmed again, and nothing else.
CACHESVC_SYNC_ROUNDS makes it longer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.copies import Copy, Written, of_lines, of_parquet, of_topic
from tests.faults.killing import (
    Killing,
    Victim,
    of_service,
    of_task,
    of_writing_task,
    producing,
    rounds,
)
from tests.faults.stage import objects
from tests.support.alongside import alongside, seeded
from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_cluster import KafkaCluster
from tests.support.reading import await_decided
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import OutRecord, create_topic, read_all

ROUNDS = rounds(6)
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(600 + 60 * ROUNDS),
]

Name = Callable[[str], str]
PARTITIONS = 3
_RECORDS_MAX = 20_000 * ROUNDS
_PLACES = [[2, 3, 1], [3, 1, 2], [1, 2, 3]]
_BATCH = {"records_max": 200, "wait_s_max": 0.02}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """Three brokers, which tests leave running."""
    options = ("-XX:TieredStopAtLevel=1",)
    with KafkaCluster(tmp_path_factory.mktemp("cluster"), options) as started:
        yield started


def _record(number: int) -> OutRecord:
    (record,) = objects(number, number + 1, PARTITIONS, size=100)
    return record


def _copy(
    directory: Path,
    service: ServiceProcess,
    topic: str,
    sink: dict[str, Any],
    written: Callable[[], Written],
    *,
    once: bool,
) -> Copy:
    tables = {"": {"name": directory.name}, "sink": sink, "batch": _BATCH}
    return Copy(SyncProcess(directory, service.address, topic, tables), written, once)


def _kill_and_check(
    bootstrap: str,
    topic: str,
    service: ServiceProcess,
    copies: Sequence[Copy],
    killing: Killing,
) -> None:
    """Kills whatever there is while records come; then everything has to be at the targets."""
    began_s = time.monotonic()

    def note() -> None:
        for copy in copies:
            copy.note(service)

    with service, ExitStack() as stack:
        for copy in copies:
            stack.enter_context(copy.task)
        with alongside(partial(producing, bootstrap, topic, _record, _RECORDS_MAX)):
            for copy in copies:
                copy.await_begun(service)
            killing.run(ROUNDS, note)
        truth = read_all(bootstrap, topic)
        for copy in copies:
            copy.finish(service, {number: rows[-1].offset + 1 for number, rows in truth.items()})
    repeated = {copy.task.name: copy.check(truth) for copy in copies}
    print(
        f"{ROUNDS} rounds, {sum(map(len, truth.values()))} records, kills: {killing}; "
        f"again: {repeated}; {time.monotonic() - began_s:.0f} s"
    )


def test_killed_at_random_topics_of_three_brokers_have_what_was_promised(
    cluster: KafkaCluster, topic_name: Name, tmp_path: Path
) -> None:
    source, once, again = topic_name("source"), topic_name("once"), topic_name("again")
    topics = {source, once, again}
    for topic in topics:
        cluster.create_topic(topic, _PLACES, {"min.insync.replicas": "2"})

    def start() -> None:
        """Starts all that are dead, and has them lead again: whoever is next leads something."""
        cluster.start()
        for topic in topics:
            for number, nodes in enumerate(_PLACES):
                cluster.await_in_sync(topic, nodes, number)
                cluster.elect_preferred(topic, number)

    def committed() -> Written:
        await_decided(cluster.bootstrap, once)
        return of_topic(cluster.bootstrap, once)

    service = ServiceProcess(
        tmp_path / "service",
        cluster.servers[0],
        connection={"bootstrap_servers": cluster.servers},
    )
    into = {"kind": "kafka", "bootstrap_servers": cluster.servers, "partitioner": "keep"}
    exactly = {
        "topic": once,
        "exactly_once": True,
        "acks": "majority",
        "positions_topic": topic_name("positions"),
        "replicas": 3,
        "transaction_timeout_s": 10,
    }
    copies = [
        _copy(tmp_path / "once", service, source, {**into, **exactly}, committed, once=True),
        _copy(
            tmp_path / "again",
            service,
            source,
            {**into, "topic": again, "acks": "all"},
            partial(of_topic, cluster.bootstrap, again),
            once=False,
        ),
    ]
    brokers = [
        Victim(f"broker {node}", partial(cluster.kill_broker, node), start) for node in (2, 3)
    ]
    victims = [*(of_task(copy.task) for copy in copies), *of_service(service), *brokers]
    killing = Killing(victims, seeded())
    _kill_and_check(cluster.bootstrap, source, service, copies, killing)


def test_killed_at_random_files_have_what_was_promised(
    fresh_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("source")
    create_topic(fresh_kafka.bootstrap, topic, PARTITIONS)
    service = ServiceProcess(tmp_path / "service", fresh_kafka.bootstrap)
    lake, lines = tmp_path / "lake", tmp_path / "lines"
    copies = [
        _copy(
            tmp_path / "parquet",
            service,
            topic,
            {"kind": "parquet", "path": str(lake)},
            partial(of_parquet, lake),
            once=True,
        ),
        _copy(
            tmp_path / "jsonl",
            service,
            topic,
            {"kind": "jsonl", "path": str(lines)},
            partial(of_lines, lines),
            once=False,
        ),
    ]

    def writes() -> bool:
        """Whether the task has said which files will come, and not yet that they have."""
        ledger = lake / "_cachesvc" / "parquet.json"
        return ledger.exists() and bool(json.loads(ledger.read_bytes()).get("pending"))

    chance = seeded()
    parquet, jsonl = (copy.task for copy in copies)
    victims = [of_writing_task(parquet, writes, chance), of_task(jsonl), *of_service(service)]
    victims.append(Victim("broker", fresh_kafka.kill, fresh_kafka.start))
    killing = Killing(victims, chance)
    _kill_and_check(fresh_kafka.bootstrap, topic, service, copies, killing)
