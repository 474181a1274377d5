"""G4: a reader that slept through its takeover, and one that the supervisor replaced."""

import asyncio
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.serving.local_socket import socket_path
from cachesvc.store.record_schema import encode_payload
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import mining_pb2 as pb
from tests.faults.stage import (
    Calls,
    HandStartedReader,
    anomalies,
    check_manifest,
    error_info,
    eventually,
    objects,
)
from tests.support.frames import Record, record_batch
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import BrokerRecord, RecordWriter, create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

PARTITIONS = 3
# Small journals, so that a takeover meets seals as well.
SMALL = {"segment_bytes_max": 262_144, "memory_bytes_max": 262_144}
Name = Callable[[str], str]


@contextmanager
def _producing(bootstrap: str, topic: str) -> Iterator[None]:
    stop = threading.Event()

    def produce_all_the_time() -> None:
        with RecordWriter(bootstrap, "lz4") as writer:
            number = 0
            while not stop.wait(0.02):
                for record in objects(number, number + 60, PARTITIONS):
                    writer.write_record(topic, record)
                number += 60

    thread = threading.Thread(target=produce_all_the_time)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _needed(calls: Calls, topic: str) -> Iterator[None]:
    """A subscription wants the topic."""
    request = log_cache.SubscribeRequest(
        subscription="needs-it", topics=[topic], mode=log_cache.INCREMENTAL
    )
    stream = calls.log_cache.Subscribe(request)
    assert next(stream).HasField("started")
    try:
        yield
    finally:
        stream.cancel()


def _mined(calls: Calls, topic: str) -> int:
    return sum(found.log_end_offset for found in calls.offsets(topic).values())


def _holder(calls: Calls, topic: str) -> Any:
    """The reader that has the topic now."""
    found = [reader for reader in calls.readers().values() if topic in reader.topics]
    return found[0] if len(found) == 1 else None


def _mining_goes_on(calls: Calls, topic: str) -> None:
    before = _mined(calls, topic)
    eventually(lambda: _mined(calls, topic) > before, "mining to go on")


def _check_whole(
    service: ServiceProcess, bootstrap: str, topic: str
) -> dict[int, list[BrokerRecord]]:
    """A full stream is what the broker has; then the service is stopped and its files are."""
    truth = read_all(bootstrap, topic)
    seen = asyncio.run(full(service.address, "everything", topic))
    assert not anomalies(truth, seen, topic)
    service.stop()
    check_manifest(service.store, topic, truth)
    return truth


def test_late_appends_of_a_reader_that_slept_through_its_takeover_change_nothing(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("paused")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    settings = {"store": SMALL, "mining": {"readers": 0, "reader_timeout_s": 2}}
    with ExitStack() as stack:
        service = stack.enter_context(ServiceProcess(tmp_path, kafka.bootstrap, settings))
        calls = stack.enter_context(Calls(service.address))
        readers = {
            name: stack.enter_context(HandStartedReader(service, name)) for name in ("one", "two")
        }
        stack.enter_context(_needed(calls, topic))
        eventually(lambda: len(calls.readers()) == 2, "both readers to join")
        with _producing(kafka.bootstrap, topic):
            before = eventually(lambda: _holder(calls, topic), "a reader to take the topic")
            _mining_goes_on(calls, topic)
            sleeper = readers.pop(before.name)
            (other,) = readers
            sleeper.process.send_signal(signal.SIGSTOP)
            try:
                eventually(
                    lambda: (holder := _holder(calls, topic)) and holder.name == other,
                    "the other reader to take over",
                )
                _mining_goes_on(calls, topic)
            finally:
                sleeper.process.send_signal(signal.SIGCONT)
            eventually(
                lambda: (
                    (woken := calls.readers().get(before.name))
                    and woken.joined_ms > before.joined_ms
                ),
                "the woken reader to join again",
            )
            _mining_goes_on(calls, topic)
            assert sleeper.process.poll() is None, "the woken reader is the same process"
        assert before.name in [event["reader"] for event in service.events("reader_silent")]
        _check_whole(service, kafka.bootstrap, topic)


def test_the_supervisor_replaces_a_reader_that_sleeps(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("replaced")
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    settings = {"store": SMALL, "mining": {"readers": 2, "reader_timeout_s": 2}}
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings) as service,
        Calls(service.address) as calls,
        _needed(calls, topic),
    ):
        eventually(lambda: len(calls.readers()) == 2, "both readers to join")
        with _producing(kafka.bootstrap, topic):
            before = eventually(lambda: _holder(calls, topic), "a reader to take the topic")
            _mining_goes_on(calls, topic)
            os.kill(before.pid, signal.SIGSTOP)
            eventually(
                lambda: (r := calls.readers().get(before.name)) and r.pid != before.pid,
                "another process to join in its place",
            )
            assert before.pid not in service.reader_pids()
            assert len(service.reader_pids()) == 2
            eventually(lambda: _holder(calls, topic), "a reader to have the topic")
            _mining_goes_on(calls, topic)
        _check_whole(service, kafka.bootstrap, topic)


