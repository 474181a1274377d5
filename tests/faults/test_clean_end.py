"""G12: SIGTERM and SIGINT end the service in bounded time; clients come back by themselves."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from cachesvc.client import Client, Mode
from cachesvc.v1 import log_cache_pb2 as pb
from tests.faults.stage import Calls, anomalies, error_info, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, full
from tests.support.topics import RecordWriter, create_topic, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(180)]
GRACE_S = 5.0
# On top of what is promised: a machine that does other things stands still for seconds.
STALL_S = 15.0
STREAMS = 8


@contextmanager
def _producing(bootstrap: str, topic: str) -> Iterator[None]:
    stop = threading.Event()

    def produce() -> None:
        with RecordWriter(bootstrap, "zstd") as writer:
            begin = 0
            while not stop.wait(0.01):
                for record in objects(begin, begin + 100, partitions=2):
                    writer.write_record(topic, record)
                begin += 100
                writer.flush()

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(calls: Calls, topic: str, number: int, statuses: list[tuple[object, str]]) -> None:
    """Reads a stream to its end and notes with what status it ended."""
    request = pb.SubscribeRequest(
        subscription=f"raw-{number}", topics=[topic], mode=pb.FULL_AND_INCREMENTAL
    )
    try:
        for _ in calls.log_cache.Subscribe(request):
            pass
    except grpc.RpcError as error:
        statuses.append((error.code(), error_info(error)[0]))


def test_sigterm_under_load(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("end")
    create_topic(kafka.bootstrap, topic, 2)
    service = ServiceProcess(
        tmp_path, kafka.bootstrap, {"server": {"shutdown_grace_s": GRACE_S}}
    ).start()
    statuses: list[tuple[object, str]] = []
    delivered = Delivered()
    enough = threading.Event()

    async def follow() -> None:
        """Stays connected through the restart, as a task would."""
        async with (
            Client(service.address) as client,
            client.subscribe("task", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL) as stream,
        ):
            async for batch in stream:
                delivered.add(batch)
                await stream.commit(batch.position)
                if enough.is_set():
                    return

    following = threading.Thread(target=lambda: asyncio.run(asyncio.wait_for(follow(), 120)))
    try:
        with _producing(kafka.bootstrap, topic), Calls(service.address) as calls:
            following.start()
            watchers = [
                threading.Thread(target=_watch, args=(calls, topic, number, statuses))
                for number in range(STREAMS)
            ]
            for watcher in watchers:
                watcher.start()
            while delivered.count < 2_000:
                assert following.is_alive()
                following.join(0.05)
            took_s = service.stop(GRACE_S + 2 * STALL_S)
            for watcher in watchers:
                watcher.join(60)
            service.start()
            before = delivered.count
            while delivered.count < before + 1_000:
                assert following.is_alive()
                following.join(0.05)
        enough.set()
        with _producing(kafka.bootstrap, topic):
            following.join(60)
        assert not following.is_alive()
        truth = read_all(kafka.bootstrap, topic)
        everything = asyncio.run(full(service.address, "everything", topic))
        service.stop()
    finally:
        enough.set()
        service.kill()
    assert took_s <= GRACE_S + STALL_S
    assert statuses == [(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")] * STREAMS
    assert not anomalies(truth, everything, topic)
    for number, rows in delivered.of(topic).items():
        offsets = [offset for offset, _ in rows]
        assert offsets == list(range(len(offsets))), f"partition {number} across the restart"


def test_sigint_ends_it_as_well(kafka: KafkaBroker, tmp_path: Path) -> None:
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        service.signal(signal.SIGINT)
        assert service.wait(60) == 0
