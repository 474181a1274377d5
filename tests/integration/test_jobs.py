"""Compaction, retention and sweep on a running service, under subscribers."""

import asyncio
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import grpc
import pytest

from cachesvc.client import Client, DataLoss, Gap, GapCause, Mode, Position
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import audit_pb2
from tests.faults.stage import Calls, anomalies, eventually, objects, refusal
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, full
from tests.support.topics import create_topic, delete_records_before, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]
_README = Path(__file__).parents[2] / "README.md"
# Every few records make a segment, no sealed journal is kept, nothing runs by itself.
SMALL: dict[str, dict[str, object]] = {
    "store": {"segment_records_max": 200, "warm_bytes_max": 0, "memory_bytes_max": 65_536},
    "jobs.compact": {"interval_s": 86_400},
    "jobs.expire": {"interval_s": 86_400},
    "jobs.sweep": {"interval_s": 86_400, "grace_s": 0},
}


def _mined(kafka: KafkaBroker, service: ServiceProcess, topic: str, timestamp_ms: int) -> None:
    """A topic of 2,000 records in pieces, mined into many segments."""
    create_topic(kafka.bootstrap, topic, 1)
    for begin in range(0, 2_000, 200):
        rows = objects(begin, begin + 200, timestamp_ms=timestamp_ms + begin)
        produce(kafka.bootstrap, topic, rows)
        asyncio.run(full(service.address, "mine", topic))
    with Calls(service.address) as calls:
        eventually(lambda: _settled(calls, topic), "everything that is full to be sealed")
        assert len(calls.segments(topic)) >= 8


def _settled(calls: Calls, topic: str) -> bool:
    request = admin.ListJournalsRequest(topic=topic)
    journals = calls.admin.ListJournals(request, timeout=30).journals
    return all(j.state == admin.ACTIVE and j.record_count < 200 for j in journals)


