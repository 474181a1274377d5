"""scripts/demo: runs to its end by itself, tells the truth, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka.protocol.metadata import MetadataResponse_v1, MetadataResponse_v5

from cachesvc.mining.kafka import topic_metadata
from tests.demo.metadata import Address, addresses, replace_addresses
from tests.demo.orders import OrdersTable
from tests.demo.plan import plans
from tests.support.kafka_broker import KafkaBroker
from tests.support.topics import create_mixed_topics

pytestmark = pytest.mark.timeout(300)

_ROOT = Path(__file__).resolve().parents[2]
_CORRELATION_ID = b"\x00\x00\x00\x07"
_OLD: dict[Address, Address] = {
    ("kafka-1.example", 9092): ("a", 1),
    ("::1", 65_535): ("b" * 200, 2),
}


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of a demo that puts its temporary files where they can be looked for; none may be left."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    yield {**os.environ, "TMPDIR": str(directory), "PYTHONPATH": str(_ROOT)}
    assert list(directory.glob("cachesvc-demo-*")) == []


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.demo", "--json", *arguments]


def _summary(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = subprocess.run(_command(*arguments), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def _check_equal(summary: dict[str, Any], tasks: int) -> None:
    source = summary["source"]
    assert summary["equal"] is True
    assert len(summary["tasks"]) == tasks
    for task in summary["tasks"]:
        assert {key: task[key] for key in source} == source


def test_all_tasks_get_what_is_in_kafka_for_the_price_of_one(
    environment: dict[str, str], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    summary = _summary(environment, "--records", "3000", "--store", str(store))
    _check_equal(summary, tasks=4)
    assert summary["source"]["records"] == 3000
    assert summary["parquet"]["records"] == 3000
    assert len(summary["query"]["rows"]) == 4
    broker = summary["broker_bytes"]
    assert broker["direct_all_tasks"] == 4 * broker["direct_one_task"]
    assert broker["service"] < 1.5 * broker["direct_one_task"]
    (late,) = (task for task in summary["tasks"] if task["late"])
    assert late["mined_before"] >= 1800
    assert summary["store"] == str(store)
    assert len(list(store.glob("log/**/*.parquet"))) == summary["parquet"]["files"]


def test_an_interrupt_stops_everything(environment: dict[str, str]) -> None:
    demo = subprocess.Popen(
        _command(), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert demo.stderr is not None
    while "producing" not in demo.stderr.readline():
        assert demo.poll() is None
    children = psutil.Process(demo.pid).children(recursive=True)
    assert children
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=90)
    assert demo.returncode == 128 + signal.SIGINT
    assert out == ""
    assert err.endswith("interrupted by SIGINT; everything is stopped\n")
    assert psutil.wait_procs(children, timeout=60)[1] == []


@pytest.mark.kafka
@pytest.mark.slow
def test_a_kafka_with_every_kind_of_record(
    environment: dict[str, str], kafka: KafkaBroker, topic_name: Callable[[str], str]
) -> None:
    prefix = topic_name("demo")
    topics = create_mixed_topics(kafka.bootstrap, prefix)
    summary = _summary(environment, "--kafka", kafka.bootstrap, "--topics", f"{prefix}.*")
    _check_equal(summary, tasks=4)
    assert summary["topics"]
    assert set(summary["topics"]) <= {topic.name for topic in topics}
    assert summary["rejects"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kafka", "127.0.0.1:1"], "error: no Kafka answers at 127.0.0.1:1"),
        (["--topics", "orders"], "--topics goes with --kafka"),
        (["--store", str(_ROOT)], "holds something already"),
        (["--records", "1"], "--records is 1; it has to be 100 to"),
    ],
)
def test_what_is_wrong_is_said(
    environment: dict[str, str], arguments: list[str], message: str
) -> None:
    done = subprocess.run(_command(*arguments), env=environment, capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def _metadata(version: int) -> bytes:
    brokers = [(number, *address, "rack") for number, address in enumerate(_OLD)]
    topics: list[Any] = [(0, "orders", False, [])]
    if version == 1:
        return bytes(MetadataResponse_v1(brokers, 0, topics).encode())
    if version == 5:
        return bytes(MetadataResponse_v5(0, brokers, "cluster", 0, topics).encode())
    tagged: list[Any] = [(*broker, {}) for broker in brokers]
    response = topic_metadata._MetadataResponse_v10(0, tagged, "cluster", 0, [], 0, {})
    return b"\x00" + bytes(response.encode())  # without tags in its header


@pytest.mark.parametrize("version", [1, 5, 10])
def test_only_the_addresses_of_brokers_are_replaced(version: int) -> None:
    response = _CORRELATION_ID + _metadata(version)
    replaced = replace_addresses(response, version, _OLD)
    assert addresses(replaced, version) == list(_OLD.values())
    back = {new: old for old, new in _OLD.items()}
    assert replace_addresses(replaced, version, back) == response


def test_a_response_that_is_cut_off_is_none() -> None:
    with pytest.raises(ValueError, match="in the middle of its brokers"):
        addresses(_CORRELATION_ID + _metadata(10)[:20], 10)


def test_changes_of_an_order_follow_from_each_other() -> None:
    rows: dict[int, Any] = {}
    for change in OrdersTable(1_000).changes(3_000):
        event = json.loads(change.value)
        assert event["before"] == rows.get(change.order_id)
        assert json.loads(change.key) == {"id": change.order_id}
        rows[change.order_id] = event["after"]
        inserted, deleted = event["before"] is None, event["after"] is None
        assert event["op"] == ("c" if inserted else "d" if deleted else "u")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 64])
def test_tasks_have_names_of_their_own_and_differ(count: int) -> None:
    made = plans(count)
    assert len({plan.name for plan in made}) == count
    assert [plan.late for plan in made] == sorted(plan.late for plan in made)
    assert any(plan.late for plan in made) == (count >= 2)
    assert sum(plan.slow for plan in made) == (count >= 3)
