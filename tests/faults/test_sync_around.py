"""A sync task around the cache and back, while the service is killed and comes to life again."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.sync.runner.kept_positions import KeptPositions
from cachesvc.v1.admin_pb2 import ListRejectsRequest
from cachesvc.v1.admin_pb2_grpc import AdminStub
from tests.faults.stage import eventually, objects
from tests.support.checker import Observation, check
from tests.support.file_sink import events, mark, offsets
from tests.support.kafka_broker import KafkaBroker
from tests.support.secured_broker import SecuredBroker
from tests.support.service import ServiceProcess
from tests.support.sync_process import SyncProcess
from tests.support.topics import (
    OutRecord,
    TransactionalWriter,
    add_partitions,
    create_topic,
    delete_records_before,
    produce,
    read_all,
)

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(300)]

PARTITIONS = 2
OUTAGES = 2


def _tables(broker: KafkaBroker, **source: Any) -> dict[str, dict[str, Any]]:
    return {
        "source": {
            "source": "auto",
            "outside_after_s": 0.5,
            "positions_file": "positions",
            "kafka": {"bootstrap_servers": [broker.bootstrap]},
            **source,
        }
    }


def _no_gap_and_no_duplicate(bootstrap: str, topic: str, task: SyncProcess) -> None:
    truth, seen = read_all(bootstrap, topic), events(task.output, topic)
    assert not check(truth, [Observation("task", number, seen[number]) for number in truth])


def test_around_the_cache_and_back_there_is_no_gap_and_no_duplicate(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("around")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    service = ServiceProcess(tmp_path / "service", kafka.bootstrap)
    count = 0

    def grow(by: int) -> None:
        nonlocal count
        produce(kafka.bootstrap, topic, objects(count, count + by, PARTITIONS))
        count += by

    def all_written() -> bool:
        return _written(task, topic) >= count

    with service, SyncProcess(tmp_path / "task", service.address, topic, _tables(kafka)) as task:
        grow(1_000)
        eventually(all_written, "what there was")
        checks = {each["check"]: each["passed"] for each in task.json("check", str(task.file))}
        assert checks["broker"] and all(checks.values())
        for _ in range(OUTAGES):
            grow(random.randrange(1, 2_000))
            service.kill()
            grow(1_000)
            eventually(lambda: task.outside, "the task to go around the cache")
            grow(1_000)
            eventually(all_written, "what came while the service was dead")
            _restart(task, tmp_path / "task" / "positions")
            grow(1_000)
            eventually(all_written, "what came after the task")
            service.start()
            grow(random.randrange(1, 2_000))
            eventually(lambda: not task.outside, "the task to come back")
            grow(1_000)
            eventually(all_written, "what came after the service")
        assert task.terminate() == 0
    assert task.ended().outside_s > 0
    assert "reads the broker itself from now on" in task.log
    assert "back at the cache; was around it" in task.log
    assert not (tmp_path / "task" / "positions").exists()
    _no_gap_and_no_duplicate(kafka.bootstrap, topic, task)


def test_a_range_that_the_service_cannot_give_is_read_from_a_broker_that_has_it(
    fresh_kafka: KafkaBroker, tmp_path: Path
) -> None:
    """The broker's disk is put back to a copy with records that the service knows to be gone."""
    bootstrap, data, copy = fresh_kafka.bootstrap, fresh_kafka.data_directory, tmp_path / "copy"
    create_topic(bootstrap, "orders", 1)
    produce(bootstrap, "orders", objects(0, 1_000, 1))
    fresh_kafka.stop()
    shutil.copytree(data, copy)
    fresh_kafka.start()
    delete_records_before(bootstrap, "orders", {0: 400})
    start = [{"topic": "orders", "partition": 0, "offset": 0}]
    tables = _tables(fresh_kafka, start=start)
    service = ServiceProcess(tmp_path / "service", bootstrap)
    with service, SyncProcess(tmp_path / "task", service.address, "orders", tables) as task:
        assert task.wait() == 1
        trouble = task.ended().trouble
        assert trouble is not None and trouble.reason == "SOURCE_RETENTION"
        assert "reads the broker itself from now on" in task.log

        fresh_kafka.stop()
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        fresh_kafka.start()
        task.start()
        eventually(lambda: _written(task, "orders") >= 1_000, "what the broker has")
        eventually(lambda: not task.outside, "the task to come back")
        produce(bootstrap, "orders", objects(1_000, 1_500, 1))
        eventually(lambda: _written(task, "orders") >= 1_500, "what came afterwards")
        assert task.terminate() == 0
    assert "back at the cache; was around it" in task.log
    _no_gap_and_no_duplicate(bootstrap, "orders", task)


