"""G10, the catalogue: a service that cannot read it says the way on, and nothing is lost on it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.stage import Calls, anomalies, check_manifest, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceError, ServiceProcess
from tests.support.tasks import full
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(240)]

Name = Callable[[str], str]
RECORDS = 5_000
SETTINGS: dict[str, dict[str, object]] = {"store": {"segment_bytes_max": 1 << 19}}


def _flip_everywhere(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for position in range(0, len(data), 997):
        data[position] ^= 1
    path.write_bytes(data)


def _delete(path: Path) -> None:
    path.unlink()


def test_it_is_rebuilt_and_no_record_is_lost_or_repeated(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("rebuilt")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, RECORDS))
    service = ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS)
    try:
        service.start()
        assert asyncio.run(full(service.address, "before", topic)).count == RECORDS
        with Calls(service.address) as calls:
            eventually(lambda: calls.segments(topic), "a first segment")
        # The second damage meets a store that was rebuilt before.
        for damage in (_flip_everywhere, _delete):
            eventually((service.store / "catalogue-copy.duckdb").exists, "a copy")
            _damage_and_rebuild(kafka, service, topic, damage)
        service.stop()
        check_manifest(service.store, topic, read_all(kafka.bootstrap, topic))
    finally:
        service.stop()


def _damage_and_rebuild(
    kafka: KafkaBroker, service: ServiceProcess, topic: str, damage: Callable[[Path], None]
) -> None:
    # Of this no copy knows.
    begin = sum(map(len, read_all(kafka.bootstrap, topic).values()))
    produce(kafka.bootstrap, topic, objects(begin, begin + RECORDS))
    more = asyncio.run(full(service.address, f"more{damage.__name__}", topic))
    assert more.count == begin + RECORDS
    service.kill()
    damage(service.store / "catalogue.duckdb")
    with pytest.raises(ServiceError, match="cachesvc store rebuild"):
        service.start()
    done = subprocess.run(
        [sys.executable, "-m", "cachesvc", "store", "rebuild", "--store", str(service.store)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, (damage, done.stderr)
    assert "subscriptions" in done.stdout
    service.start()
    truth = read_all(kafka.bootstrap, topic)
    after = asyncio.run(full(service.address, f"after{damage.__name__}", topic))
    assert not anomalies(truth, after, topic), damage
