"""B12: what many partitions cost: until a stream starts and has all, while nothing happens, after
a restart, and in memory."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import grpc
import psutil
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1.log_cache_pb2_grpc import LogCacheStub
from tests.bench.processes import BenchError, wait_until
from tests.bench.report import Figure, Side, Target, absolute
from tests.bench.service import Service
from tests.bench.stage import Stage
from tests.support.reading import QUIET
from tests.support.topics import OutRecord, RecordWriter, create_topic

PER_TOPIC = 3
RECORDS = 5
_PREFIX = "many"
_FEW = "few"
_TOPICS_AT_ONCE = 200
_PATIENCE_S = 600.0
_SETTLING_S, _IDLE_S = 5.0, 20.0
_KIB = 1024


@dataclass(slots=True)
class _Measured:
    """The values of all runs."""

    started_s: list[float] = field(default_factory=list)
    complete_s: list[float] = field(default_factory=list)
    reader_idle: list[float] = field(default_factory=list)
    service_idle: list[float] = field(default_factory=list)
    restart_s: list[float] = field(default_factory=list)
    kib_each: list[float] = field(default_factory=list)


def measure(stage: Stage) -> list[Figure]:
    """Subscribe to all topics at once on an empty store, look on, and start again."""
    topics = stage.options.partitions // PER_TOPIC
    if (
        _FEW
        not in AdminClient({"bootstrap.servers": stage.bootstrap, **QUIET}).list_topics().topics
    ):
        create_topic(stage.bootstrap, _FEW, 1)
        _produce(stage, [(_FEW, 0)])
    _make_topics(stage, topics)
    found = _Measured()
    for _ in stage.runs("B12"):
        _run(stage, topics, found)
    partitions = topics * PER_TOPIC
    title = f"{partitions:,} partitions"

    def figure(name: str, what: str, values: list[float], unit: str, target: Target) -> Figure:
        return absolute(name, f"{title}: {what}", Side("cache", unit, tuple(values)), target)

    bounds = [Target("at most", *each) for each in ((5, 1), (2, 0), (5, 1), (20, 5))]
    whole = Side("cache", "s", tuple(found.complete_s))
    return [
        figure("B12", "until `started`", found.started_s, "s", bounds[0]),
        absolute("B12l", f"{title}: until the last of {RECORDS} records of each", whole),
        figure("B12r", "idle reader, of a core", found.reader_idle, "%", bounds[1]),
        figure("B12s", "idle service, of a core", found.service_idle, "%", bounds[1]),
        figure("B12b", "restart to a first record", found.restart_s, "s", bounds[2]),
        figure("B12m", "memory of each, both processes", found.kib_each, "KiB", bounds[3]),
    ]


def _make_topics(stage: Stage, count: int) -> None:
    names = [f"{_PREFIX}-{number:05}" for number in range(count)]
    admin = AdminClient({"bootstrap.servers": stage.bootstrap, **QUIET})
    there = admin.list_topics(timeout=60).topics
    new = [name for name in names if name not in there]
    for begin in range(0, len(new), _TOPICS_AT_ONCE):
        part = [NewTopic(name, PER_TOPIC, 1) for name in new[begin : begin + _TOPICS_AT_ONCE]]
        for made in admin.create_topics(part, request_timeout=120).values():
            made.result()
        stage.say(f"B12: {begin + len(part):,} of {len(new):,} topics")
    wait_until(lambda: _led(admin) >= count * PER_TOPIC, "leaders of all topics", _PATIENCE_S, 1.0)
    _produce(stage, [(name, number) for name in new for number in range(PER_TOPIC)])


def _led(admin: AdminClient) -> int:
    """How many partitions of the topics have a leader."""
    return sum(
        partition.leader >= 0
        for name, topic in admin.list_topics(timeout=60).topics.items()
        if name.startswith(f"{_PREFIX}-")
        for partition in topic.partitions.values()
    )


def _produce(stage: Stage, places: list[tuple[str, int]]) -> None:
    writer = RecordWriter(
        stage.bootstrap, settings={"topic.metadata.propagation.max.ms": int(_PATIENCE_S * 1000)}
    )
    for topic, number in places:
        for at in range(RECORDS):
            row = OutRecord(None, b'{"id":%d}' % at)
            writer.write(topic, row.value, partition=number)
    writer.flush(_PATIENCE_S)


class _Stream:
    """A stream over all topics of an expression that counts what comes, in a thread."""

    def __init__(self, target: str, expression: str) -> None:
        self.started_s: float | None = None
        self.records = 0
        self._channel = grpc.insecure_channel(
            target, options=[("grpc.max_receive_message_length", -1)]
        )
        self._request = pb.SubscribeRequest(
            subscription=f"bench-{uuid.uuid4().hex}",
            topic_expression=expression,
            mode=pb.FULL_AND_INCREMENTAL,
            encoding=pb.ARROW_IPC,
        )
        self._began_s = time.monotonic()
        self._error = ""
        self._thread = threading.Thread(target=self._read, name="stream", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        subscribe: Callable[..., Iterator[pb.SubscribeResponse]] = LogCacheStub(
            self._channel
        ).Subscribe
        try:
            for answer in subscribe(self._request, wait_for_ready=True):
                if answer.WhichOneof("event") == "started":
                    self.started_s = time.monotonic() - self._began_s
                self.records += answer.batch.record_count
        except grpc.RpcError as error:
            self._error = str(error)

    def wait(self, records: int) -> float:
        """Wait for so many; return the seconds since the call."""

        def all_there() -> bool:
            if self._error and self.records < records:
                raise BenchError(f"the stream ended after {self.records} records: {self._error}")
            return self.records >= records

        wait_until(all_there, f"{records:,} records", _PATIENCE_S)
        return time.monotonic() - self._began_s

    def close(self) -> None:
        self._channel.close()
        self._thread.join(10)


def _run(stage: Stage, topics: int, found: _Measured) -> None:
    partitions = topics * PER_TOPIC
    with stage.service("b12") as service:
        few = _Stream(service.target, _FEW)
        few.wait(RECORDS)
        time.sleep(_SETTLING_S)
        before = sum(each.memory_info().rss for each in _processes(service))
        stream = _Stream(service.target, f"{_PREFIX}-.*")
        found.complete_s.append(stream.wait(partitions * RECORDS))
        assert stream.started_s is not None
        found.started_s.append(stream.started_s)
        few.close()
        time.sleep(_SETTLING_S)
        after = sum(each.memory_info().rss for each in _processes(service))
        found.kib_each.append((after - before) / _KIB / partitions)
        _look_on(service, found)
        stream.close()
        wanted = partitions * RECORDS
        stage.check("B12: records", stream.records == wanted, f"{stream.records} of {wanted}")
        service.stop()
        began_s = time.monotonic()
        service.start()
        first = _Stream(service.target, f"{_PREFIX}-.*")
        first.wait(1)
        found.restart_s.append(time.monotonic() - began_s)
        first.close()


def _look_on(service: Service, found: _Measured) -> None:
    """Take the CPU time of both processes while nothing is produced."""
    owner, *readers = _processes(service)
    before = _cpu_s([owner]), _cpu_s(readers)
    time.sleep(_IDLE_S)
    found.service_idle.append(100 * (_cpu_s([owner]) - before[0]) / _IDLE_S)
    found.reader_idle.append(100 * (_cpu_s(readers) - before[1]) / _IDLE_S)


def _cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _processes(service: Service) -> list[psutil.Process]:
    """The service and its readers."""
    owner = psutil.Process(service.pid)
    return [owner, *owner.children(recursive=True)]
