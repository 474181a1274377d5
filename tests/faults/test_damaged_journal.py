"""G10, journals: damage is noticed before a wrong record is served, taken out, and mined again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.stage import Calls, anomalies, check_manifest, eventually, objects
from tests.support.frames import flip_bit
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

Name = Callable[[str], str]
RECORDS = 6_000


def _flip_in_the_middle(journal: Path) -> None:
    flip_bit(journal, journal.stat().st_size * 4)


def _cut(journal: Path) -> None:
    with journal.open("r+b") as file:
        file.truncate(journal.stat().st_size * 2 // 3)


def _flip_in_the_header(journal: Path) -> None:
    flip_bit(journal, 8 * 9)


def _fill_with_noise(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b"\xa5" * 10_000)


def _empty(journal: Path) -> None:
    journal.write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [_flip_in_the_middle, _cut, _flip_in_the_header, _fill_with_noise, _empty]
)
def test_what_a_damaged_journal_had_is_mined_again(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    topic = topic_name("damaged")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, RECORDS))
    service = ServiceProcess(tmp_path, kafka.bootstrap, {"store": {"segment_bytes_max": 1 << 20}})
    try:
        service.start()
        before = asyncio.run(full(service.address, "before", topic))
        assert before.count == RECORDS
        with Calls(service.address) as calls:
            eventually(lambda: calls.segments(topic), "a first segment")
        service.kill()

        newest = max(service.store.glob(f"journal/*/{topic}/*/*/*.journal"))
        damage(newest)
        service.start()
        after = asyncio.run(full(service.address, "after", topic))
        truth = read_all(kafka.bootstrap, topic)
        assert not anomalies(truth, after, topic)
        assert list(service.store.glob("quarantine/**/*.journal.*")), (
            "the damage is kept for a look"
        )
        service.stop()
        check_manifest(service.store, topic, truth)
    finally:
        service.stop()
