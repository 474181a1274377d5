"""Records handed to tasks of this machine in shared memory are those that the broker has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from cachesvc.client import (
    ArrowCompression,
    Bootstrap,
    Client,
    Encoding,
    Mode,
    Position,
    Projection,
    StreamSettings,
)
from tests.faults.stage import Calls, objects
from tests.support.checker import Observation, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.lent import Told, shared_bytes, told
from tests.support.reading import BrokerRecord, read_all
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

PARTITIONS = 3
RECORDS = 9_000
BYTES = 1_000
SETTINGS: dict[str, dict[str, Any]] = {
    "jobs.snapshot": {"interval_s": 86_400, "threads": 1},
}
CONNECTION = {"snapshot_expression": ".*", "debezium_expression": "none"}
TOPIC = "handed-over"
Truth = Mapping[int, Sequence[BrokerRecord]]
IN_MESSAGES = StreamSettings(shared_memory=False)


@dataclass
class Served:
    """A service that has mined the topic, and what the broker has of that."""

    service: ServiceProcess
    bootstrap: str
    truth: Truth

    def read(self, name: str, **how: Any) -> Told:
        return asyncio.run(told(self.service.address, name, TOPIC, **how))

    def check_handed_over(self, name: str, **how: Any) -> Told:
        """A stream brings all there is, most of it in shared memory."""
        found = self.read(name, **how)
        assert not found.wrong(self.truth, TOPIC)
        assert found.lent > found.sent, found.sent
        return found

    def restart(self, settings: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Another service on the same store."""
        self.service.stop()
        self.service = _service(self.service.store.parent, self.bootstrap, settings or {})

    @classmethod
    @contextmanager
    def on(cls, directory: Path, bootstrap: str, truth: Truth) -> Iterator[Self]:
        """One on a new store."""
        found = cls(_service(directory, bootstrap, {}), bootstrap, truth)
        try:
            found.read("mines")
            yield found
        finally:
            found.service.kill()


def _service(
    directory: Path, bootstrap: str, settings: Mapping[str, Mapping[str, Any]]
) -> ServiceProcess:
    service = ServiceProcess(directory, bootstrap, {**SETTINGS, **settings}, CONNECTION, http=True)
    return service.start()


@pytest.fixture(scope="module")
def truth(kafka: KafkaBroker) -> Truth:
    create_topic(kafka.bootstrap, TOPIC, PARTITIONS)
    produce(kafka.bootstrap, TOPIC, objects(0, RECORDS, PARTITIONS, BYTES))
    return read_all(kafka.bootstrap, TOPIC)


