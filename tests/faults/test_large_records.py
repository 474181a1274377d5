"""Records of 120 MB from a topic that allows them, end to end, and what they cost."""

import asyncio
import base64
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from cachesvc.client import Encoding
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1.log_cache_pb2_grpc import LogCacheStub
from tests.faults.large_broker import LARGE, large_kafka
from tests.faults.stage import Calls, eventually, refusal
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, produce

__all__ = ["large_kafka"]

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(300)]
Name = Callable[[str], str]
MB = 1_000_000
SIZE = 120 * MB
# What reader and service are without any record, with room for what libraries keep.
BASE_BYTES = 270 * MB


def value_of(size: int) -> bytes:
    """A JSON object of about that size, that hardly compresses."""
    return b'{"v":"' + base64.b64encode(os.urandom(size // 4 * 3)) + b'"}'


@contextmanager
def peaks(service: ServiceProcess) -> Iterator[dict[str, int]]:
    """The most memory that the service and its readers take meanwhile."""
    found = {"service": 0, "reader": 0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            for role, pids in (("service", [service.pid]), ("reader", service.reader_pids())):
                for pid in pids:
                    try:
                        found[role] = max(found[role], psutil.Process(pid).memory_info().rss)
                    except psutil.NoSuchProcess:
                        continue

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield found
    finally:
        done.set()
        watching.join()


def test_120_mb_pass_to_every_client(
    large_kafka: KafkaBroker, tmp_path: Path, topic_name: Name
) -> None:
    topic, other = topic_name("large"), topic_name("other")
    for name in (topic, other):
        create_topic(large_kafka.bootstrap, name, 1, {"max.message.bytes": str(150 * MB)})
    values = [b'{"first":1}', value_of(SIZE), b'{"last":1}']
    records = [OutRecord(b"k", value, partition=0) for value in values]
    produce(large_kafka.bootstrap, topic, records, settings=LARGE)
    produce(large_kafka.bootstrap, other, [OutRecord(None, b"{}", partition=0)] * 10)
    # What is sealed is read from Parquet then.
    settings = {"store": {"segment_bytes_max": MB, "warm_bytes_max": 0}}
    service = ServiceProcess(tmp_path, large_kafka.bootstrap, settings).start()
    try:
        with peaks(service) as peak:
            seen = asyncio.run(full(service.address, "s", topic, timeout_s=120))
            with Calls(service.address) as calls:
                eventually(lambda: _sealed(calls, topic) >= 2, "the large one is sealed")
        assert [value for _, value in seen.of(topic)[0]] == values
        mined = dict(peak)
        with peaks(service) as peak:
            rows = asyncio.run(full(service.address, "r", topic, encoding=Encoding.RECORDS))
        assert [value for _, value in rows.of(topic)[0]] == values
        print(f"peak RSS in MB: mined {mined}, as RECORDS {peak}")
        assert asyncio.run(full(service.address, "o", other)).count == 10

        assert max(mined.values()) < BASE_BYTES + 6 * SIZE
        assert peak["service"] < BASE_BYTES + 7 * SIZE
        _told_to_small_clients(service, topic)
    finally:
        service.stop()


def _sealed(calls: Calls, topic: str) -> int:
    """Where the segments of a topic's only partition end."""
    return max((segment.end_offset for segment in calls.segments(topic)), default=0)


def _told_to_small_clients(service: ServiceProcess, topic: str) -> None:
    """Others than ours take 4 MiB unless told otherwise; one that says so is told which record."""
    request = log_cache.SubscribeRequest(
        subscription="small",
        topics=[topic],
        mode=log_cache.FULL,
        encoding=log_cache.RECORDS,
        message_bytes_max=4 << 20,
    )
    offsets: list[int] = []

    def read(channel: grpc.Channel) -> None:
        for event in LogCacheStub(channel).Subscribe(request, timeout=60):
            offsets.extend(record.offset for record in event.batch.records)

    with grpc.insecure_channel(service.address) as channel:
        code, reason, metadata = refusal(lambda: read(channel))
    assert offsets == [0]
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_LARGE")
    assert (metadata["topic"], metadata["offset"]) == (topic, "1")
    assert int(metadata["bytes"]) > SIZE * 0.9


def test_what_is_larger_is_kept_apart_and_mining_goes_on(
    large_kafka: KafkaBroker, tmp_path: Path, topic_name: Name
) -> None:
    topic = topic_name("larger")
    create_topic(large_kafka.bootstrap, topic, 1, {"max.message.bytes": str(150 * MB)})
    value = value_of(20 * MB)
    values = [b'{"first":1}', value, b'{"last":1}']
    records = [OutRecord(b"k", value, partition=0) for value in values]
    produce(large_kafka.bootstrap, topic, records, settings=LARGE)
    settings = {"mining": {"record_bytes_max": 10 * MB, "metadata_interval_s": 0.5}}
    service = ServiceProcess(tmp_path, large_kafka.bootstrap, settings).start()
    try:
        seen = asyncio.run(full(service.address, "s", topic))
        assert [offset for offset, _ in seen.of(topic)[0]] == [0, 2]
        with Calls(service.address) as calls:
            request = admin.ListRejectsRequest(topic=topic)
            pages = calls.admin.ListRejects(request, timeout=30)
            (reject,) = [reject for page in pages for reject in page.rejects]
        assert (reject.offset, reject.reason, reject.key, reject.value) == (
            1,
            "TOO_LARGE",
            b"k",
            b"",
        )
        assert str(len(value) + 1) in reject.detail
        assert hashlib.sha256(value).hexdigest() in reject.detail
    finally:
        service.stop()
