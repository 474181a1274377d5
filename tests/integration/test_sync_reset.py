"""`cachesvc-sync reset`: tasks that go on elsewhere, on a real service."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.faults.stage import eventually, objects
from tests.support.file_sink import offsets
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import create_topic, produce

pytestmark = pytest.mark.kafka

PARTITIONS = 2
_HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("service"), kafka.bootstrap) as running:
        yield running


@pytest.fixture
def topic(kafka: KafkaBroker, topic_name: Callable[[str], str]) -> str:
    """Fifty records in each partition, of which ten are of the last hour."""
    name = topic_name("reset")
    create_topic(kafka.bootstrap, name, PARTITIONS)
    now_ms = time.time_ns() // 1_000_000
    produce(kafka.bootstrap, name, objects(0, 80, PARTITIONS, timestamp_ms=now_ms - 2 * _HOUR_MS))
    produce(kafka.bootstrap, name, objects(80, 100, PARTITIONS, timestamp_ms=now_ms))
    return name


def goes_on_at(task: SyncProcess, *arguments: str) -> dict[int, int]:
    found = task.json("reset", str(task.file), "--yes", *arguments)
    assert not found["forgotten"]
    return {each["partition"]: each["offset"] for each in found["positions"]}


def test_a_task_goes_on_where_it_is_told_to(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    every = list(range(50))
    with SyncProcess(tmp_path, service.address, topic, {"source": {"mode": "FULL"}}) as task:
        assert task.wait() == 0

        def run_again() -> dict[int, list[int]]:
            task.output.unlink()
            assert task.start().wait() == 0
            return offsets(task.output, topic)

        assert goes_on_at(task, "--to", "earliest") == {0: 0, 1: 0}
        assert run_again() == {0: every, 1: every}
        an_hour_ago = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        assert goes_on_at(task, "--to", an_hour_ago) == {0: 40, 1: 40}
        assert run_again() == {0: every[40:], 1: every[40:]}
        named = ("--position", f"{topic}:0=48", "--position", f"{topic}:1=49")
        assert goes_on_at(task, *named) == {0: 48, 1: 49}
        assert run_again() == {0: every[48:], 1: every[49:]}
        assert goes_on_at(task, "--to", "latest") == {0: 50, 1: 50}
        assert run_again() == {}
        assert goes_on_at(task, "--forget-full-sync") == {}
        assert run_again() == {0: every, 1: every}


def test_a_task_that_never_ran_begins_where_it_is_told_to(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    task = SyncProcess(tmp_path, service.address, topic, {"source": {"mode": "FULL"}})
    assert goes_on_at(task) == {}
    assert goes_on_at(task, "--position", f"{topic}:0=45") == {0: 45, 1: 0}
    with task:
        assert task.wait() == 0
    assert offsets(task.output, topic) == {0: list(range(45, 50)), 1: list(range(50))}


def test_a_sink_that_keeps_positions_forgets_them(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    tables = {"source": {"mode": "FULL"}, "sink": {"kind": "parquet", "path": "files"}}

    def rows() -> int:
        return sum(
            pq.read_metadata(each).num_rows for each in (tmp_path / "files").rglob("*.parquet")
        )

    with SyncProcess(tmp_path, service.address, topic, tables) as task:
        assert task.wait() == 0 and rows() == 100
        found = task.json("reset", str(task.file), "--yes", "--position", f"{topic}:0=20")
        assert {each["partition"]: each["offset"] for each in found["forgotten"]} == {0: 50, 1: 50}
        assert task.start().wait() == 0
    assert rows() == 100 + 30 + 50


def test_a_task_that_runs_anywhere_is_not_reset(
    service: ServiceProcess, topic: str, tmp_path: Path
) -> None:
    with SyncProcess(tmp_path / "here", service.address, topic) as task:
        eventually(lambda: task.state == "running", "the task to run")
        here = task.call("reset", str(task.file), "--yes", "--to", "earliest")
        assert here.returncode == 5 and "cachesvc-sync stop" in here.stderr
        elsewhere = SyncProcess(tmp_path / "elsewhere", service.address, topic)
        other = elsewhere.call("reset", str(elsewhere.file), "--yes", "--to", "earliest")
        assert other.returncode == 5 and "perhaps on another machine" in other.stderr
        assert task.running


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "earliest"), "--yes does it"),
        (("--to", "some day", "--yes"), "is neither earliest, latest, a time"),
        (("--position", "orders:0", "--yes"), "is not TOPIC:PARTITION=OFFSET"),
        (("--to", "latest", "--position", "orders:0=1", "--yes"), "contradict each other"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    task = SyncProcess(tmp_path, "127.0.0.1:1", "orders")
    refused = task.call("reset", str(task.file), *arguments)
    assert refused.returncode == 2 and words in refused.stderr


def test_a_service_that_is_away_resets_nothing(tmp_path: Path) -> None:
    task = SyncProcess(tmp_path, "127.0.0.1:1", "orders")
    away = task.call("reset", str(task.file), "--yes", "--to", "earliest")
    assert away.returncode == 3 and away.stderr.startswith("error: ")