class _Impostor:
    """A reader that says just what it is told to, on the store's socket."""

    def __init__(self, mining: Any, topic: str) -> None:
        self._topic = topic
        self._joining: queue.SimpleQueue[pb.JoinRequest | None] = queue.SimpleQueue()
        self._appending: queue.SimpleQueue[pb.AppendRequest | None] = queue.SimpleQueue()
        self._joining.put(
            pb.JoinRequest(reader="impostor", connection="default", protocol_version=1)
        )
        self.join = mining.Join(iter(self._joining.get, None))
        self.answers = mining.Append(iter(self._appending.get, None))
        next(self.join)  # its settings
        self.epoch = 0
        while not self.epoch:
            self.epoch = next((t.epoch for t in next(self.join).topics if t.topic == topic), 0)

    def wanted(self) -> tuple[int, int]:
        """The first missing range that somebody wants, once somebody does."""
        for response in self.join:
            for topic in response.topics:
                for partition in topic.partitions:
                    if partition.HasField("backfill"):
                        return partition.backfill.begin_offset, partition.backfill.end_offset
        raise AssertionError("the service has ended the call")

    def append(self, rows: list[BrokerRecord], **others: Any) -> pb.AppendResponse:
        """Appends what the broker has, with other fields as given; the service's answer."""
        columns = [Record(r.offset, (r.value or b"").decode(), r.key, r.timestamp_ms) for r in rows]
        request = pb.AppendRequest(
            connection="default",
            topic=self._topic,
            incarnation=1,
            epoch=self.epoch,
            base_offset=rows[0].offset,
            end_offset=rows[-1].offset + 1,
            first_offset=rows[0].offset,
            record_count=len(rows),
            min_timestamp_ms=rows[0].timestamp_ms,
            max_timestamp_ms=rows[-1].timestamp_ms,
            payload=encode_payload(record_batch(columns)),
            **others,
        )
        self._appending.put(request)
        answer: pb.AppendResponse = next(self.answers)
        return answer

    def close(self) -> None:
        """Ends both calls."""
        self._joining.put(None)
        self._appending.put(None)


def test_an_append_under_an_old_epoch_is_refused_wherever_it_fits(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """The same without chance: what a sleeper would send is sent, after the takeover."""
    topic = topic_name("epochs")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 30))
    rows = read_all(kafka.bootstrap, topic)[0]
    # In which it appends, and then is silent for so long.
    settings = {"mining": {"readers": 0, "reader_timeout_s": 15}}
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings) as service,
        Calls(service.address) as calls,
        Calls(f"unix:{socket_path(service.store)}") as local,
        _needed(calls, topic),
    ):
        impostor = _Impostor(local.mining, topic)
        try:
            taken = impostor.append(rows[:10])
            assert (taken.refused, taken.log_end_offset) == ("", 10)
            twice = impostor.append(rows[5:15])
            assert (twice.refused, twice.log_end_offset) == ("NOT_CONTIGUOUS", 10)
            with pytest.raises(grpc.RpcError) as replaced:
                next(impostor.join)
            assert replaced.value.code() is grpc.StatusCode.ABORTED
            assert error_info(replaced.value)[0] == "READER_REPLACED"
            # Nobody has the topic: still it is not the impostor's any more.
            late = impostor.append(rows[10:20])
            assert (late.refused, late.log_end_offset) == ("STALE_EPOCH", 10)
            with HandStartedReader(service, "heir"):
                eventually(lambda: _mined(calls, topic) == 30, "the next reader to mine the rest")
                produce(kafka.bootstrap, topic, objects(30, 40))
                eventually(lambda: _mined(calls, topic) == 40, "the next reader to go on")
                late = impostor.append(rows[10:20])
                assert (late.refused, late.log_end_offset) == ("STALE_EPOCH", 40)
        finally:
            impostor.close()
        _check_whole(service, kafka.bootstrap, topic)


def test_older_records_of_a_later_leader_epoch_are_refused(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """They are what the source has after an election that has lost what was there."""
    topic = topic_name("missing")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 30))
    rows = read_all(kafka.bootstrap, topic)[0]
    settings = {"mining": {"readers": 0, "reader_timeout_s": 120}}  # it never reports
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings) as service,
        Calls(service.address) as calls,
        Calls(f"unix:{socket_path(service.store)}") as local,
        _needed(calls, topic),
    ):
        impostor = _Impostor(local.mining, topic)
        try:
            # Mining begins at 20, and a subscriber wants what is before.
            assert not impostor.append(rows[20:], leader_epoch=3).refused
            whole = log_cache.SubscribeRequest(
                subscription="whole", topics=[topic], mode=log_cache.FULL
            )
            stream = calls.log_cache.Subscribe(whole, timeout=60)
            assert next(stream).WhichOneof("event") == "started"
            assert impostor.wanted() == (0, 20)
            later = impostor.append(rows[:10], leader_epoch=4, backfill=True)
            assert (later.refused, later.log_end_offset) == ("SOURCE_TRUNCATED", 0)
            for part, epoch in ((rows[:10], 1), (rows[10:20], 3)):
                taken = impostor.append(part, leader_epoch=epoch, backfill=True)
                assert (taken.refused, taken.HasField("leader_epoch")) == ("", False)
            events = list(stream)
            assert sum(event.batch.record_count for event in events) == 30
        finally:
            impostor.close()
        _check_whole(service, kafka.bootstrap, topic)
