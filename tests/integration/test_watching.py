"""What is mined, as operators see it, on a real broker."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.v1 import watching_pb2 as pb
from cachesvc.v1.log_cache_pb2 import DeleteSubscriptionRequest
from cachesvc.v1.mining_tasks_pb2 import ListMiningTasksRequest
from tests.faults.stage import Calls, eventually, objects, refusal
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]
RECORDS = 3_000
FIRST_MS = 1_700_000_000_000


def _topic(calls: Calls, topic: str) -> Any:
    """The topic in the next snapshot."""
    stream = calls.admin.WatchMining(pb.WatchMiningRequest(interval_s=0.1), timeout=60)
    snapshot = next(stream)
    stream.cancel()
    assert snapshot.complete
    return next(t for task in snapshot.tasks for t in task.topics if t.topic == topic)


def test_rates_counts_and_lag(kafka: KafkaBroker, topic_name: Name, tmp_path: Path) -> None:
    began = datetime.now(UTC).date()  # which midnight may end meanwhile
    topic = topic_name("watched")
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, objects(0, RECORDS, 2, timestamp_ms=FIRST_MS))
    produce(kafka.bootstrap, topic, [OutRecord(b"bad", b"[]", timestamp_ms=FIRST_MS + 5)])
    with ServiceProcess(tmp_path, kafka.bootstrap) as service, Calls(service.address) as calls:
        for name in ("copies", "billing"):
            asyncio.run(full(service.address, name, topic))
        watched = _topic(calls, topic)
        found = watched.activity
        assert (found.records_total, found.rejects_total) == (RECORDS, 1)
        assert found.bytes_total > 0
        if datetime.now(UTC).date() == began:
            assert (found.records_today, found.rejects_today) == (RECORDS, 1)
            assert found.bytes_today == found.bytes_total
        assert found.records_per_s_10s > found.records_per_s_60s > 0
        assert found.bytes_per_s_10s > found.bytes_per_s_60s > 0
        assert (found.first_record_ms, found.last_record_ms) == (FIRST_MS, FIRST_MS)
        assert list(watched.subscriptions) == ["billing", "copies"]
        assert watched.delivered.records_total == 2 * RECORDS
        assert watched.delivered.bytes_total > found.bytes_total
        assert watched.delivered.records_per_s_10s > found.records_per_s_10s
        # A stream ends a moment after its client had all and has gone.
        overview = eventually(lambda: _without_streams(calls), "the streams to have ended")
        (whole,) = overview.connections
        assert whole.mined_records == RECORDS
        assert whole.delivered_records == 2 * RECORDS
        assert whole.delivered_records_per_s > whole.records_per_s
        assert (overview.subscriptions, whole.readers, overview.streams) == (2, 1, 0)
        assert 0 < overview.disk_free_bytes <= overview.disk_bytes
        assert len(overview.mined_to_sent.counts) == len(overview.mined_to_sent.bounds_s) + 1
        assert overview.cpu_s > 0
        assert overview.resident_bytes > 1 << 24
        assert Path(watched.stored_at) == service.store / "log" / "default" / topic / "i1"
        eventually(lambda: _topic(calls, topic).activity.HasField("lag_records"), "the lag")
        assert _topic(calls, topic).activity.lag_records == 0
        listed = calls.admin.ListMiningTasks(ListMiningTasksRequest(), timeout=30)
        (mined,) = (t for task in listed.tasks for t in task.topics if t.topic == topic)
        assert mined.activity.records_total == RECORDS
        line = json.loads(_cli(service, "mining", "watch", "--count", "1", "--json"))
        assert line["tasks"][0]["activity"]["records_total"] == RECORDS
        odd = pb.WatchMiningRequest(interval_s=0.01)
        code, reason, _ = refusal(lambda: next(calls.admin.WatchMining(odd, timeout=30)))
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    with ServiceProcess(tmp_path, kafka.bootstrap) as service, Calls(service.address) as calls:
        found = _topic(calls, topic).activity
        assert found.records_total == RECORDS
        if datetime.now(UTC).date() == began:
            assert found.records_today == RECORDS
        assert found.records_per_s_10s == 0
        for name in ("copies", "billing"):
            request = DeleteSubscriptionRequest(subscription=name)
            calls.log_cache.DeleteSubscription(request, timeout=30)
        stream = calls.admin.WatchMining(pb.WatchMiningRequest(), timeout=60)
        assert not [t for task in next(stream).tasks for t in task.topics]
        # A watcher is told that the service ends.
        service.signal(signal.SIGTERM)
        code, reason, _ = refusal(lambda: list(stream))
        assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")


def _without_streams(calls: Calls) -> Any:
    """The overview, once no stream is open; nothing before."""
    overview = calls.admin.GetOverview(pb.GetOverviewRequest(), timeout=30)
    return None if overview.streams else overview


def _cli(service: ServiceProcess, *arguments: str) -> str:
    command = [sys.executable, "-m", "cachesvc", *arguments, "--address", service.address]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
