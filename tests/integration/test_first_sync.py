"""docs/first-sync.md, typed: from a topic to a filled table."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.stage import eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST, free_ports
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.postgres, pytest.mark.timeout(420)]
PAGE = Path(__file__).parents[2] / "docs" / "first-sync.md"
_ORDERS = 1_000
_FIVE_MINUTES = 300


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)\n```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def _order(number: int, amount: str) -> OutRecord:
    value = f'{{"id": {number}, "customer": "Jack {number}", "amount": {amount}, '
    value += '"ordered_at": "2026-11-28T08:00:00Z"}'
    return OutRecord(key=b"%d" % number, value=value.encode(), partition=number % 2)


class Newcomer:
    """Types the page's commands, with the addresses of here in place of the page's."""

    def __init__(self, directory: Path, bootstrap: str, topic: str, server: PostgresServer) -> None:
        address = f"{HOST}:{free_ports(1)[0]}"
        self._directory = directory
        self._words = {
            "broker:9092": f"{bootstrap} --listen {address}",
            "127.0.0.1:7070": address,
            "--topics orders": f"--topics {topic}",
            '["orders"]': f'["{topic}"]',
            "host=localhost dbname=shop user=sync": server.dsn,
            ".venv/bin/": f"{Path(sys.executable).parent}/",
        }
        self._environment = {
            **os.environ,
            "WAREHOUSE_PASSWORD": PASSWORD,
            "CACHESVC_SYNC_STATE": str(directory / "state"),
        }

    def here(self, text: str) -> str:
        for word, other in self._words.items():
            text = text.replace(word, other)
        return text

    def types(self, command: str) -> str:
        """What a command says."""
        done = subprocess.run(
            ["bash", "-c", self.here(command)],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def lets_run(self, command: str) -> Iterator[Path]:
        """A command in a terminal of its own, ended with Ctrl-C; gives what it says."""
        said = self._directory / f"{command.split()[1]}.log"
        with said.open("ab") as output:
            running = subprocess.Popen(
                ["bash", "-c", f"exec {self.here(command)}"],
                cwd=self._directory,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield said
            assert running.poll() is None, said.read_text()
        finally:
            running.send_signal(signal.SIGINT)
            try:
                code = running.wait(60)
            except subprocess.TimeoutExpired:
                running.kill()
                raise
        assert code == 0, said.read_text()


def test_the_page_fills_a_table_in_five_minutes(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("orders")
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, [_order(n, "1.00") for n in range(_ORDERS)])
    commands = _blocks("bash")
    assert commands[0] == "scripts/env"
    assert commands[2].startswith("export WAREHOUSE_PASSWORD=")
    serve, check, run, status, look = commands[1], *commands[3:]
    began = time.monotonic()
    with PostgresServer({"fsync": "off"}) as server:
        newcomer = Newcomer(tmp_path, kafka.bootstrap, topic, server)
        (task,) = _blocks("toml")
        (tmp_path / "orders.toml").write_text(newcomer.here(task))

        def rows() -> list[tuple[int, object]]:
            if server.run("select to_regclass('orders')") == [(None,)]:
                return []
            return server.run("select count(*), sum(amount)::int from orders")

        with newcomer.lets_run(serve) as said:
            eventually(lambda: "serving" in said.read_text(), "the service to be up")
            assert "FAILED" not in newcomer.types(check)
            with newcomer.lets_run(run):
                eventually(lambda: rows() == [(_ORDERS, _ORDERS)], "the orders to arrive")
                assert "orders-to-warehouse" in newcomer.types(status)
                assert re.search(rf"{_ORDERS} \| *{_ORDERS}\.00", newcomer.types(look))
                assert time.monotonic() - began < _FIVE_MINUTES
                gone = OutRecord(key=b"1", value=None, partition=1)
                produce(kafka.bootstrap, topic, [_order(0, "5.00"), gone])
                eventually(lambda: rows() == [(_ORDERS - 1, _ORDERS + 3)], "changes to follow")
            # Stopped and run again, it goes on.
            produce(kafka.bootstrap, topic, [_order(2, "5.00")])
            with newcomer.lets_run(run):
                eventually(lambda: rows() == [(_ORDERS - 1, _ORDERS + 7)], "the rest")
