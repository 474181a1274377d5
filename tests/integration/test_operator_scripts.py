"""Scripts of operators against a real service and a real broker, as cron and people run them."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import lag_reasons
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1 import mining_tasks_pb2 as mining
from tests.faults.stage import Calls, eventually
from tests.support.flights import load_flights
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import read_all
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic
from tests.support.writing import OutRecord, TransactionalWriter, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
SCRIPTS = Path(__file__).parents[2] / "scripts" / "ops"
NAMES = sorted(path.name for path in SCRIPTS.glob("*.py") if os.access(path, os.X_OK))
FLIGHTS = "flights-scripts"
ODD = "odd-scripts"
RECORDS = 3_000
KINDS = [
    OutRecord(b"k1", b'{"a": 1,\n "b": [2]}', (("h", b"v"), ("h", None)), 0, 1_700_000_000_000),
    OutRecord(b"k2", b"no json", (), 0, 1_700_000_001_000),
    OutRecord(b"\xff\x00", b'{"a":"\xc3\xa4, \\"b\\""}', (("b", b"\xfe"),), 0, 1_700_000_002_000),
    OutRecord(b"k1", None, (), 0, 1_700_000_003_000),
    OutRecord(None, b"[1]", (), 0, 1_700_000_004_000),
    OutRecord(None, b"{}", (), 0, 1_700_000_005_000),
]


@dataclass(frozen=True, slots=True)
class Scene:
    """A service with two topics that are cached whole, and no subscription but those of tests."""

    broker: KafkaBroker
    service: ServiceProcess
    calls: Calls

    def script(
        self, name: str, *arguments: str, address: str = "", stdin: int = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", str(SCRIPTS / name), *arguments],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            env={**os.environ, "CACHESVC_ADDRESS": address or self.service.address},
        )

    def rows(self, name: str, *arguments: str, code: int = 0) -> Any:
        """What a script says with --json."""
        done = self.script(name, *arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def read(self, subscription: str, topic: str, end: Mapping[int, int], commit: bool) -> int:
        """Reads up to an end, and commits or not; how many records."""
        ends = [pb.Position(topic=topic, partition=n, offset=at) for n, at in end.items()]
        request = pb.SubscribeRequest(
            subscription=subscription,
            topics=[topic],
            mode=pb.FULL_AND_INCREMENTAL,
            end=pb.Positions(positions=ends),
        )
        count, epoch = 0, 0
        for event in self.calls.log_cache.Subscribe(request, timeout=60):
            if event.WhichOneof("event") == "started":
                epoch = event.started.epoch
            count += event.batch.record_count
        if commit:
            self.calls.log_cache.Commit(
                pb.CommitRequest(subscription=subscription, epoch=epoch, positions=ends)
            )
        return count

    def forget(self, subscription: str) -> None:
        self.calls.log_cache.DeleteSubscription(
            pb.DeleteSubscriptionRequest(subscription=subscription)
        )

    def position(self, subscription: str) -> dict[int, int]:
        request = pb.GetSubscriptionRequest(subscription=subscription)
        found = self.calls.log_cache.GetSubscription(request).subscription
        return {part.position.partition: part.position.offset for part in found.partitions}


@pytest.fixture(scope="module")
def scene(kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    load_flights(kafka.bootstrap, FLIGHTS, RECORDS, 2)
    create_topic(kafka.bootstrap, ODD, 1)
    produce(kafka.bootstrap, ODD, KINDS)
    with TransactionalWriter(kafka.bootstrap) as writer:
        writer.abort(ODD, [OutRecord(None, b'{"aborted":1}', (), 0)])
    directory = tmp_path_factory.mktemp("scripts")
    connection = {"topic_expression": f"{FLIGHTS}|{ODD}"}
    service = ServiceProcess(directory, kafka.bootstrap, connection=connection)
    with service, Calls(service.address) as calls:
        found = Scene(kafka, service, calls)
        assert found.read("mined", FLIGHTS, {0: 1500, 1: 1500}, commit=False) == RECORDS
        assert found.read("odd", ODD, {0: 8}, commit=False) == 4
        for name in ("mined", "odd"):
            found.forget(name)
        yield found


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is_for_and_takes_nothing_else(scene: Scene, name: str) -> None:
    told = scene.script(name, "--help")
    assert told.returncode == 0
    assert len(told.stdout.splitlines()) > 15
    assert scene.script(name, "--nonsense").returncode == 2
    assert f"## {name}" in (SCRIPTS.parents[1] / "docs" / "scripts.md").read_text(encoding="utf-8")


def test_exit_codes_are_those_of_the_command_line(scene: Scene) -> None:
    away = "127.0.0.1:1"
    with ThreadPoolExecutor(2) as both:
        codes = both.map(
            lambda call: scene.script(*call[0], address=call[1]).returncode,
            [
                (("inspect_cache.py",), away),
                (("why_lag.py",), away),
                (("dump_range.py", FLIGHTS), away),
                (("why_lag.py", "no-such-subscription"), ""),
                (("inspect_cache.py", "no-such-topic"), ""),
                (("dump_range.py", "no-such-topic"), ""),
                (("reset_subscription.py", "no-such-subscription", "--yes"), ""),
                (("drain.py", "--connection", "no-such-connection"), ""),
            ],
        )
        assert list(codes) == [3, 3, 3, 4, 4, 4, 4, 4]


def test_inspect_tells_topics_and_fails_where_one_is_not_mined(scene: Scene) -> None:
    found = {row["topic"]: row for row in scene.rows("inspect_cache.py")["topics"]}
    assert (found[FLIGHTS]["cached"], found[FLIGHTS]["behind"]) == (RECORDS, 0)
    assert (found[FLIGHTS]["partitions"], found[ODD]["rejects"]) == (2, 2)
    scene.read("watcher", FLIGHTS, {0: 1500, 1: 1500}, commit=True)
    stop = mining.StopMinedTopicRequest(connection="default", topic=FLIGHTS)
    start = mining.StartMinedTopicRequest(connection="default", topic=FLIGHTS)
    scene.calls.admin.StopMinedTopic(stop)
    try:
        (row,) = scene.rows("inspect_cache.py", FLIGHTS, code=1)["topics"]
        assert (row["state"], row["needed"], row["subscriptions"]) == ("STOPPED", True, 1)
        table = scene.script("inspect_cache.py")
        assert table.returncode == 1
        assert "3,000" in table.stdout and "STOPPED" in table.stdout
    finally:
        scene.calls.admin.StartMinedTopic(start)
        scene.forget("watcher")


def test_lag_has_a_reason(scene: Scene) -> None:
    scene.read("half", FLIGHTS, {0: 500, 1: 1500}, commit=True)
    rows = scene.rows("why_lag.py", "half", code=1)
    assert [(row["partition"], row["behind"], row["reason"]) for row in rows] == [
        (0, 1000, "NOT_CONNECTED")
    ]
    assert scene.rows("why_lag.py", "half", "--records-max", "1000") == []
    request = pb.SubscribeRequest(
        subscription="half", topics=[FLIGHTS], mode=pb.FULL_AND_INCREMENTAL
    )
    stream = scene.calls.log_cache.Subscribe(request, timeout=60)
    assert any(event.WhichOneof("event") == "caught_up" for event in stream)
    (row,) = scene.rows("why_lag.py", "--connection", "default", code=1)
    assert (row["subscription"], row["reason"]) == ("half", "NOT_COMMITTED")
    assert "sink" in row["advice"]
    stream.cancel()
    scene.forget("half")


@pytest.mark.parametrize(
    ("log_end", "source", "committed", "delivered", "reason"),
    [
        (10, 10, 0, None, "NOT_CONNECTED"),
        (10, 10, 0, 2, "NOT_DELIVERED"),
        (10, 10, 0, 9, "NOT_COMMITTED"),
        (10, 100, 5, 10, "MINING_BLOCKED"),
        (10, 12, 0, None, "NOT_CONNECTED"),
        (10, None, 0, 2, "NOT_DELIVERED"),
    ],
)
def test_the_reason_is_the_step_with_most_of_it(
    log_end: int, source: int | None, committed: int, delivered: int | None, reason: str
) -> None:
    of = pb.PartitionOffsets(
        log_end_offset=log_end, source_high_watermark=source, mining_state=pb.BLOCKED
    )
    assert lag_reasons.reason(of, committed, delivered) == reason


def test_what_is_below_the_cache_waits_for_its_backfill() -> None:
    missing = pb.OffsetRange(begin_offset=0, end_offset=50)
    of = pb.PartitionOffsets(log_start_offset=50, log_end_offset=60, backfill=missing)
    assert lag_reasons.reason(of, 10, 20) == "BACKFILL"


def dumped(scene: Scene, *arguments: str) -> list[dict[str, Any]]:
    done = scene.script("dump_range.py", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_dump_is_what_the_broker_has(scene: Scene) -> None:
    truth = read_all(scene.broker.bootstrap, FLIGHTS)[1]
    lines = dumped(scene, FLIGHTS, "--partition", "1", "--from", "700", "--to", "710")
    assert [line["offset"] for line in lines] == list(range(700, 710))
    assert [line["value"] for line in lines] == [
        json.loads(record.value or b"") for record in truth[700:710]
    ]
    assert len(dumped(scene, FLIGHTS, "--from", "1490")) == 20
    late = scene.script("dump_range.py", FLIGHTS, "--from", "99999")
    assert (late.returncode, late.stdout) == (0, "")


def test_a_dump_has_the_lines_of_tail(scene: Scene) -> None:
    lines = dumped(scene, ODD)
    tail = subprocess.run(
        [sys.executable, "-m", "cachesvc", "tail", ODD, "--no-follow", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "CACHESVC_ADDRESS": scene.service.address},
    )
    assert lines == [json.loads(line) for line in tail.stdout.splitlines()]
    assert [line["offset"] for line in lines] == [0, 2, 3, 5]
    assert [line["offset"] for line in dumped(scene, ODD, "--from", "2023-11-14T22:13:22")] == [
        2,
        3,
        5,
    ]
    assert len(dumped(scene, ODD, "--to", "2023-11-14T22:13:22Z")) == 1


def test_the_cache_is_compared_with_the_broker(scene: Scene, tmp_path: Path) -> None:
    rows = scene.rows("compare_with_broker.py", FLIGHTS)
    assert [(row["cache_records"], row["broker_records"]) for row in rows] == [(1500, 1500)] * 2
    assert all(row["cache_checksum"] == row["broker_checksum"] for row in rows)
    assert rows[0]["cache_checksum"] != rows[1]["cache_checksum"]
    (odd,) = scene.rows("compare_with_broker.py", ODD, "--connection", "default")
    assert (odd["cache_records"], odd["broker_records"], odd["rejected"]) == (4, 4, 2)
    (part,) = scene.rows(
        "compare_with_broker.py", FLIGHTS, "--partition", "0", "--from", "10", "--to", "20"
    )
    assert (part["cache_records"], part["same"]) == (10, True)


def test_a_difference_is_found(scene: Scene, tmp_path: Path) -> None:
    """Who reads uncommitted sees a record that was aborted, which the cache rightly has not."""
    settings = tmp_path / "kafka.toml"
    settings.write_text('isolation_level = "read_uncommitted"\n')
    (odd,) = scene.rows(
        "compare_with_broker.py",
        ODD,
        "--kafka",
        scene.broker.bootstrap,
        "--kafka-settings",
        str(settings),
        code=1,
    )
    assert (odd["cache_records"], odd["broker_records"], odd["same"]) == (4, 5, False)


def test_a_reset_shows_before_and_after(scene: Scene) -> None:
    scene.read("moved", FLIGHTS, {0: 500, 1: 1500}, commit=True)
    refused = scene.script("reset_subscription.py", "moved", "--to", "latest")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    rows = scene.rows("reset_subscription.py", "moved", "--to", "latest", "--yes")
    assert [(row["before"], row["after"], row["moved"]) for row in rows] == [
        (500, 1500, 1000),
        (1500, 1500, 0),
    ]
    assert scene.position("moved") == {0: 1500, 1: 1500}
    for answer, code, position in (("n", 1, 1500), ("y", 0, 0)):
        person, terminal = pty.openpty()
        os.write(person, f"{answer}\n".encode())
        done = scene.script("reset_subscription.py", "moved", "--to", "earliest", stdin=terminal)
        os.close(person)
        os.close(terminal)
        assert (done.returncode, scene.position("moved")[0]) == (code, position)
        assert "1,500" in done.stdout and "Reset moved?" in done.stdout
    scene.forget("moved")


def task_state(scene: Scene) -> int:
    (task,) = scene.calls.admin.ListMiningTasks(mining.ListMiningTasksRequest()).tasks
    return int(task.state)


def test_drained_is_when_all_is_committed_and_nothing_is_mined(scene: Scene) -> None:
    request = pb.SubscribeRequest(
        subscription="live", topics=[FLIGHTS], mode=pb.FULL_AND_INCREMENTAL
    )
    stream = scene.calls.log_cache.Subscribe(request, timeout=90)
    epoch = next(iter(stream)).started.epoch
    (row, *_) = scene.rows("drain.py", "--wait-s-max", "1", code=1)
    assert row["waits_for"] == "live"
    assert task_state(scene) == mining.TASK_RUNNING
    terminated = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "drain.py"), "--address", scene.service.address]
    )
    eventually(lambda: task_state(scene) == mining.TASK_STOPPED, "mining to be stopped")
    terminated.terminate()
    assert terminated.wait(30) == 143
    assert task_state(scene) == mining.TASK_RUNNING
    with ThreadPoolExecutor(1) as beside:
        draining = beside.submit(scene.script, "drain.py", "--wait-s-max", "60")
        eventually(lambda: task_state(scene) == mining.TASK_STOPPED, "mining to be stopped")
        ends = [pb.Position(topic=FLIGHTS, partition=n, offset=1500) for n in (0, 1)]
        delivered = sum(event.batch.record_count for event in until_caught_up(stream))
        assert delivered == RECORDS
        assert not draining.done()
        scene.calls.log_cache.Commit(
            pb.CommitRequest(subscription="live", epoch=epoch, positions=ends)
        )
        done = draining.result()
    assert done.returncode == 0, done.stderr
    assert task_state(scene) == mining.TASK_STOPPED
    assert scene.calls.topic(FLIGHTS).segment_count > 0
    assert scene.script("drain.py", "--resume").returncode == 0
    eventually(lambda: task_state(scene) == mining.TASK_RUNNING, "mining to go on")
    stream.cancel()
    scene.forget("live")


def until_caught_up(stream: Any) -> Iterator[Any]:
    for event in stream:
        if event.WhichOneof("event") == "caught_up":
            return
        yield event


def test_an_export_is_the_topic_in_every_format(scene: Scene, tmp_path: Path) -> None:
    truth = read_all(scene.broker.bootstrap, FLIGHTS)
    wanted = sorted((n, r.offset, r.value) for n, records in truth.items() for r in records)
    parquet, table, lines = (tmp_path / f"flights.{kind}" for kind in ("parquet", "csv", "jsonl"))
    for path in (parquet, table, lines):
        (row,) = scene.rows("export_topic.py", FLIGHTS, "--output", str(path))
        assert (row["records"], row["file_bytes"]) == (RECORDS, path.stat().st_size)
    columns = pq.read_table(parquet).to_pydict()
    values = [value.encode() for value in columns["value"]]
    assert sorted(zip(columns["partition"], columns["offset"], values, strict=True)) == wanted
    assert pq.ParquetFile(parquet).num_row_groups == 1
    with table.open(newline="") as file:
        rows = [(int(r["partition"]), int(r["offset"]), r["value"]) for r in csv.DictReader(file)]
    assert sorted((n, at, value.encode()) for n, at, value in rows) == wanted
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    places = sorted((line["partition"], line["offset"]) for line in found)
    assert places == [(n, at) for n, at, _ in wanted]
    assert sorted(tmp_path.iterdir()) == sorted((parquet, table, lines))


def test_odd_records_are_exported_too(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    assert scene.script("export_topic.py", ODD, "--output", str(path)).returncode == 0
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == ["k1", "base64:/wA=", "k1", ""]
    assert json.loads(rows[1]["headers"]) == [{"key": "b", "value": "base64:/g=="}]
    assert rows[0]["value"] == (KINDS[0].value or b"").decode()


def test_a_failed_export_leaves_what_was_there(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "kept.parquet"
    path.write_text("before")
    assert scene.script("export_topic.py", "no-such", "--output", str(path)).returncode == 4
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    assert scene.script("export_topic.py", FLIGHTS, "--output", f"{path}.x").returncode == 2


def test_scripts_leave_no_subscription_behind(scene: Scene) -> None:
    dumped(scene, FLIGHTS, "--to", "5")
    scene.rows("compare_with_broker.py", ODD)
    found = scene.calls.log_cache.ListSubscriptions(pb.ListSubscriptionsRequest()).subscriptions
    assert [each.name for each in found] == []
