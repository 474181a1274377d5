"""G17: tasks, service, broker and database killed at random; the checker stands at the table.

The position is in the same transaction as the rows, so each change is there once. A trigger refuses
whatever comes again or in another order. CACHESVC_SYNC_ROUNDS makes it longer.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.faults.killing import Killing, Victim, of_service, of_task, producing, rounds
from tests.faults.stage import eventually
from tests.support.alongside import alongside, seeded
from tests.support.kafka_broker import KafkaBroker
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import BrokerRecord, OutRecord, create_topic, read_all

ROUNDS = rounds(5)
pytestmark = [
    pytest.mark.kafka,
    pytest.mark.postgres,
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(600 + 60 * ROUNDS),
]

PARTITIONS = 3
_COUNTERS = 30
_RECORDS_MAX = 20_000 * ROUNDS
_WRITTEN_S = 300.0
"""Until all that was produced is in the table; tasks begin again, and the machine is busy."""
_TABLE = """
create table arrived (
    id int primary key, partition int, number int, arrival bigserial
);
create function strictly_later() returns trigger language plpgsql as $$
begin
    if new.number <= old.number then
        raise exception 'number % of row % came after %', new.number, new.id, old.number;
    end if;
    return new;
end $$;
create trigger strictly_later before update on arrived
for each row execute function strictly_later();
"""


def _record(number: int) -> OutRecord:
    """Every third changes one of a few rows, which stay in their partitions; others are new."""
    counter = number % 3 == 0
    id_ = -1 - number // 3 % _COUNTERS if counter else number
    partition = id_ % PARTITIONS
    value = {"id": id_, "partition": partition, "number": number}
    return OutRecord(key=b"%d" % id_, value=json.dumps(value).encode(), partition=partition)


def _produce(bootstrap: str, topic: str) -> Callable[[threading.Event], None]:
    return partial(producing, bootstrap, topic, _record, _RECORDS_MAX)


def _task(
    directory: Path,
    service: ServiceProcess,
    topic: str,
    server: PostgresServer,
    more: Mapping[str, dict[str, Any]] | None = None,
) -> SyncProcess:
    directory.mkdir(exist_ok=True)
    password = directory / "password"
    password.write_text(PASSWORD + "\n")
    sink = {
        "kind": "postgres",
        "conninfo": server.dsn,
        "password_file": str(password),
        "table": "arrived",
        "leave": ["arrival"],
    }
    tables: dict[str, dict[str, Any]] = {
        "sink": sink,
        "batch": {"records_max": 700, "wait_s_max": 0.02},
        **(more or {}),
    }
    return SyncProcess(directory / "task", service.address, topic, tables)


def test_killed_at_random_every_change_is_in_the_table_once(
    fresh_kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("kills")
    create_topic(fresh_kafka.bootstrap, topic, PARTITIONS)
    service = ServiceProcess(tmp_path / "service", fresh_kafka.bootstrap)
    with PostgresServer() as server, service:
        server.run(_TABLE)
        with _task(tmp_path, service, topic, server) as task:
            database = Victim("database", server.kill, server.start)
            broker = Victim("broker", fresh_kafka.kill, fresh_kafka.start)
            victims = [of_task(task, "task"), database, *of_service(service), broker]
            killing = Killing(victims, seeded())
            with alongside(_produce(fresh_kafka.bootstrap, topic)):
                eventually(lambda: server.run("select 1 from arrived limit 1"), "the first rows")
                killing.run(ROUNDS)
            truth = read_all(fresh_kafka.bootstrap, topic)
            _await(server, truth)
            assert task.terminate() == 0, task.log
        rows = server.run(_ROWS)
    print(f"{ROUNDS} rounds, {sum(map(len, truth.values()))} records, kills: {killing}")
    _check(truth, rows)


def test_tasks_that_share_write_every_change_once(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    """Whoever has a partition, also where one that was asleep goes on writing what it has lost."""
    topic = topic_name("shared-table")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    chance = seeded()
    bounds = {"server": {"member_release_s": 0.5, "member_stall_s": 1}}
    service = ServiceProcess(tmp_path / "service", kafka.bootstrap, bounds)
    with PostgresServer() as server, service, ExitStack() as tasks:
        server.run(_TABLE)
        crew: list[SyncProcess] = []

        def add() -> None:
            name = f"task-{len(crew)}"
            more = {
                "": {"name": name},
                "source": {"subscription": "crew", "sharing": "shared"},
            }
            crew.append(tasks.enter_context(_task(tmp_path / name, service, topic, server, more)))

        def disturb(what: str) -> None:
            match what:
                case "asleep":
                    victim = chance.choice(crew)
                    os.kill(victim.pid, signal.SIGSTOP)
                    time.sleep(2.5)
                    os.kill(victim.pid, signal.SIGCONT)
                case "killed":
                    victim = chance.choice(crew)
                    victim.kill()
                    victim.start()
                case "more":
                    add()
                case "service":
                    service.kill()
                    service.start()
                case "database":
                    server.kill()
                    server.start()

        add()
        add()
        with alongside(_produce(kafka.bootstrap, topic)):
            eventually(lambda: server.run("select 1 from arrived limit 1"), "the first rows")
            each = ("asleep", "killed", "database", "more", "service")
            turns = chance.sample(each, len(each)) + chance.choices(each, k=ROUNDS)
            for what in turns[: max(ROUNDS, 3)]:
                time.sleep(chance.random())
                disturb(what)
        truth = read_all(kafka.bootstrap, topic)
        _await(server, truth)
        assert [task.terminate() for task in crew] == [0] * len(crew), [t.log for t in crew]
        rows = server.run(_ROWS)
        assert server.run("select distinct task from cachesvc_sync_positions") == [("crew",)]
    _check(truth, rows)


_ROWS = "select id, partition, number from arrived order by arrival"


def _await(server: PostgresServer, truth: Mapping[int, Sequence[BrokerRecord]]) -> None:
    ends = {(number, records[-1].offset + 1) for number, records in truth.items()}
    try:
        eventually(lambda: _positions(server) == ends, "all to be written", timeout_s=_WRITTEN_S)
    except AssertionError as error:
        raise AssertionError(f"{error}, {_positions(server)} of {ends}") from error


def _check(
    truth: Mapping[int, Sequence[BrokerRecord]], rows: Sequence[tuple[int, int, int]]
) -> None:
    latest = {
        value["id"]: value["number"]
        for records in truth.values()
        for value in (json.loads(record.value or b"") for record in records)
    }
    assert {id_: number for id_, _, number in rows} == latest
    for partition in truth:
        # Rows that are written once stay in the order in which they came.
        numbers = [number for id_, of, number in rows if of == partition and id_ >= 0]
        assert numbers == sorted(numbers)


def _positions(server: PostgresServer) -> set[tuple[int, int]]:
    try:
        return set(server.run("select partition, next_offset from cachesvc_sync_positions"))
    except psycopg.Error:
        return set()
