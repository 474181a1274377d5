"""Sync tasks as processes on a real service: the command line, modes, dead letters, the recipe."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Client, NotFound, Subscription
from tests.faults.stage import eventually, objects
from tests.support.file_sink import offsets, runs
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import OutRecord, create_topic, produce, read_all
from tests.support.webhook import WebhookServer

pytestmark = pytest.mark.kafka

PARTITIONS = 2
_SLOW = """
import time

def slow(batch):
    time.sleep(0.4)
    return batch
"""
Written = Callable[[SyncProcess, str], int]


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("service"), kafka.bootstrap) as running:
        yield running


@pytest.fixture
def topic(kafka: KafkaBroker, topic_name: Callable[[str], str]) -> str:
    """A topic with 200 records, one hundred in each partition."""
    name = topic_name("sync")
    create_topic(kafka.bootstrap, name, PARTITIONS)
    produce(kafka.bootstrap, name, objects(0, 200, PARTITIONS))
    return name


def written(task: SyncProcess, topic: str) -> int:
    return sum(map(len, offsets(task.output, topic).values()))


def subscription(service: ServiceProcess, name: str) -> Subscription | None:
    async def ask() -> Subscription | None:
        async with Client(service.address) as client:
            try:
                return await client.get_subscription(name)
            except NotFound:
                return None

    return asyncio.run(ask())


def source(**settings: Any) -> dict[str, dict[str, Any]]:
    return {"source": settings}


def test_a_full_sync_ends_by_itself_and_goes_on_at_its_position(
    kafka: KafkaBroker, service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    with SyncProcess(tmp_path, service.address, topic, source(mode="FULL")) as task:
        assert task.wait() == 0
        assert offsets(task.output, topic) == {n: list(range(100)) for n in range(PARTITIONS)}
        status = task.ended()
        assert (status.state, status.records, status.share) == ("done", 200, 1.0)
        found = subscription(service, f"task-{topic}")
        assert found is not None and found.full_sync_done and found.lag.records == 0
        produce(kafka.bootstrap, topic, objects(200, 210, PARTITIONS))
        assert task.start().wait() == 0
    assert offsets(task.output, topic) == {n: list(range(105)) for n in range(PARTITIONS)}


def test_an_incremental_task_begins_at_the_end_and_then_at_its_position(
    kafka: KafkaBroker, service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    with SyncProcess(tmp_path, service.address, topic, source(mode="INCREMENTAL")) as task:
        eventually(lambda: task.state == "running", "the task to run")
        produce(kafka.bootstrap, topic, objects(200, 204, PARTITIONS))
        eventually(lambda: written(task, topic) == 4, "the new records")
        assert task.terminate() == 0
        produce(kafka.bootstrap, topic, objects(204, 208, PARTITIONS))
        task.start()
        eventually(lambda: written(task, topic) == 8, "what came meanwhile")
    assert offsets(task.output, topic) == {n: list(range(100, 104)) for n in range(PARTITIONS)}


def test_a_task_gets_what_its_filter_leaves_and_its_position_covers_the_rest(
    kafka: KafkaBroker, service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    settings = source(filter="value.id >= 20 and value.id < 30", mode="FULL_AND_INCREMENTAL")
    with SyncProcess(tmp_path, service.address, topic, settings) as task:
        eventually(lambda: written(task, topic) == 10, "what the filter leaves")
        produce(kafka.bootstrap, topic, objects(200, 300, PARTITIONS))
        eventually(lambda: lag(service, topic) == (0, 300), "a position behind all that came")
        assert task.terminate() == 0
    assert offsets(task.output, topic) == {n: list(range(10, 15)) for n in range(PARTITIONS)}
    with SyncProcess(tmp_path / "wrong", service.address, topic, source(filter="id > 5")) as task:
        assert task.wait() != 0
        assert "INVALID_FILTER" in task.log_path.read_text()
    tail = ["tail", topic, "--address", service.address, "--no-follow", "--json"]
    chosen = ["--filter", 'starts_with(key, "k29") and value.id > 290', "--field", "id"]
    command = [sys.executable, "-m", "cachesvc", *tail, *chosen]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = sorted(json.loads(line)["value"]["id"] for line in shown.stdout.splitlines())
    assert found == list(range(291, 300))


def lag(service: ServiceProcess, topic: str) -> tuple[int, int]:
    """Records behind the committed positions, and before them."""
    found = subscription(service, f"task-{topic}")
    assert found is not None
    return found.lag.records, sum(each.position.offset for each in found.partitions)


def test_a_running_task_is_shown_paused_resumed_and_stopped(
    kafka: KafkaBroker, service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    with SyncProcess(tmp_path, service.address, topic) as task:
        eventually(lambda: written(task, topic) == 200, "all records")
        # What was written is counted a moment later.
        eventually(lambda: task.json("status")[0]["records"] == 200, "them to be counted")
        (shown,) = task.json("status")
        name = shown["name"]
        assert (name, shown["state"], shown["records"]) == (task.name, "running", 200)
        assert task.json("pause", name)["state"] == "paused"
        produce(kafka.bootstrap, topic, objects(200, 210, PARTITIONS))
        time.sleep(0.5)
        assert written(task, topic) == 200
        assert task.json("resume", str(task.file))["state"] == "running"
        eventually(lambda: written(task, topic) == 210, "what came while it was paused")
        second = task.call("run", str(task.file), "--state", str(tmp_path / "state"))
        assert second.returncode == 5 and "runs in another process" in second.stderr
        assert task.json("stop", name)["state"] == "stopped"
        assert task.wait() == 0
        assert task.call("pause", name).returncode == 4
        shown = task.call("status")
    assert shown.returncode == 0 and "stopped" in shown.stdout
    assert offsets(task.output, topic) == {n: list(range(105)) for n in range(PARTITIONS)}


def test_a_task_that_was_killed_goes_on_where_it_was(
    kafka: KafkaBroker, service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    with SyncProcess(tmp_path, service.address, topic) as task:
        eventually(lambda: written(task, topic) == 200, "all records")
        eventually(lambda: _lag(service, topic) == 0, "the position to be stored")
        task.kill()
        shown = task.call("status")
        assert shown.returncode == 1 and "died" in shown.stdout
        produce(kafka.bootstrap, topic, objects(200, 210, PARTITIONS))
        task.start()
        eventually(lambda: written(task, topic) >= 210, "the new records")
    assert offsets(task.output, topic) == {n: list(range(105)) for n in range(PARTITIONS)}


def _lag(service: ServiceProcess, topic: str) -> int:
    found = subscription(service, f"task-{topic}")
    return -1 if found is None else found.lag.records


def test_a_check_tries_both_ends_and_leaves_nothing_behind(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    tables = {"source": {"filter": 'value.id >= 7 and not key == "x"'}}
    good = SyncProcess(tmp_path / "good", service.address, topic, tables)
    found = good.json("check", str(good.file))
    assert [each["check"] for each in found] == [
        "file",
        "service",
        "topics",
        "filter",
        "position",
        "sink: write",
    ]
    assert all(each["passed"] for each in found)
    assert subscription(service, f"task-{topic}") is None
    assert not good.output.exists()


def test_a_check_says_what_is_wrong(service: ServiceProcess, topic: str, tmp_path: Path) -> None:
    tables: dict[str, dict[str, Any]] = {"sink": {"path": "/nowhere/at/all"}}
    bad = SyncProcess(tmp_path / "topic", service.address, "no-such-topic", tables)
    failed = {each["check"] for each in bad.json("check", str(bad.file)) if not each["passed"]}
    assert failed == {"topics", "sink: write"}
    unread = SyncProcess(
        tmp_path / "filter", service.address, topic, {"source": {"filter": "x =="}}
    )
    (found,) = [
        each for each in unread.json("check", str(unread.file)) if each["check"] == "filter"
    ]
    assert not found["passed"] and "filter" in found["detail"]
    assert subscription(service, f"task-{topic}") is None
    away = SyncProcess(tmp_path / "away", "127.0.0.1:1", topic)
    shown = away.call("check", str(away.file))
    assert shown.returncode == 1 and "Start the service" in shown.stdout
    wrong = SyncProcess(tmp_path / "wrong", service.address, topic, {"sink": {"pth": "x"}})
    shown = wrong.call("check", str(wrong.file))
    assert shown.returncode == 2 and "sink.pth: there is no such setting" in shown.stdout
    assert wrong.call("run", str(wrong.file)).returncode == 2


def test_dead_letters_are_listed_exported_and_tried_again(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    tables: dict[str, dict[str, Any]] = {
        "source": {"mode": "FULL"},
        "sink": {"refuse": '"id": 77,'},
        "errors": {"policy": "dead-letter", "dead_letters": "letters"},
    }
    with WebhookServer() as webhook:
        tables["alarms"] = {"webhook_url": webhook.url}
        with SyncProcess(tmp_path, service.address, topic, tables) as task:
            assert task.wait() == 0
        (alarm,) = webhook.taken
        assert (alarm["event"], alarm["kind"]) == ("raised", "RECORDS_REFUSED")
        assert alarm["message"] == "1 records are refused and kept apart"
    assert written(task, topic) == 199 and task.ended().refused == 1
    (letter,) = task.json("dead-letters", "list", str(task.file))
    assert (letter["topic"], letter["partition"], letter["offset"]) == (topic, 1, 38)
    assert (letter["reason"], letter["stage"]) == ("UNWANTED", "sink")
    assert json.loads(letter["value"])["id"] == 77
    exported = task.call("dead-letters", "export", str(task.file)).stdout
    assert json.loads(exported) == letter
    again = task.call("dead-letters", "retry", str(task.file))
    assert (again.returncode, again.stdout) == (1, "0 written, 1 refused again\n")
    task.file.write_text(task.file.read_text().replace("refuse = ", "# "))
    again = task.call("dead-letters", "retry", str(task.file))
    assert (again.returncode, again.stdout) == (0, "1 written, 0 refused again\n")
    assert task.json("dead-letters", "list", str(task.file)) == []
    assert written(task, topic) == 200
    assert sorted(offsets(task.output, topic)[1]) == list(range(100))


def test_a_refused_record_ends_a_task_that_is_to_stop(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    tables: dict[str, dict[str, Any]] = {"sink": {"refuse": '"id": 77,'}}
    with SyncProcess(tmp_path, service.address, topic, tables) as task:
        assert task.wait() == 1
        status = task.ended()
    assert status.trouble is not None
    assert (status.state, status.trouble.reason) == ("failed", "UNWANTED")
    assert f"{topic}/1 at offset 38" in status.trouble.message


def test_several_tasks_run_in_one_process(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    full = source(mode="FULL")
    good = SyncProcess(tmp_path / "good", service.address, topic, full)
    bad = SyncProcess(
        tmp_path / "bad",
        service.address,
        topic,
        {**full, "": {"name": "bad"}, "sink": {"refuse": "id"}},
    )
    ended = good.call("run", str(good.file), str(bad.file), "--json", "--state", str(tmp_path))
    first, second = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert (first["state"], second["state"]) == ("done", "failed")
    assert written(good, topic) == 200


def test_a_full_sync_has_a_bar_on_a_terminal(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    tables = {**source(mode="FULL"), "batch": {"records_max": 25}}
    task = SyncProcess(tmp_path, service.address, topic, tables)
    (tmp_path / "slow.py").write_text(_SLOW)
    with task.file.open("a") as file:
        file.write('[[transforms]]\nkind = "python"\nfunction = "slow:slow"\non = "batches"\n')
        file.write('directory = "."\n')
    screen, terminal = pty.openpty()
    code = task.start(terminal).wait()
    os.close(terminal)
    shown = b""
    with suppress(OSError):  # what a terminal says at its end
        while part := os.read(screen, 65_536):
            shown += part
    os.close(screen)
    assert code == 0
    assert "━━━" in shown.decode()
    assert "200 records" in shown.decode() and "100%" in shown.decode()
    halfway = r"\b(\d+) records, ([1-9]\d*)(?:\.\d+)?/s, [\d.]+ \w+, \d\d%, \d+(?:\.\d+)? m?s left"
    assert re.search(halfway, shown.decode()), shown.decode()


def test_tasks_that_share_a_subscription_read_each_partition_once(
    kafka: KafkaBroker, service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    """What a second one gets, the first one has written and stored before."""
    shares = source(sharing="shared", subscription=f"shared-{topic}")

    def members() -> list[int]:
        found = subscription(service, f"shared-{topic}")
        return [] if found is None else [len(each.positions) for each in found.members]

    with (
        SyncProcess(tmp_path / "one", service.address, topic, shares) as one,
        SyncProcess(tmp_path / "two", service.address, topic, shares) as two,
    ):
        eventually(lambda: members() == [1, 1], "a partition for each")
        eventually(lambda: written(one, topic) + written(two, topic) == 200, "all records")
        produce(kafka.bootstrap, topic, objects(200, 220, PARTITIONS))
        eventually(lambda: written(one, topic) + written(two, topic) == 220, "all records")
        parts = [offsets(each.output, topic) for each in (one, two)]
        both = [sorted(o for part in parts for o in part.get(n, [])) for n in range(PARTITIONS)]
        assert both == [list(range(110))] * PARTITIONS
        assert one.terminate() == 0
        eventually(lambda: members() == [2], "both for the other")
        produce(kafka.bootstrap, topic, objects(220, 240, PARTITIONS))
        eventually(lambda: written(one, topic) + written(two, topic) == 240, "all records")


def test_a_full_sync_that_is_shared_ends_for_all(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    shares = source(sharing="shared", mode="FULL", subscription=f"full-{topic}")
    with (
        SyncProcess(tmp_path / "one", service.address, topic, shares) as one,
        SyncProcess(tmp_path / "two", service.address, topic, shares) as two,
    ):
        assert (one.wait(), two.wait()) == (0, 0)
        parts = [offsets(each.output, topic) for each in (one, two)]
    for number in range(PARTITIONS):
        assert {o for part in parts for o in part.get(number, [])} == set(range(100))
    found = subscription(service, f"full-{topic}")
    assert found is not None and found.full_sync_done


LOADED_UNTIL_MS = 1_700_000_000_000


@pytest.fixture
def accounts(kafka: KafkaBroker, topic_name: Callable[[str], str]) -> str:
    """Changes of ten accounts, one a second, before and after the moment of the load."""
    name = topic_name("accounts")
    create_topic(kafka.bootstrap, name, PARTITIONS)
    records = [
        OutRecord(
            key=b"%d" % (number % 10),
            value=b'{"id":%d,"balance":%d}' % (number % 10, number),
            partition=number % 10 % PARTITIONS,
            timestamp_ms=LOADED_UNTIL_MS + (number - 100) * 1_000,
        )
        for number in range(200)
    ]
    produce(kafka.bootstrap, name, records)
    return name


def _balances(values: list[bytes]) -> dict[int, int]:
    """The table after some changes."""
    rows = map(json.loads, values)
    return {row["id"]: row["balance"] for row in rows}


def _applied(table: dict[int, int], task: SyncProcess, topic: str) -> dict[int, int]:
    """The table after what a task wrote, which an upserting sink would have made of it."""
    result = dict(table)
    for run in runs(task.output, topic):
        for rows in run.values():
            result |= _balances([(value or "").encode() for _, value in rows])
    return result


def test_a_task_joins_an_initial_load_at_a_time(
    kafka: KafkaBroker, service: ServiceProcess, accounts: str, tmp_path: Path
) -> None:
    truth = read_all(kafka.bootstrap, accounts)
    everything = [r.value or b"" for rows in truth.values() for r in rows]
    # The load took a while: it has some changes from behind the moment that was noted.
    loaded = _balances(
        [
            r.value or b""
            for rows in truth.values()
            for r in rows
            if r.timestamp_ms < LOADED_UNTIL_MS + 30_000
        ]
    )
    start = source(mode="INCREMENTAL", start=LOADED_UNTIL_MS)
    with SyncProcess(tmp_path, service.address, accounts, start) as task:
        eventually(lambda: written(task, accounts) == 100, "every change since the moment")
    assert loaded != _balances(everything)
    assert _applied(loaded, task, accounts) == _balances(everything)


def test_a_task_joins_an_initial_load_at_positions(
    kafka: KafkaBroker, service: ServiceProcess, accounts: str, tmp_path: Path
) -> None:
    truth = read_all(kafka.bootstrap, accounts)
    everything = [r.value or b"" for rows in truth.values() for r in rows]
    loaded = _balances([r.value or b"" for rows in truth.values() for r in rows[:60]])
    positions = [
        {"topic": accounts, "partition": number, "offset": 60} for number in range(PARTITIONS)
    ]
    start = source(mode="INCREMENTAL", start=positions)
    with SyncProcess(tmp_path, service.address, accounts, start) as task:
        eventually(lambda: written(task, accounts) == 80, "every change behind the positions")
        eventually(lambda: _lag(service, accounts) == 0, "the position to be stored")
        task.kill()
        task.start()
        eventually(lambda: task.state == "running", "the task to run again")
    assert offsets(task.output, accounts) == {n: list(range(60, 100)) for n in range(PARTITIONS)}
    assert _applied(loaded, task, accounts) == _balances(everything)


def test_ten_lines_of_python_are_a_task(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    program = Path(__file__).parents[2] / "clients/sync/examples/own_sink.py"
    assert len(program.read_text().splitlines()) <= 40
    ended = subprocess.run(
        [sys.executable, str(program), service.address, topic],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(ended.stdout.splitlines()) == 200
