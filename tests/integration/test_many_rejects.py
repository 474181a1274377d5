"""G9 in bulk: a client with the limits that gRPC has by default can list rejects of any number."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1.admin_pb2_grpc import AdminStub
from tests.faults.stage import Calls, eventually
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import until
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
COUNT = 150


def test_large_rejects_come_in_pages(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("rejects")
    create_topic(kafka.bootstrap, topic)
    bad = [OutRecord(None, b"[%d]" % number + b" " * 100_000) for number in range(COUNT)]
    produce(kafka.bootstrap, topic, [*bad, OutRecord(None, b"{}")])
    settings = {"store": {"segment_age_s_max": 1}}
    with ServiceProcess(tmp_path, kafka.bootstrap, settings) as service:
        asyncio.run(until(service.address, "s", topic, {0: COUNT + 1}))
        assert _listed(service.address, topic, 0) == list(range(COUNT))
        with Calls(service.address) as calls:
            eventually(
                lambda: sum(s.reject_count for s in calls.segments(topic)) == COUNT, "the seal"
            )
        assert _listed(service.address, topic, 0) == list(range(COUNT))
        assert _listed(service.address, topic, 30) == list(range(30))


def _listed(address: str, topic: str, limit: int) -> list[int]:
    with grpc.insecure_channel(address) as channel:
        request = admin.ListRejectsRequest(topic=topic, limit=limit)
        pages = AdminStub(channel).ListRejects(request, timeout=60)
        return [reject.offset for page in pages for reject in page.rejects]