@pytest.fixture(scope="module")
def served(
    kafka: KafkaBroker, truth: Truth, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("handed-over")
    with Served.on(directory, kafka.bootstrap, truth) as found:
        yield found


@pytest.fixture
def unsealed(kafka: KafkaBroker, truth: Truth, tmp_path: Path) -> Iterator[Served]:
    with Served.on(tmp_path, kafka.bootstrap, truth) as found:
        yield found


def test_records_are_handed_over_from_journals_and_from_files_over_restarts(
    unsealed: Served,
) -> None:
    served = unsealed
    served.check_handed_over("of-memory")
    served.restart()
    served.check_handed_over("of-journals")
    with Calls(served.service.address) as calls:
        calls.run_job("seal")
        assert {each.partition for each in calls.segments(TOPIC)} == set(range(PARTITIONS))
    served.check_handed_over("of-files")
    served.restart()
    served.check_handed_over("of-files-again")
    assert not served.service.events("no_shared_memory")


def test_the_memory_is_counted_and_how_often_it_had_what_was_wanted(served: Served) -> None:
    served.check_handed_over("counted")
    served.check_handed_over("counted-again")
    text = httpx.get(f"{served.service.web}/metrics", timeout=30).raise_for_status().text
    found = {
        (each.name, each.labels.get("result")): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.labels.get("cache") == "shared_memory"
    }
    assert found["cachesvc_cache_bytes", None] > 0
    assert found["cachesvc_cache_requests_total", "hit"] > 0
    assert found["cachesvc_cache_requests_total", "miss"] > 0


def test_what_is_left_out_is_left_out_of_shared_memory(served: Served) -> None:
    """With a filter that keeps half of the records, and a projection that keeps one field."""
    half = "value.id < 4500"
    want = {
        number: [row for row in rows if json.loads(row.value or b"")["id"] < RECORDS // 2]
        for number, rows in served.truth.items()
    }
    filtered = served.read("filtered", filter=half)
    assert not filtered.wrong(want, TOPIC)
    assert filtered.lent
    projected = served.read("projected", projection=Projection(without_fields=["id"]))
    assert projected.lent
    for number, rows in projected.delivered.of(TOPIC).items():
        seen = [(offset, json.loads(value or b"")) for offset, value in rows]
        assert seen == [
            (row.offset, {"text": json.loads(row.value or b"")["text"]})
            for row in served.truth[number]
        ]


def test_a_stream_ends_where_it_was_told_to(served: Served) -> None:
    """In the middle of chunks, at an offset of its own for each partition."""
    ends = {number: 1_000 + 333 * number for number in served.truth}
    bounds = [Position(TOPIC, number, end) for number, end in ends.items()]
    found = served.read("bounded", end=bounds)
    rows = found.delivered.of(TOPIC)
    assert found.lent
    assert not check(
        served.truth,
        [Observation("bounded", number, rows[number], end=ends[number]) for number in ends],
    )
    assert {number: seen[-1][0] + 1 for number, seen in rows.items()} == ends


@pytest.mark.parametrize("bytes_max", [1 << 20, 3 << 20, 8 << 20])
def test_batches_of_any_size_are_handed_over(served: Served, bytes_max: int) -> None:
    served.check_handed_over(f"size-{bytes_max}", batch_bytes_max=bytes_max)


def test_tables_and_records_have_the_same(served: Served) -> None:
    """Every column, whichever way the batch came and however it is looked at."""

    async def rows(name: str, **how: Any) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {}
        async with (
            Client(served.service.address) as client,
            client.subscribe(name, topics=[TOPIC], mode=Mode.FULL, **how) as stream,
        ):
            async for batch in stream:
                table = batch.to_arrow()
                table.validate(full=True)
                assert [r.offset for r in batch] == table["offset"].to_pylist()
                assert [r.key for r in batch] == table["key"].to_pylist()
                found.setdefault(batch.partition, []).extend(table.to_pylist())
        return found

    handed_over = asyncio.run(rows("tables"))
    assert handed_over == asyncio.run(rows("tables-sent", settings=IN_MESSAGES))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("says-no", {"settings": IN_MESSAGES}),
        ("records", {"encoding": Encoding.RECORDS}),
        ("zstd", {"arrow_compression": ArrowCompression.ZSTD}),
        ("small", {"batch_bytes_max": 64 << 10}),
    ],
)
def test_who_does_not_take_it_gets_messages(served: Served, name: str, how: dict[str, Any]) -> None:
    found = served.read(name, **how)
    assert not found.lent
    assert not found.wrong(served.truth, TOPIC)


@pytest.mark.parametrize(
    "settings",
    [{"server": {"shared_memory_bytes_max": 0}}, {"callers": {"bytes_per_s_max": 1 << 30}}],
)
def test_a_service_that_does_not_give_it_sends_messages(
    served: Served, settings: dict[str, dict[str, Any]]
) -> None:
    served.restart(settings)
    try:
        found = served.read("off")
        assert not found.lent
        assert not found.wrong(served.truth, TOPIC)
        assert not shared_bytes(served.service.pid)
    finally:
        served.restart()


def test_a_snapshot_is_handed_over(served: Served) -> None:
    with Calls(served.service.address) as calls:
        calls.run_job("seal")
        calls.run_job("snapshot")
    found = served.read("snapshot", bootstrap=Bootstrap.SNAPSHOT)
    assert not found.wrong(served.truth, TOPIC)  # every key is there once
    assert found.lent
