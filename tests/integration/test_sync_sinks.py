"""Tasks with each sink, on a real service: what arrives, and one record that the sink refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.faults.stage import eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(180)]

POISON = 57
RECORDS = 100
Numbers = Callable[[], list[int]]
"""The numbers that a target has; sorted."""
Target = tuple[dict[str, Any], Numbers]


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("service"), kafka.bootstrap) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer({"fsync": "off"}) as running:
        yield running


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        numbers = [each["value"]["number"] for each in sent]
        refused = any(not isinstance(number, int) for number in numbers)
        if not refused:
            self.server.numbers += numbers  # type: ignore[attr-defined]
        self.send_response(422 if refused else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def http(tmp_path: Path) -> Iterator[Target]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as receiver:
        receiver.numbers = []  # type: ignore[attr-defined]
        thread = Thread(target=receiver.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{receiver.server_port}/"
        yield {"kind": "http", "url": url}, lambda: sorted(receiver.numbers)  # type: ignore[attr-defined]
        receiver.shutdown()
        thread.join()


@pytest.fixture
def postgres(server: PostgresServer, tmp_path: Path) -> Target:
    server.run("drop table if exists numbers")
    server.run("create table numbers (number int primary key)")
    (tmp_path / "password").write_text(PASSWORD)
    settings = {
        "kind": "postgres",
        "conninfo": server.dsn,
        "password_file": "../password",
        "table": "numbers",
    }
    return settings, lambda: sorted(row[0] for row in server.run("select number from numbers"))


@pytest.fixture
def parquet(tmp_path: Path) -> Target:
    settings = {"kind": "parquet", "path": "lake", "columns": {"number": "int64"}}

    def numbers() -> list[int]:
        files = (tmp_path / "task" / "lake").rglob("*.parquet")
        return sorted(
            n for file in files for n in pq.ParquetFile(file).read()["number"].to_pylist()
        )

    return settings, numbers


@pytest.fixture
def jsonl(tmp_path: Path) -> Target:
    """Values alone have no place for a delete, which is what is refused here."""

    def numbers() -> list[int]:
        lines = (tmp_path / "task" / "lines").glob("*.jsonl")
        text = "".join(path.read_text() for path in lines)
        return sorted(json.loads(line)["number"] for line in text.splitlines())

    return {"kind": "jsonl", "path": "lines", "lines": "value"}, numbers


def _records(poison: bytes | None) -> list[OutRecord]:
    values = {number: b'{"number": %d}' % number for number in range(RECORDS)}
    return [
        OutRecord(key=b"%d" % number, value=poison if number == POISON else value, partition=0)
        for number, value in values.items()
    ]


@pytest.mark.parametrize("kind", ["postgres", "parquet", "jsonl", "http"])
def test_one_poisoned_record_is_kept_apart_and_all_others_arrive(
    kind: str,
    kafka: KafkaBroker,
    service: ServiceProcess,
    topic_name: Callable[[str], str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    settings, numbers = request.getfixturevalue(kind)
    topic = topic_name(kind)
    create_topic(kafka.bootstrap, topic, 1)
    poison = None if kind == "jsonl" else b'{"number": "no number"}'
    produce(kafka.bootstrap, topic, _records(poison))
    tables: dict[str, dict[str, Any]] = {
        "sink": settings,
        "source": {"mode": "FULL"},
        "errors": {"policy": "dead-letter", "dead_letters": "letters"},
    }
    task = SyncProcess(tmp_path / "task", service.address, topic, tables)
    good = [number for number in range(RECORDS) if number != POISON]
    with task:
        assert task.wait() == 0, task.log
        assert numbers() == good
        status = task.status()
        assert status is not None and (status.state, status.refused) == ("done", 1)
        (letter,) = task.json("dead-letters", "list", str(task.file))
        assert (letter["topic"], letter["offset"]) == (topic, POISON)
        # Run again, it has nothing to do: no target gets anything twice.
        produce(
            kafka.bootstrap, topic, [OutRecord(key=b"k", value=b'{"number": 1000}', partition=0)]
        )
        assert task.start().wait() == 0, task.log
        eventually(lambda: numbers() == [*good, 1000], "the new one alone")
