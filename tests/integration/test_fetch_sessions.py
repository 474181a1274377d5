"""Fetch sessions with real brokers: of every version, without room for them, and over a restart."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachesvc.mining.kafka import KafkaSettings
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.fetch_request import SessionFetchRequest
from cachesvc.mining.kafka.fetch_session import Naming
from cachesvc.mining.kafka.links import Channel
from tests.integration.sources import Collected, broker, collecting, in_thread, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.topics import create_topic
from tests.support.writing import produce
from tests.unit.mining.fake_service import until

pytestmark = pytest.mark.kafka

Name = Callable[[str], str]
PARTITIONS = 40


@pytest.fixture
def namings(monkeypatch: pytest.MonkeyPatch) -> list[Naming]:
    """What every fetch says of partitions, the oldest first."""
    said: list[Naming] = []
    send = Cluster.send

    async def spy(self: Cluster, node: int, channel: Channel, request: Any) -> Any:
        if isinstance(request, SessionFetchRequest):
            said.append(request._naming)
        return await send(self, node, channel, request)

    monkeypatch.setattr(Cluster, "send", spy)
    return said


def settings(kafka: KafkaBroker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=(kafka.bootstrap,), fetch_wait_s=0.1)


async def quiet(namings: list[Naming], fetches: int = 4) -> None:
    """Waits until so many fetches in a row have named nothing."""

    def names_nothing() -> bool:
        last = namings[-fetches:]
        return len(last) == fetches and not any(n.named or n.forgotten or n.full for n in last)

    await until(names_nothing, "fetches to name nothing")


async def mine_some(kafka: KafkaBroker, topic: str, collected: Collected, begin: int) -> None:
    """Three partitions get five records each, from ``begin`` on."""
    for number in (0, 7, PARTITIONS - 1):
        await in_thread(produce, kafka.bootstrap, topic, objects(begin, begin + 5, number))
    for number in (0, 7, PARTITIONS - 1):
        await collected.reached((topic, number), begin + 5)  # type: ignore[arg-type]


async def in_sessions(kafka: KafkaBroker, topic: str, namings: list[Naming]) -> None:
    create_topic(kafka.bootstrap, topic, PARTITIONS)
    async with collecting(settings(kafka)) as (source, collected):
        partitions = [collected.add(topic, number, 0) for number in range(PARTITIONS)]
        await until(lambda: all(source.status(p).high_watermark == 0 for p in partitions))
        await quiet(namings)
        for begin in (0, 5):
            before = len(namings)
            await mine_some(kafka, topic, collected, begin)
            await quiet(namings)
            busy = namings[before:]
            assert not any(naming.full for naming in busy)
            assert {partition.number for n in busy for partition, _ in n.named} <= {0, 7, 39}
        await until(lambda: source.status(partitions[7]).high_watermark == 10)
        source.remove(partitions[3])
        await until(lambda: partitions[3] in namings[-1].forgotten)
        await quiet(namings)
        assert source.status(partitions[0]).problem is None


def test_a_quiet_fetch_names_nothing(
    kafka: KafkaBroker, topic_name: Name, namings: list[Naming]
) -> None:
    asyncio.run(in_sessions(kafka, topic_name("sessions"), namings))


def test_nor_does_it_with_old_brokers(
    old_kafka: KafkaBroker, topic_name: Name, namings: list[Naming]
) -> None:
    asyncio.run(in_sessions(old_kafka, topic_name("sessions"), namings))


def test_a_restart_amid_a_session_and_a_broker_without_room_for_any(
    tmp_path: Path, topic_name: Name, namings: list[Naming]
) -> None:
    topic = topic_name("restart")
    with broker(tmp_path) as kafka:
        create_topic(kafka.bootstrap, topic, PARTITIONS)
        port = int(kafka.bootstrap.rsplit(":", 1)[1])
        roomless = KafkaBroker(
            kafka.directory,
            port=port,
            config={"max.incremental.fetch.session.cache.slots": "0"},
            jvm_options=("-XX:TieredStopAtLevel=1",),
        )

        async def scenario() -> None:
            async with collecting(settings(kafka)) as (source, collected):
                partitions = [collected.add(topic, number, 0) for number in range(PARTITIONS)]
                await mine_some(kafka, topic, collected, 0)
                await quiet(namings)
                await in_thread(kafka.kill)
                await in_thread(roomless.start)
                await mine_some(roomless, topic, collected, 5)
                # Whoever has no session names everything every time.
                before = len(namings)
                await until(lambda: len(namings) > before + 3)
                assert all(naming.full for naming in namings[before:])
                assert len(namings[-1].named) == PARTITIONS
                await until(lambda: not any(source.status(p).problem for p in partitions))
                assert collected.offsets(partitions[7]) == list(range(10))

        try:
            asyncio.run(scenario())
        finally:
            roomless.kill()