def test_the_broker_is_read_over_tls_with_a_password(
    secured_kafka: SecuredBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    plain, topic = secured_kafka.broker.bootstrap, topic_name("secured")
    create_topic(plain, topic, PARTITIONS)
    produce(plain, topic, objects(0, 500, PARTITIONS))
    tls, sasl = secured_kafka.tls(), secured_kafka.sasl("alice")
    way = secured_kafka.connection("", "PASSWORD", tls=tls, sasl=sasl)
    del way["name"]
    tables = _tables(secured_kafka.broker, kafka=way)
    service = ServiceProcess(tmp_path / "service", plain)
    with service, SyncProcess(tmp_path / "task", service.address, topic, tables) as task:
        eventually(lambda: _written(task, topic) >= 500, "what there was")
        checks = {each["check"]: each["passed"] for each in task.json("check", str(task.file))}
        assert checks["broker"]
        service.kill()
        eventually(lambda: task.outside, "the task to go around the cache")
        produce(plain, topic, objects(500, 1_000, PARTITIONS))
        eventually(lambda: _written(task, topic) >= 1_000, "what came while it was dead")
        service.start()
        eventually(lambda: not task.outside, "the task to come back")
        assert task.terminate() == 0
    _no_gap_and_no_duplicate(plain, topic, task)


def _written(task: SyncProcess, topic: str) -> int:
    return sum(len(set(found)) for found in offsets(task.output, topic).values())


def test_a_partition_made_meanwhile_is_read_from_its_beginning_once_the_cache_is_back(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    """In the mode that begins everything else at its end."""
    topic = topic_name("grown")
    create_topic(kafka.bootstrap, topic, 1)
    tables = _tables(kafka, mode="INCREMENTAL")
    service = ServiceProcess(tmp_path / "service", kafka.bootstrap)
    with service, SyncProcess(tmp_path / "task", service.address, topic, tables) as task:
        eventually(lambda: task.state == "running", "the task to begin")
        produce(kafka.bootstrap, topic, objects(0, 10, 1))
        eventually(lambda: offsets(task.output, topic).get(0) == list(range(10)), "those inside")
        service.kill()
        eventually(lambda: task.outside, "the task to go around the cache")
        add_partitions(kafka.bootstrap, topic, 2)
        produce(kafka.bootstrap, topic, objects(10, 30, 2))
        known = list(range(20))
        eventually(lambda: offsets(task.output, topic)[0] == known, "those of before, outside")
        assert 1 not in offsets(task.output, topic)
        service.start()
        eventually(lambda: not task.outside, "the task to come back")
        new = list(range(10))
        eventually(lambda: offsets(task.output, topic).get(1) == new, "those of the new partition")
        assert offsets(task.output, topic)[0] == known
        assert task.terminate() == 0


def _rejects(service: ServiceProcess, topic: str) -> list[int]:
    """Offsets of what the service keeps apart."""
    with grpc.insecure_channel(service.address) as channel:
        pages = AdminStub(channel).ListRejects(ListRejectsRequest(topic=topic), timeout=60)
        return sorted(each.offset for page in pages for each in page.rejects)


def _restart(task: SyncProcess, positions: Path) -> None:
    """Kills the task while the service is dead; notes where it has to go on."""
    task.kill()
    kept = {each.partition: each.offset for each in KeptPositions(positions).read().values()}
    mark(task.output, kept)
    task.start()


def test_outside_the_same_records_pass_as_inside(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("rule")
    create_topic(kafka.bootstrap, topic, 1)
    awkward = [
        OutRecord(b"k", b'{"a":1}'),
        OutRecord(b"k", b"[1]"),
        OutRecord(b"k", b"no json"),
        OutRecord(b"k", None),
        OutRecord(None, b'{"a":"\xff"}'),
        OutRecord(b"k", b'{"last":true}', headers=(("h", b"\xff"), ("n", None))),
    ]
    service = ServiceProcess(tmp_path / "service", kafka.bootstrap)
    with service, SyncProcess(tmp_path / "task", service.address, topic, _tables(kafka)) as task:
        with TransactionalWriter(kafka.bootstrap) as writer:
            writer.commit(topic, awkward)
            eventually(lambda: offsets(task.output, topic).get(0) == [0, 3, 5], "those inside")
            service.kill()
            writer.abort(topic, awkward)
            writer.commit(topic, awkward)
            expected = [0, 3, 5, 14, 17, 19]
            eventually(lambda: offsets(task.output, topic)[0] == expected, "those outside")
            service.start()
            eventually(lambda: not task.outside, "the task to come back")
            writer.commit(topic, awkward)
            expected += [21, 24, 26]
            eventually(lambda: offsets(task.output, topic)[0] == expected, "those after")
            # The service mines what it missed, and keeps apart what the task had to leave out.
            rejected = [1, 2, 4, 15, 16, 18, 22, 23, 25]
            eventually(lambda: _rejects(service, topic) == rejected, "the service's rejects")
        assert task.terminate() == 0
    assert "are no JSON objects and left out" in task.log
