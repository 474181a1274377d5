"""G10, segments: damage is noticed before a wrong record is served, and mined again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.client import GapCause
from cachesvc.v1 import alarms_pb2
from tests.faults.stage import Calls, anomalies, check_manifest, eventually, objects
from tests.faults.streams import beyond_gaps
from tests.support.frames import flip_bit
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import create_topic, delete_records_before, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

Name = Callable[[str], str]
RECORDS = 80_000
# Nothing but segments has the records, of several row groups each.
SETTINGS: dict[str, dict[str, object]] = {
    "store": {
        "segment_bytes_max": 8 << 20,
        "warm_bytes_max": 0,
        "memory_bytes_max": 65_536,
        "chunk_cache_bytes_max": 65_536,
    },
    # Segments stay as they are.
    "jobs": {"compact": {"interval_s": 86_400.0}},
    "alarms": {"interval_s": 0.2},
}


def _alarms(calls: Calls) -> list[alarms_pb2.Alarm]:
    return list(calls.admin.ListAlarms(alarms_pb2.ListAlarmsRequest(), timeout=60).alarms)


def _flip_in_the_middle(path: Path) -> None:
    flip_bit(path, path.stat().st_size * 4)


def _delete(path: Path) -> None:
    path.unlink()


def _sealed(service: ServiceProcess, kafka: KafkaBroker, topic: str, calls: Calls) -> list[Path]:
    """Fills a topic's segments; which they are, in offset order."""
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, RECORDS))
    assert asyncio.run(full(service.address, "before", topic)).count == RECORDS
    calls.run_job("seal")
    eventually(lambda: len(calls.segments(topic)) >= 2, "segments")
    # Sealed journals go once the next one is sealed; none is left to read instead.
    eventually(lambda: not list(service.store.glob(f"journal/*/{topic}/*/*/*-*")), "no journals")
    return sorted(service.store.glob(f"log/*/{topic}/*/*/*.parquet"))


@pytest.mark.parametrize(
    ("damage", "which"),
    [(_flip_in_the_middle, -1), (_delete, 0)],
)
def test_what_a_damaged_segment_had_is_mined_again(
    kafka: KafkaBroker,
    topic_name: Name,
    tmp_path: Path,
    damage: Callable[[Path], None],
    which: int,
) -> None:
    topic = topic_name("damaged")
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS) as service,
        Calls(service.address) as calls,
    ):
        path = _sealed(service, kafka, topic, calls)[which]
        damage(path)
        # Whoever reads there waits until it is mined again, and misses nothing.
        truth = read_all(kafka.bootstrap, topic)
        assert not anomalies(truth, asyncio.run(full(service.address, "after", topic)), topic)
        assert service.events("segment_damaged")
        kept = list(service.store.glob(f"quarantine/**/{path.name}.*"))
        assert bool(kept) is (damage is not _delete), "the damage is kept for a look"
        # What follows goes on, and all of it is one again.
        produce(kafka.bootstrap, topic, objects(RECORDS, RECORDS + 500))
        truth = read_all(kafka.bootstrap, topic)
        assert not anomalies(truth, asyncio.run(full(service.address, "later", topic)), topic)
        eventually(lambda: calls.offsets(topic)[0].log_start_offset == 0, "one log")
        service.stop()
        check_manifest(service.store, topic, truth)
        service.start()
        assert not anomalies(truth, asyncio.run(full(service.address, "again", topic)), topic)


def test_what_was_damaged_and_the_source_has_no_more_is_told(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("hurt")
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS) as service,
        Calls(service.address) as calls,
    ):
        path = _sealed(service, kafka, topic, calls)[0]
        truth = read_all(kafka.bootstrap, topic)[0]
        delete_records_before(kafka.bootstrap, topic, {0: RECORDS - 100})
        _flip_in_the_middle(path)

        seen, (gap,) = asyncio.run(beyond_gaps(service.address, topic))
        assert gap.cause is GapCause.STORE_DAMAGED
        lost = range(gap.begin_offset, gap.end_offset)
        assert 0 < len(lost) <= 24_576, "one row group; what is whole of the segment is kept"
        assert seen == [(r.offset, r.value) for r in truth if r.offset not in lost]
        kinds = {alarms_pb2.ALARM_STORE_DAMAGED, alarms_pb2.ALARM_RECORDS_LOST}
        eventually(lambda: kinds <= {alarm.kind for alarm in _alarms(calls)}, "alarms")
        service.stop()
        service.start()
        assert asyncio.run(beyond_gaps(service.address, topic)) == (seen, [gap])