def test_compaction_loses_nothing_under_a_slow_subscriber(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("compact")
    with ServiceProcess(tmp_path, kafka.bootstrap, SMALL) as service:
        _mined(kafka, service, topic, int(time.time() * 1000))
        truth = read_all(kafka.bootstrap, topic)

        async def slowly() -> Delivered:
            """Begins before the compaction and goes on behind it and the sweep."""
            delivered = Delivered()
            async with (
                Client(service.address) as client,
                client.subscribe(
                    "slow", topics=[topic], mode=Mode.FULL, batch_bytes_max=65_536
                ) as stream,
            ):
                async for batch in stream:
                    delivered.add(batch)
                    if delivered.batches == 1:
                        await asyncio.to_thread(_compact_and_sweep, service, topic)
            return delivered

        assert not anomalies(truth, asyncio.run(slowly()), topic)
        assert not anomalies(truth, asyncio.run(full(service.address, "after", topic)), topic)
        with Calls(service.address) as calls:
            listed = {segment.path for segment in calls.segments(topic)}
        root = service.store / "log" / "default" / topic
        on_disk = {path.relative_to(service.store).as_posix() for path in root.rglob("*.parquet")}
        assert on_disk == listed


def _compact_and_sweep(service: ServiceProcess, topic: str) -> None:
    with Calls(service.address) as calls:
        before = calls.segments(topic)
        counts = calls.run_job("compact")
        after = calls.segments(topic)
        assert counts["segments_merged"] >= 2
        assert len(after) < len(before)
        assert sum(s.record_count for s in after) == sum(s.record_count for s in before)
        assert (after[0].base_offset, after[-1].end_offset) == (0, before[-1].end_offset)
        assert all(a.end_offset == b.base_offset for a, b in pairwise(after))
        assert calls.run_job("sweep")["files_deleted"] == counts["segments_merged"]
        assert calls.run_job("compact")["segments_merged"] == 0


def test_retention_passes_a_subscriber_and_it_is_told(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("expire")
    day_ms = 86_400_000
    settings: dict[str, dict[str, object]] = {
        **SMALL,
        "retention": {"clock": "record", "unread_age_s": 1},
    }
    with ServiceProcess(tmp_path, kafka.bootstrap, settings) as service:
        # Older than the default retention of three days.
        _mined(kafka, service, topic, int(time.time() * 1000) - 5 * day_ms)
        with Calls(service.address) as calls:
            kept = calls.segments(topic)[-1].end_offset
            time.sleep(1.1)  # whoever has mined it has not committed
            counts = calls.run_job("expire")
            assert counts["segments_expired"] >= 8
            assert calls.offsets(topic)[0].log_start_offset == kept
            assert calls.segments(topic) == []
        # What the broker still had would be mined again.
        delete_records_before(kafka.bootstrap, topic, {0: kept})

        async def from_the_past() -> list[Gap]:
            gaps: list[Gap] = []
            start = [Position(topic, 0, 5)]
            async with Client(service.address) as client:
                with pytest.raises(DataLoss) as failure:
                    async with client.subscribe(
                        "late", topics=[topic], mode=Mode.INCREMENTAL, start=start
                    ) as stream:
                        gaps += [event async for event in stream.events() if isinstance(event, Gap)]
                assert failure.value.reason == GapCause.CACHE_RETENTION.name
                assert failure.value.metadata["begin_offset"] == "5"
                assert failure.value.metadata["end_offset"] == str(kept)
            return gaps

        asyncio.run(from_the_past())
        seen = asyncio.run(full(service.address, "now", topic))
        assert [offset for offset, _ in seen.of(topic).get(0, [])] == list(range(kept, 2_000))


def test_the_sweep_takes_orphans_and_nothing_else(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("sweep")
    scrub: dict[str, object] = {"bytes_per_s_max": 65_536}
    with ServiceProcess(tmp_path, kafka.bootstrap, {**SMALL, "jobs.scrub": scrub}) as service:
        _mined(kafka, service, topic, int(time.time() * 1000))
        with Calls(service.address) as calls:
            _all_who_join_await_one_run(calls)
            live = service.store / calls.segments(topic)[0].path
            orphan = live.with_name("0-1-orphan.parquet.tmp")
            orphan.write_bytes(b"left by a crash")
            os.utime(orphan, (0, 0))
            assert calls.run_job("sweep") == {"files_deleted": 1, "bytes_freed": 15}
            assert live.exists()
            assert not orphan.exists()


def _all_who_join_await_one_run(calls: Calls) -> None:
    request = admin.RunJobRequest(name="scrub", join=True)
    under_way = [calls.admin.RunJob(request, timeout=60) for _ in range(3)]
    runs = [tuple(each)[-1].run for each in under_way]
    history = admin.ListJobRunsRequest(name="scrub")
    (run,) = calls.admin.ListJobRuns(history, timeout=30).runs
    assert runs == [run] * 3
    assert run.succeeded
    audit = calls.admin.ListAudit(audit_pb2.ListAuditRequest(call="RunJob"), timeout=30)
    entries = [(entry.outcome, json.loads(entry.request)) for entry in audit.entries]
    assert entries == [("OK", {"name": "scrub", "join": True})] * 3


def test_sealing_on_demand_lets_a_query_see_what_was_mined(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """With settings under which nothing is sealed for minutes, and the query of the README."""
    topic = topic_name("sealed")
    create_topic(kafka.bootstrap, topic, 2)
    (query,) = re.findall(r"```sql\n(.*?);\n```", _README.read_text(), re.DOTALL)

    def asked(service: ServiceProcess) -> dict[str, int]:
        assert "'store/log/*/orders/" in query
        sql = query.replace("'store/log/*/orders/", f"'{service.store}/log/*/{topic}/")
        with duckdb.connect() as database:
            return dict(database.execute(sql).fetchall())

    with ServiceProcess(tmp_path, kafka.bootstrap) as service, Calls(service.address) as calls:
        for begin in range(0, 200, 100):
            rows = [
                replace(row, value=b'{"after": %s}' % row.value)
                for row in objects(begin, begin + 100, 2)
                if row.value is not None
            ]
            produce(kafka.bootstrap, topic, rows)
            asyncio.run(full(service.address, "mine", topic))
            counts = calls.run_job("seal")
            assert counts["records_sealed"] == 100
            assert counts["segments_made"] == 2
            assert asked(service) == {str(number): 1 for number in range(begin + 100)}
            assert not any(calls.run_job("seal").values()), "nothing new"
        assert len(calls.segments(topic)) == 4
        asyncio.run(full(service.address, "again", topic))


def test_schedules_are_paused_across_restarts_and_unknown_jobs_refused(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    daily = {"jobs": {"time_zone": "Europe/Berlin", "scrub": {"daily_at": "03:00"}}}
    service = ServiceProcess(tmp_path, kafka.bootstrap, daily)
    with service, Calls(service.address) as calls:
        calls.admin.PauseJob(admin.PauseJobRequest(name="compact"), timeout=30)
        calls.run_job("compact")
        code, reason, _ = refusal(lambda: calls.run_job("defragment"))
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_JOB")
    with service, Calls(service.address) as calls:
        jobs = calls.admin.ListJobs(admin.ListJobsRequest(), timeout=30).jobs
        assert {job.name: job.paused for job in jobs} == {
            "backup": False,
            "compact": True,
            "move": False,
            "snapshot": False,
            "expire": False,
            "scrub": False,
            "seal": False,
            "sweep": False,
            "models": False,
        }
        scrub = next(job for job in jobs if job.name == "scrub")
        assert scrub.daily_at == "03:00 Europe/Berlin"
        at = datetime.fromtimestamp(scrub.next_run_ms / 1000, ZoneInfo("Europe/Berlin"))
        assert f"{at:%H:%M:%S}" == "03:00:00"
        compact = next(job for job in jobs if job.name == "compact")
        assert not compact.HasField("next_run_ms")
        assert compact.last_run.succeeded
        resumed = calls.admin.ResumeJob(admin.ResumeJobRequest(name="compact"), timeout=30).job
        assert resumed.HasField("next_run_ms")
