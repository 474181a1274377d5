"""Older ranges, which the cache does not have and the broker still has, are mined for who asks."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.stage import Calls, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import expect_same, full
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]

DAY_MS = 86_400_000
OLD = 6_000
SETTINGS: dict[str, dict[str, object]] = {
    "store": {"segment_records_max": 1_000, "segment_age_s_max": 1.0},
    "jobs.expire": {"interval_s": 86_400},
    "jobs.compact": {"interval_s": 86_400},
}


@contextmanager
def forgetful(
    tmp_path: Path, kafka: KafkaBroker, topic: str, bootstrap: str = ""
) -> Iterator[tuple[ServiceProcess, Calls]]:
    """A service that has mined a topic, and whose retention has taken all that was there then."""
    create_topic(kafka.bootstrap, topic, 2)
    old_ms = int(time.time() * 1000) - 5 * DAY_MS
    rows = objects(0, 2 * OLD, partitions=2, size=200, timestamp_ms=old_ms)
    produce(kafka.bootstrap, topic, rows)
    service = ServiceProcess(tmp_path, bootstrap or kafka.bootstrap, SETTINGS)
    with service, Calls(service.address) as calls:
        asyncio.run(full(service.address, "first", topic))
        eventually(lambda: sealed_ends(calls, topic) == {0: OLD, 1: OLD}, "segments")
        calls.run_job("expire")
        assert {n: row.log_start_offset for n, row in calls.offsets(topic).items()} == {
            0: OLD,
            1: OLD,
        }
        yield service, calls


def starts(calls: Calls, topic: str) -> set[int]:
    return {row.log_start_offset for row in calls.offsets(topic).values()}


def sealed_ends(calls: Calls, topic: str) -> dict[int, int]:
    ends: dict[int, int] = {}
    for segment in calls.segments(topic):
        ends[segment.partition] = max(segment.end_offset, ends.get(segment.partition, 0))
    return ends


def test_a_late_full_sync_gets_what_retention_has_taken(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("late")
    with forgetful(tmp_path, kafka, topic) as (service, calls):
        produce(kafka.bootstrap, topic, objects(2 * OLD, 2 * OLD + 100, partitions=2))
        asyncio.run(expect_same(service.address, kafka.bootstrap, topic))
        # What was mined afterwards has become one with the rest, and is kept as long as that.
        eventually(
            lambda: starts(calls, topic) == {0},
            "one log",
        )
        calls.run_job("expire")
        calls.run_job("compact")
        assert starts(calls, topic) == {0}
        service.stop()
        service.start()
        assert starts(calls, topic) == {0}
        asyncio.run(expect_same(service.address, kafka.bootstrap, topic))
