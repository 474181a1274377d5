"""A whole service whose default store is a bucket: mined, moved, killed, cut off, expired."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Bootstrap
from cachesvc.v1 import alarms_pb2 as alarms
from cachesvc.v1 import mining_tasks_pb2 as tasks
from cachesvc.v1 import stores_pb2 as pb
from cachesvc.v1.admin_pb2 import RunJobRequest
from tests.faults.stage import CALL_S, Calls, anomalies, eventually, objects
from tests.faults.streams import beyond_gaps
from tests.support.kafka_broker import KafkaBroker
from tests.support.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import (
    BrokerRecord,
    create_topic,
    delete_records_before,
    produce,
    read_all,
)

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]
Name = Callable[[str], str]
NEVER: dict[str, object] = {"interval_s": 86_400}
SETTINGS: dict[str, dict[str, object]] = {
    # All that is read has to come from the bucket, as soon as it is sealed.
    "store": {
        "segment_bytes_max": 65_536,
        "warm_bytes_max": 0,
        "memory_bytes_max": 65_536,
        "chunk_cache_bytes_max": 65_536,
        "waiting_bytes_max": 1 << 20,
    },
    "mining": {"batch_records_max": 250},
    "jobs.compact": NEVER,
    "jobs.expire": NEVER,
    "jobs.sweep": {**NEVER, "grace_s": 0},
    "alarms": {"interval_s": 0.2, "raise_after_s": 0, "clear_after_s": 0},
}
ROUND = 3_000
SEGMENTS_MIN = 4


class Stage:
    """A service on a bucket behind a proxy, and what the broker has."""

    def __init__(self, bootstrap: str, topic: str, directory: Path, server: S3Server) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self.objects = server.bucket / topic
        self.truth: dict[int, list[BrokerRecord]] = {}
        self.directory = directory
        self.service = self.at("service")
        self.proxy = TcpProxy(server.port)
        self._keys = directory
        self._produced = 0
        self._reads = 0

    def at(self, name: str) -> ServiceProcess:
        """A service with a directory of that name."""
        backup = {"directory": str(self.directory / "backups"), "other_stores": True}
        settings = {**SETTINGS, "jobs.backup": backup}
        snapshots = {"snapshot_expression": self.topic}
        return ServiceProcess(self.directory / name, self.bootstrap, settings, snapshots)

    def store(self) -> pb.Store:
        for name, secret in (("access", ACCESS_KEY), ("secret", SECRET_KEY)):
            (self._keys / name).write_text(secret)
        return pb.Store(
            name="bucket",
            kind="s3",
            default=True,
            bucket=BUCKET,
            prefix=self.topic,
            endpoint=f"http://127.0.0.1:{self.proxy.port}",
            access_key_file=str(self._keys / "access"),
            secret_key_file=str(self._keys / "secret"),
            request_timeout_s=5,
            retry_s=1,
            cache_bytes_max=0,
        )

    def produce(self, count: int = ROUND) -> None:
        begin, self._produced = self._produced, self._produced + count
        produce(self.bootstrap, self.topic, objects(begin, self._produced))
        self.truth = read_all(self.bootstrap, self.topic)

    def check(self) -> None:
        """A new subscription gets all from the oldest record on."""
        self._reads += 1
        name = f"reader-{self._reads}"
        found = asyncio.run(full(self.service.address, name, self.topic, timeout_s=90))
        assert not anomalies(self.truth, found, self.topic)

    def calls(self) -> Calls:
        return Calls(self.service.address)

    def parquet(self) -> set[str]:
        return {path.name for path in self.objects.rglob("*.parquet")}

    def local(self) -> set[str]:
        return {path.name for path in (self.service.store / "log").rglob("*.parquet")}


@pytest.fixture
def stage(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path, s3_server: S3Server
) -> Iterator[Stage]:
    made = Stage(kafka.bootstrap, topic_name("bucket"), tmp_path, s3_server)
    create_topic(kafka.bootstrap, made.topic)
    with made.proxy, made.service:
        with made.calls() as calls:
            calls.admin.CreateStore(pb.CreateStoreRequest(store=made.store()), timeout=CALL_S)
        yield made


def place(calls: Calls, topic: str, store: str) -> int:
    request = pb.PlaceTopicRequest(topic=topic, store=store)
    return int(calls.admin.PlaceTopic(request, timeout=CALL_S).segment_count)


def stores_of(calls: Calls, topic: str) -> dict[str, int]:
    """Segments of the topic by store, as ``store list`` shows them."""
    states = calls.admin.ListStores(pb.ListStoresRequest(), timeout=CALL_S).stores
    return {each.name: each.segment_count for each in states if each.segment_count}


def away(calls: Calls) -> list[Any]:
    found = calls.admin.ListAlarms(alarms.ListAlarmsRequest(), timeout=CALL_S).alarms
    return [alarm for alarm in found if alarm.kind == alarms.ALARM_STORE_AWAY]


def test_a_life_on_a_bucket(stage: Stage) -> None:
    service, topic = stage.service, stage.topic
    with stage.calls() as calls:
        for _ in range(SEGMENTS_MIN):
            stage.produce(ROUND // SEGMENTS_MIN)
            stage.check()
            calls.run_job("seal")
        assert stores_of(calls, topic).keys() == {"bucket"}
        assert stage.parquet()
        assert not stage.local()
    stage.check()
    _killed_while_it_moves(stage)
    service.kill()
    service.start()
    stage.check()
    with stage.calls() as calls:
        place(calls, topic, "bucket")
        calls.run_job("move")
        before = len(calls.segments(topic))
        assert calls.run_job("compact")["segments_merged"] >= 2
        assert len(calls.segments(topic)) < before
        calls.run_job("sweep")
        named = {Path(segment.path).name for segment in calls.segments(topic)}
        assert named <= stage.parquet()
        assert not stage.local()
    stage.check()
    _expired(stage)


def test_a_backup_is_whole_without_the_bucket(stage: Stage) -> None:
    stage.produce()
    stage.check()
    with stage.calls() as calls:
        calls.run_job("seal")
        assert stores_of(calls, stage.topic).keys() == {"bucket"}
        assert calls.run_job("snapshot")["snapshots_made"] == 1
        stage.produce(ROUND // SEGMENTS_MIN)
        stage.check()
        assert calls.run_job("backup")["files"] > SEGMENTS_MIN
        # Nothing of it is copied away from where it lies.
        assert stores_of(calls, stage.topic).keys() == {"bucket"}
    stage.service.kill()
    stage.proxy.cut()
    # What is read now is not from the broker either.
    delete_records_before(stage.bootstrap, stage.topic, {0: len(stage.truth[0])})
    (backup,) = (stage.directory / "backups").iterdir()
    restored = stage.at("restored")
    shutil.copytree(backup, restored.store)
    with restored, Calls(restored.address) as calls:
        assert stores_of(calls, stage.topic).keys() == {"local"}
        found = asyncio.run(full(restored.address, "all", stage.topic, timeout_s=90))
        assert not anomalies(stage.truth, found, stage.topic)
        latest, gaps = asyncio.run(beyond_gaps(restored.address, stage.topic, Bootstrap.SNAPSHOT))
        assert (len(latest), gaps) == (len(stage.truth[0]), []), "every record has its own key"
    stage.proxy.restore()


def _killed_while_it_moves(stage: Stage) -> None:
    """Moves to the service's own directory, killed at a random moment, and on again."""
    chance = random.Random(stage.topic)
    with stage.calls() as calls:
        count = place(calls, stage.topic, "local")
        assert count >= SEGMENTS_MIN
        progress = calls.admin.RunJob(RunJobRequest(name="move"))
        assert next(progress).total == count
        time.sleep(chance.uniform(0, 0.3))
        stage.service.kill()
        progress.cancel()
    stage.service.start()
    stage.check()
    with stage.calls() as calls:
        calls.run_job("move")
        assert stores_of(calls, stage.topic).keys() == {"local"}


