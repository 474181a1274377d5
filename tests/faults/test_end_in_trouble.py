"""G12 where something is in the way: whoever does not answer cannot hold up the end."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.v1 import log_cache_pb2 as pb
from tests.faults.stage import Calls, anomalies, check_manifest, error_info, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(180)]

GRACE_S = 3.0
# On top of what is promised: a machine that does other things stands still for seconds. Whoever is
# waited for here does not answer at all.
STALL_S = 15.0
SETTINGS = {"server": {"shutdown_grace_s": GRACE_S}}
SHUTTING_DOWN = (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
Name = Callable[[str], str]


def _subscribe(calls: Calls, name: str, topic: str) -> Any:
    request = pb.SubscribeRequest(
        subscription=name, topics=[topic], mode=pb.FULL_AND_INCREMENTAL, batch_bytes_max=64 << 10
    )
    return calls.log_cache.Subscribe(request)


def _end_of(stream: Any) -> tuple[grpc.StatusCode, str]:
    """Reads a stream to its end; the status that ended it."""
    with pytest.raises(grpc.RpcError) as ended:
        for _ in stream:
            pass
    return ended.value.code(), error_info(ended.value)[0]


def test_a_reader_that_sleeps_and_a_client_that_does_not_read(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("stuck")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 20_000, size=1_000))
    service = ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS).start()
    try:
        asyncio.run(full(service.address, "mine", topic))
        with Calls(service.address) as calls, Calls(service.address) as others:
            stalled = _subscribe(calls, "stalled", topic)
            assert next(stalled).HasField("started")
            following = _subscribe(others, "following", topic)
            while not next(following).HasField("caught_up"):
                pass
            (reader,) = service.reader_pids()
            os.kill(reader, signal.SIGSTOP)
            took_s = service.stop(timeout_s=GRACE_S + 2 * STALL_S)
            assert took_s <= GRACE_S + STALL_S
            assert _end_of(following) == SHUTTING_DOWN
        eventually(lambda: not _alive(reader), "the sleeping reader to be gone")
        service.start()
        truth = read_all(kafka.bootstrap, topic)
        assert not anomalies(truth, asyncio.run(full(service.address, "all", topic)), topic)
        service.stop()
        check_manifest(service.store, topic, truth)
    finally:
        service.kill()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_call_that_waits_for_the_broker_is_told_at_once(tmp_path: Path) -> None:
    nobody = f"{HOST}:1"
    service = ServiceProcess(tmp_path, nobody, SETTINGS).start()
    try:
        with Calls(service.address) as calls:
            statuses: list[object] = []
            stream = _subscribe(calls, "waiting", "topic-of-a-broker-that-is-away")
            waiting = threading.Thread(target=lambda: statuses.append(_end_of(stream)))
            waiting.start()
            # The call has arrived when one behind it on the same connection was answered.
            calls.readers()
            service.stop(timeout_s=GRACE_S + STALL_S)
            waiting.join(60)
            assert statuses == [SHUTTING_DOWN]
    finally:
        service.kill()


def test_ctrl_c_reaches_readers_as_well(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """A terminal sends SIGINT to service and readers at the same moment."""
    topic = topic_name("ctrl-c")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 5_000))
    service = ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS).start()
    try:
        with Calls(service.address) as calls:
            following = _subscribe(calls, "following", topic)
            assert next(following).HasField("started")
            eventually(calls.readers, "its reader to join")
            readers = service.reader_pids()
            for pid in (*readers, service.pid):
                os.kill(pid, signal.SIGINT)
            assert _end_of(following) == SHUTTING_DOWN
        assert service.wait(GRACE_S + STALL_S) == 0
        eventually(lambda: not any(map(_alive, readers)), "its readers to be gone")
        service.start()
        truth = read_all(kafka.bootstrap, topic)
        assert not anomalies(truth, asyncio.run(full(service.address, "all", topic)), topic)
        service.stop()
    finally:
        service.kill()
