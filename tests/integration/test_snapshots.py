"""A task that begins with a snapshot: flights, a real broker, and crashes on the way."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cachesvc.client import Batch as ClientBatch
from cachesvc.client import Bootstrap, Client, Mode, SnapshotStart, Started
from cachesvc.v1.admin_pb2 import ListSnapshotsRequest
from tests.faults.stage import Calls, eventually
from tests.support.file_sink import offsets
from tests.support.flights import flights
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
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
        last = history(RECORDS + 200, RECORDS + 300)
        produce(kafka.bootstrap, topic, last)
        check_sync_task(service, topic, tmp_path / "task", [*rows, *later], last)
    assert not service.events("snapshot_damaged")


def check_sync_task(
    service: ServiceProcess,
    topic: str,
    directory: Path,
    done: list[OutRecord],
    last: list[OutRecord],
) -> None:
    """A sync task that ends on its way goes on in the same snapshots, then in the log."""
    tables: dict[str, dict[str, object]] = {
        "source": {"mode": "FULL", "bootstrap": "snapshot"},
        "batch": {"records_max": 20},
    }
    # Of the records 5,000 to 5,999. Snapshots are in the order of offsets, and begin before.
    refusing: dict[str, object] = {
        "kind": "stage",
        "path": "output",
        "refuse": '"ts_ms":1700000005',
    }
    with SyncProcess(directory, service.address, topic, {**tables, "sink": refusing}) as task:
        assert task.wait() != 0
        assert f"begins {PARTITIONS} partitions with snapshots" in task.log
    first = offsets(task.output, topic)
    with SyncProcess(directory, service.address, topic, tables) as task:
        assert task.wait() == 0, task.log
    found = {number: sorted(set(each)) for number, each in offsets(task.output, topic).items()}
    assert 0 < sum(map(len, first.values())) < sum(map(len, found.values()))
    assert found == latest_offsets(done, last)


def latest_offsets(done: Iterable[OutRecord], last: Iterable[OutRecord]) -> dict[int, list[int]]:
    """By partition: the latest of each key that is not deleted, and all that came after."""
    ends = dict.fromkeys(range(PARTITIONS), 0)
    latest: dict[int, dict[bytes, int]] = {number: {} for number in ends}
    for row in done:
        assert row.key is not None
        assert row.partition is not None
        table = latest[row.partition]
        table[row.key] = ends[row.partition]
        if row.value is None or b'"op":"d"' in row.value:
            del table[row.key]
        ends[row.partition] += 1
    found = {number: sorted(table.values()) for number, table in latest.items()}
    for row in last:
        assert row.partition is not None
        found[row.partition].append(ends[row.partition])
        ends[row.partition] += 1
    return found


def test_a_sync_task_ends_where_there_is_no_snapshot(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("without")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    produce(kafka.bootstrap, topic, history(0, 10))
    settings = {"source": {"mode": "FULL", "bootstrap": "snapshot"}}
    with ServiceProcess(tmp_path / "service", kafka.bootstrap, SETTINGS) as service:
        asyncio.run(full(service.address, "mine", topic))
        with SyncProcess(tmp_path / "task", service.address, topic, settings) as task:
            assert task.wait() != 0
            assert "SNAPSHOT_UNAVAILABLE" in task.log
    assert not any(offsets(task.output, topic).values())