def _expired(stage: Stage) -> None:
    """What is older than the retention goes from the bucket as well."""
    with stage.calls() as calls:
        calls.run_job("seal")
        calls.admin.StopMiningTask(tasks.StopMiningTaskRequest(), timeout=CALL_S)
        request = tasks.EditMiningTaskRequest(retention_days=1e-6)
        calls.admin.EditMiningTask(request, timeout=CALL_S)
        time.sleep(0.2)
        calls.run_job("expire")
        assert not calls.segments(stage.topic)
        calls.run_job("sweep")
        (offsets,) = calls.offsets(stage.topic).values()
        assert offsets.log_start_offset == len(stage.truth[0])


def test_while_the_bucket_is_away_mining_pauses_in_time_and_nothing_is_lost(stage: Stage) -> None:
    stage.produce()
    stage.check()
    with stage.calls() as calls:
        calls.run_job("seal")
        stage.proxy.cut()
        stage.produce(4 * ROUND)

        def paused() -> bool:
            (offsets,) = calls.offsets(stage.topic).values()
            state = calls.topic(stage.topic)
            return "STORE_BEHIND" in state.mining_error and offsets.log_end_offset < len(
                stage.truth[0]
            )

        eventually(paused, "mining to pause")
        (alarm,) = eventually(lambda: away(calls), "the alarm")
        assert "'bucket' is away" in alarm.message
        bound = "nothing is mined for it"
        eventually(lambda: any(bound in each.message for each in away(calls)), "its bound")

        def told() -> bool:
            request = pb.GetStoreRequest(name="bucket")
            found = calls.admin.GetStore(request, timeout=CALL_S).store
            return bool(found.error) and found.waiting_bytes >= 1 << 20

        eventually(told, "the store to say what waits for it, and why")
        journals = sum(path.stat().st_size for path in stage.service.store.rglob("*.journal"))
        assert journals < 2 << 20, "what waits is bounded"
        stage.proxy.restore()
        stage.check()
        eventually(lambda: not away(calls), "the alarm to go")
        calls.run_job("seal")
        assert stores_of(calls, stage.topic).keys() == {"bucket"}
    stage.check()
