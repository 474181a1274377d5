"""``cachesvc sql`` against a running service, and how it ends."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.frames import Record, frame, full_frames
from tests.support.ports import HOST, free_ports
from tests.support.service import ServiceProcess
from tests.unit.log.running import append, filled, roll, running

pytestmark = pytest.mark.timeout(180)
ENDLESS = "select sum(i * j) from range(1000000000000) a(i), range(1000000) b(j)"
ODD = [
    Record(300, '{"id": 300, "text": "a,\\"b\\"\\nc"}', None),
    Record(301, None, b"\xff"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service whose brokers are away; its store has 302 records of orders."""
    directory = tmp_path_factory.mktemp("sql")
    process = ServiceProcess(
        directory, f"{HOST}:{free_ports(1)[0]}", {"sql": {"queries_max": 2, "time_s_max": 120}}
    )

    async def fill() -> None:
        async with running(process.store) as store:
            log = await filled(store, full_frames(0, 200, 100))
            await roll(store, log)
            await append(store, log, [*full_frames(200, 300, 100), frame(300, 302, ODD)])

    asyncio.run(fill())
    with process:
        yield process


def started(service: ServiceProcess, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cachesvc", "sql", "--address", service.address, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )


def output(service: ServiceProcess, *arguments: str, given: bytes = b"") -> bytes:
    process = started(service, *arguments)
    out, err = process.communicate(given, timeout=60)
    assert process.returncode == 0, err.decode()
    return out


def test_csv_from_standard_input(service: ServiceProcess) -> None:
    sql = b"""select "offset", key, value, [1, 2] as list, null as nothing
              from log('orders') where "offset" >= 299 order by 1"""
    text = output(service, "-", "--format", "csv", given=sql).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["offset", "key", "value", "list", "nothing"],
        ["299", "k4", '{"id":299}', "[1, 2]", ""],
        ["300", "", '{"id": 300, "text": "a,\\"b\\"\\nc"}', "[1, 2]", ""],
        ["301", r"\xFF", "", "[1, 2]", ""],
    ]


def test_the_plan(service: ServiceProcess) -> None:
    text = output(service, "select count(*) from log('orders')", "--explain").decode()
    assert "ARROW_SCAN" in text


def test_a_topic_that_is_not_there(service: ServiceProcess) -> None:
    process = started(service, "from log('ordres')")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (4, b"")
    assert b"did you mean 'orders'" in err


def queries(service: ServiceProcess) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(service.pid).children():
        try:
            if "cachesvc.sql.process" in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


def eventually(wanted: int, service: ServiceProcess) -> None:
    deadline = time.monotonic() + 60
    while len(queries(service)) != wanted:
        assert time.monotonic() < deadline, f"{len(queries(service))} queries run"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whoever_is_interrupted_ends_the_query(
    service: ServiceProcess, number: signal.Signals
) -> None:
    process = started(service, ENDLESS)
    eventually(1, service)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    eventually(0, service)
    assert output(service, "select 1 as one").split() == [b"ONE", b"1"]


def test_a_killed_query_is_told(service: ServiceProcess) -> None:
    process = started(service, ENDLESS)
    eventually(1, service)
    queries(service)[0].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"was killed by SIGKILL" in err
    assert service.running


def test_a_query_ends_with_its_service(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path, f"{HOST}:{free_ports(1)[0]}") as own:
        process = started(own, ENDLESS)
        eventually(1, own)
        (query,) = queries(own)
        own.kill()
        process.communicate(timeout=60)
        assert process.returncode == 3
        query.wait(30)


def test_a_service_that_is_stopped_ends_queries_and_says_so(tmp_path: Path) -> None:
    settings = {"server": {"shutdown_grace_s": 60}}
    with ServiceProcess(tmp_path, f"{HOST}:{free_ports(1)[0]}", settings) as own:
        process = started(own, ENDLESS)
        eventually(1, own)
        assert own.stop(60) < 30
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3
        assert b"the service is about to end" in err
