"""G11: a disk that is full or read-only is told, and everything goes on once it is neither."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from cachesvc.client import Client, Mode
from tests.faults.stage import Calls, anomalies, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.small_disk import disk
from tests.support.tasks import Delivered, until
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(300)]

Name = Callable[[str], str]
SETTINGS = {"store": {"segment_bytes_max": 1 << 20, "memory_bytes_max": 1 << 20}}
RECORDS = 40_000


def _stuck(calls: Calls, topic: str) -> Callable[[], str]:
    """Why mining does not get on; empty while it does."""
    return lambda: "".join(of.mining_error for of in calls.offsets(topic).values())


def _mined(calls: Calls, topic: str, records: int) -> Callable[[], bool]:
    return lambda: sum(of.log_end_offset for of in calls.offsets(topic).values()) >= records


async def _commit(address: str, topic: str) -> None:
    """Reads a batch and commits it, however long the disk is full."""
    async with (
        Client(address) as client,
        client.subscribe("commits", topics=topic, mode=Mode.FULL_AND_INCREMENTAL) as stream,
    ):
        async for _ in stream:
            await stream.commit()
            return


def _ready(service: ServiceProcess) -> bool:
    return httpx.get(f"{service.web}/readyz", timeout=30).status_code == 200


async def _all(address: str, topic: str, name: str) -> Delivered:
    return await until(address, name, topic, {0: RECORDS}, timeout_s=120)


def test_a_full_disk_is_told_and_mining_goes_on_once_there_is_room(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("full")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, RECORDS, size=1_000))
    with disk(tmp_path / "store", "12m") as remount:
        service = ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS, http=True).start()
        try:
            with Calls(service.address) as calls:
                asyncio.run(_commit(service.address, topic))
                why = eventually(_stuck(calls, topic), "mining to be stuck")
                assert "STORE_WRITE_FAILED" in why
                told = httpx.get(f"{service.web}/readyz", timeout=30)
                assert (told.status_code, "the last append was refused" in told.text) == (503, True)
                assert httpx.get(f"{service.web}/livez", timeout=30).status_code == 200
                (offsets,) = calls.offsets(topic).values()
                assert offsets.log_end_offset < RECORDS
                # What is cached is served all the same.
                early = asyncio.run(
                    until(service.address, "commits", topic, {0: offsets.log_end_offset // 2})
                )
                assert early.count

                remount("size=400m")
                eventually(_mined(calls, topic, RECORDS), "mining to go on", timeout_s=90)
                asyncio.run(_commit(service.address, topic))
                eventually(lambda: _ready(service), "ready again")
                seen = asyncio.run(_all(service.address, topic, "late"))
            assert not anomalies(read_all(kafka.bootstrap, topic), seen, topic)
        finally:
            service.stop()


def test_a_store_on_a_read_only_disk_is_refused_with_the_reason(tmp_path: Path) -> None:
    with disk(tmp_path / "store", "100m") as remount:
        service = ServiceProcess(tmp_path, "127.0.0.1:9")
        service.start()
        service.stop()
        remount("ro")
        command = [sys.executable, "-m", "cachesvc", "serve", "--kafka", "127.0.0.1:9"]
        refused = subprocess.run(
            [*command, "--store", service.store, "--listen", "127.0.0.1:0"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert refused.returncode == 5, refused.stderr
        assert str(service.store) in refused.stderr
        assert "Read-only file system" in refused.stderr
        remount("rw")
        service.start()
        service.stop()
