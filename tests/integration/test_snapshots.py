"""A task that begins with a snapshot: flights, a real broker, and crashes on the way."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cachesvc.client import Batch as ClientBatch
from cachesvc.client import Bootstrap, Client, Mode, SnapshotStart, Started
from cachesvc.v1.admin_pb2 import ListSnapshotsRequest
from tests.faults.stage import Calls, eventually
from tests.support.flights import flights
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, delete_records_before, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]

PARTITIONS = 2
RECORDS = 6_000
KEYS = 2_000
SETTINGS: dict[str, dict[str, object]] = {
    "store": {"segment_records_max": 700, "warm_bytes_max": 0, "memory_bytes_max": 65_536},
    "retention": {"age_s": 1, "unread_age_s": 1},
    "jobs.expire": {"interval_s": 86_400},
    "jobs.snapshot": {"interval_s": 86_400, "threads": 1},
}
Table = dict[bytes, bytes]


def history(begin: int, end: int) -> list[OutRecord]:
    """Flights under a few keys; some are deleted, in Debezium's way or not."""
    rows = []
    for number, (_, value) in enumerate(flights(end - begin, begin), begin):
        key = number * 7919 % KEYS
        deletes = {0: None, 1: b'{"before":{},"after":null,"op":"d"}'}.get(number % 11, value)
        rows.append(OutRecord(b"%d" % key, deletes, partition=key % PARTITIONS))
    return rows


def apply(table: Table, key: bytes, value: bytes | None) -> None:
    """What a task does with a record."""
    if value is None or b'"op":"d"' in value:
        table.pop(key, None)
    else:
        table[key] = value


def replayed(rows: Iterable[OutRecord]) -> Table:
    table: Table = {}
    for row in rows:
        assert row.key is not None
        apply(table, row.key, row.value)
    return table


class Task:
    """Keeps a table as the stream says; what it is told to forget, it forgets."""

    def __init__(self, address: str, topic: str) -> None:
        self.address, self.topic = address, topic
        self.table: Table = {}
        self.snapshots: list[SnapshotStart] = []
        self.marked = self.unmarked = 0

    async def run(self, mode: Mode, batches: int | None = None) -> None:
        """Reads to the end, or so many batches, and commits each."""
        async with (
            Client(self.address) as client,
            client.subscribe(
                "table",
                topics=[self.topic],
                mode=mode,
                bootstrap=Bootstrap.SNAPSHOT,
                batch_bytes_max=65_536,
            ) as stream,
        ):
            async for event in stream.events():
                if isinstance(event, Started):
                    self._begin(event.snapshots)
                elif isinstance(event, ClientBatch):
                    self._apply(event)
                    await stream.commit(event.position)
                    if batches is not None and self.marked + self.unmarked >= batches:
                        return
            await stream.commit()

    def _begin(self, snapshots: tuple[SnapshotStart, ...]) -> None:
        self.snapshots += snapshots
        for each in snapshots:
            if not each.resumed:
                self.table = {
                    key: value
                    for key, value in self.table.items()
                    if int(key) % PARTITIONS != each.partition
                }

    def _apply(self, batch: ClientBatch) -> None:
        self.marked += batch.snapshot
        self.unmarked += not batch.snapshot
        for record in batch:
            assert record.key is not None
            apply(self.table, record.key, record.value)


def test_a_table_from_a_snapshot_is_that_of_a_replay(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("snapshot")
    rows = history(0, RECORDS)
    connection = {"snapshot_expression": ".*", "debezium_expression": topic}
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    with ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS, connection) as service:
        # Mined by another task, and made in two steps, of which the second continues the first.
        for begin in (0, RECORDS // 2):
            produce(kafka.bootstrap, topic, rows[begin : begin + RECORDS // 2])
            asyncio.run(full(service.address, "mine", topic))
            with Calls(service.address) as calls:
                calls.run_job("seal")
                counts = calls.run_job("snapshot")
                assert counts["snapshots_made"] == PARTITIONS
                done = rows[: begin + RECORDS // 2]
                assert counts["records_kept"] == len(replayed(done))
        # Neither the broker nor the log has any of it any more: there is nothing else to read.
        with Calls(service.address) as calls:
            ends = {number: each.log_end_offset for number, each in calls.offsets(topic).items()}
            delete_records_before(kafka.bootstrap, topic, ends)
            eventually(lambda: calls.run_job("expire") and not calls.segments(topic), "expiry")
        later = history(RECORDS, RECORDS + 200)
        produce(kafka.bootstrap, topic, later)
        task = Task(service.address, topic)
        asyncio.run(task.run(Mode.FULL, batches=2))
        assert [each.resumed for each in task.snapshots] == [False] * PARTITIONS
        assert (task.marked, task.unmarked) == (2, 0)
        service.kill()
        service.start()
        asyncio.run(task.run(Mode.FULL))
        assert {each.end_offset for each in task.snapshots} == set(ends.values())
        assert any(each.resumed for each in task.snapshots)
        assert task.marked > 2
        assert task.unmarked
        assert task.table == replayed([*rows, *later])
        with Calls(service.address) as calls:
            calls.run_job("seal")
            calls.run_job("snapshot")
            listed = calls.admin.ListSnapshots(ListSnapshotsRequest(topic=topic), timeout=30)
            newest = {each.partition: each for each in listed.snapshots}
            assert sum(each.record_count for each in newest.values()) == len(task.table)
            assert {each.base_offset for each in listed.snapshots} == {0}
            assert all((service.store / each.path).exists() for each in listed.snapshots)
            scrubbed = calls.run_job("scrub")
            checked = scrubbed["snapshots_checked"], scrubbed["snapshots_damaged"]
            assert checked == (len(listed.snapshots), 0)
    assert not service.events("snapshot_damaged")
