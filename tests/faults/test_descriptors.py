"""A bounded number of file descriptors is enough, however many partitions there are."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from cachesvc.client import Batch, Client, Mode
from cachesvc.v1.alarms_pb2 import ALARM_OUT_OF_DESCRIPTORS, ListAlarmsRequest
from tests.faults.stage import Calls, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults]

PARTITIONS, TOPICS = 100, 3
# A soft limit far below what is needed, and a hard one below the number of partitions.
DESCRIPTORS = (64, 256)
CROWDED = DESCRIPTORS[1] * 19 // 20
RECORDS = 5
SETTINGS: dict[str, dict[str, object]] = {
    "alarms": {"interval_s": 0.2, "raise_after_s": 0.5, "clear_after_s": 0.5},
    "callers": {"connections_max": 1_000},
}
# What a client of HTTP/2 says first; a connection without it is closed after some seconds.
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)


@pytest.fixture(scope="module")
def topics(kafka: KafkaBroker) -> list[str]:
    names = [f"descriptors-{number}" for number in range(TOPICS)]
    for name in names:
        create_topic(kafka.bootstrap, name, PARTITIONS)
        produce(kafka.bootstrap, name, objects(0, RECORDS * PARTITIONS, PARTITIONS))
    return names


@pytest.fixture
def service(kafka: KafkaBroker, tmp_path: Path) -> Iterator[ServiceProcess]:
    process = ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS, descriptors=DESCRIPTORS)
    with process:
        yield process


async def _read(address: str, topics: list[str], count: int) -> Delivered:
    """The first records of a stream over all topics, and commits them."""
    delivered = Delivered()
    async with (
        asyncio.timeout(120),
        Client(address) as client,
        client.subscribe("all", topics=topics, mode=Mode.FULL_AND_INCREMENTAL) as stream,
    ):
        async for event in stream.events():
            if isinstance(event, Batch):
                delivered.add(event)
                await stream.commit(event.position)
            if delivered.count >= count:
                return delivered
    raise AssertionError(f"the stream ended after {delivered.count} records")


def _offsets(delivered: Delivered) -> dict[tuple[str, int], list[int]]:
    return {name: [offset for offset, _ in rows] for name, rows in delivered.records.items()}


def test_more_partitions_than_descriptors(
    kafka: KafkaBroker, topics: list[str], service: ServiceProcess
) -> None:
    places = [(name, number) for name in topics for number in range(PARTITIONS)]
    first = asyncio.run(_read(service.address, topics, len(places) * RECORDS))
    assert _offsets(first) == {place: list(range(RECORDS)) for place in places}
    assert service.descriptors_in_use() < DESCRIPTORS[1] // 2
    service.kill()
    service.start()
    for name in topics:
        produce(kafka.bootstrap, name, objects(0, PARTITIONS, PARTITIONS))
    more = asyncio.run(_read(service.address, topics, len(places)))
    assert _offsets(more) == {place: [RECORDS] for place in places}
    assert service.descriptors_in_use() < DESCRIPTORS[1] // 2
    assert not service.events("seal_failed")
    service.stop()


def test_says_that_the_limit_is_near_and_goes_on(
    kafka: KafkaBroker, topic_name: Callable[[str], str], service: ServiceProcess
) -> None:
    topic = topic_name("crowd")
    create_topic(kafka.bootstrap, topic, 20)
    produce(kafka.bootstrap, topic, objects(0, 20, 20))
    host, port = service.address.split(":")
    with Calls(service.address) as calls, ExitStack() as idle:
        assert asyncio.run(_read(service.address, [topic], 20)).count == 20
        assert not _alarms(calls)
        ours: set[int] = set()

        def crowded() -> bool:
            """Connects as often as something is lacking, once all that connected is served."""
            in_use = service.descriptors_in_use()
            if in_use < CROWDED and ours <= _peers(service):
                for _ in range(CROWDED - in_use):
                    connection = socket.create_connection((host, int(port)), timeout=30)
                    idle.enter_context(connection).sendall(GREETING)
                    ours.add(connection.getsockname()[1])
            return in_use >= CROWDED

        eventually(crowded, "the connections")
        (alarm,) = eventually(lambda: _alarms(calls), "the alarm")
        assert (alarm.kind, alarm.connection) == (ALARM_OUT_OF_DESCRIPTORS, "")
        assert f"of {DESCRIPTORS[1]} file descriptors (RLIMIT_NOFILE)" in alarm.message
        # Others' journals are closed for those that are written.
        produce(kafka.bootstrap, topic, objects(0, 20, 20))
        eventually(
            lambda: all(o.log_end_offset == 2 for o in calls.offsets(topic).values()), "the appends"
        )
        idle.close()
        eventually(lambda: not _alarms(calls), "the alarm to be cleared")


def _peers(service: ServiceProcess) -> set[int]:
    """The ports of those that the service has accepted."""
    found = psutil.Process(service.pid).net_connections("tcp")
    return {each.raddr.port for each in found if each.status == psutil.CONN_ESTABLISHED}


def _alarms(calls: Calls) -> list[Any]:
    """Those of descriptors; others come and go with what the machine does."""
    found = calls.admin.ListAlarms(ListAlarmsRequest(), timeout=30).alarms
    return [alarm for alarm in found if alarm.kind == ALARM_OUT_OF_DESCRIPTORS]
