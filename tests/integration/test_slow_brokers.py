"""Brokers that throttle and links that are slow: neither is away, and all of it comes, once."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings, KafkaSource
from cachesvc.mining.source import SourcePartition
from tests.integration.sources import Collected, collecting, in_thread, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.quotas import limit_client
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_topic
from tests.support.writing import OutRecord, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

Name = Callable[[str], str]
KIB, MIB = 1 << 10, 1 << 20
# The tests' brokers count over about three seconds, so that much comes at once.
WINDOW_S = 3
# What a machine that does other things may add to that.
STALL_S = 20


@dataclass
class Watched:
    """What was said of partitions while they were mined."""

    problems: set[str] = field(default_factory=set)
    throttled: set[str] = field(default_factory=set)
    throttled_s: float = 0.0

    async def run(self, source: KafkaSource, partitions: list[SourcePartition]) -> None:
        while True:
            for partition in partitions:
                status = source.status(partition)
                self.problems.update({source.error, str(status.problem or "")} - {""})
                self.throttled.update({status.throttled} - {""})
            self.throttled_s = source.throttled_s
            await asyncio.sleep(0.05)


async def holds(condition: Callable[[], bool], limit_s: float = 90.0) -> None:
    """Waits until something is so."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 (any condition, not one event)
            await asyncio.sleep(0.05)


async def mine(
    settings: KafkaSettings, watched: Watched, ends: dict[SourcePartition, int], meanwhile: Any
) -> float:
    """Mines partitions from their begin to their end; the seconds that this took."""
    async with collecting(settings) as (source, collected):
        began_s = time.monotonic()
        partitions = [collected.add(*partition, 0) for partition in ends]
        watching = asyncio.ensure_future(watched.run(source, partitions))
        await meanwhile(source, collected)
        for partition, end in ends.items():
            await holds(lambda p=partition, e=end: collected.ends.get(p, 0) >= e)  # type: ignore[misc]
            assert collected.offsets(partition) == list(range(end))
        took_s = time.monotonic() - began_s
        watching.cancel()
        return took_s


async def nothing(source: KafkaSource, collected: Collected) -> None:
    """For mining that is left alone."""


async def throttled(bootstrap: str, topic: str, small: str, quota: int, value_bytes: int) -> None:
    """Mines more than a quota lets through at once, and a small topic that must not wait for it."""
    parts, surplus_s = 3, 4
    count = quota * (WINDOW_S + surplus_s) // (parts * value_bytes)
    blob = os.urandom(value_bytes)
    for number in range(parts):
        for _ in range(count):
            # Each is a record batch of its own, as those of most producers are small.
            await in_thread(produce, bootstrap, topic, [OutRecord(None, blob, partition=number)])
    watched = Watched()
    settings = KafkaSettings(bootstrap_servers=(bootstrap,), client_id=f"quota-{quota}")
    catalogue = KafkaCatalogue(settings)
    waited_s: list[float] = []

    async def write_small(source: KafkaSource, collected: Collected) -> None:
        partition = collected.add(small, 0, 0)
        await holds(lambda: bool(watched.throttled))
        for end in (5, 10):
            written_s = time.monotonic()
            await in_thread(produce, bootstrap, small, objects(end - 5, end))
            await holds(lambda e=end: collected.ends.get(partition, 0) >= e)  # type: ignore[misc]
            waited_s.append(time.monotonic() - written_s)
        ends = await catalogue.end_offsets([(topic, number) for number in range(parts)])
        assert set(ends.all().values()) == {count}

    ends = {SourcePartition(topic, number): count for number in range(parts)}
    took_s = await mine(settings, watched, ends, write_small)
    await catalogue.close()

    assert watched.problems == set()
    assert all("quota of the broker" in said for said in watched.throttled)
    assert 0 < watched.throttled_s <= took_s * 1.5
    # Not before its time, and not much later.
    assert surplus_s * 0.4 < took_s < 3 * (WINDOW_S + surplus_s) + STALL_S
    assert max(waited_s) < 2 * WINDOW_S + STALL_S


async def throttle_all(broker: KafkaBroker, topic_name: Name) -> None:
    works = []
    for quota, value_bytes in ((MIB, 256 * KIB), (100 * KIB, 25 * KIB)):
        limit_client(broker, f"quota-{quota}", {"consumer_byte_rate": quota})
        topic, small = topic_name("large"), topic_name("small")
        create_topic(broker.bootstrap, topic, 3)
        create_topic(broker.bootstrap, small)
        works.append(throttled(broker.bootstrap, topic, small, quota, value_bytes))
    await asyncio.gather(*works)


def test_quotas_of_an_old_broker_are_kept_to_and_told(
    old_kafka: KafkaBroker, topic_name: Name
) -> None:
    asyncio.run(throttle_all(old_kafka, topic_name))


def test_quotas_are_kept_to_and_told(kafka: KafkaBroker, topic_name: Name) -> None:
    asyncio.run(throttle_all(kafka, topic_name))


def test_a_quota_for_requests_is_no_reason_to_call_a_broker_away(
    kafka: KafkaBroker, topic_name: Name
) -> None:
    topic = topic_name("requests")
    create_topic(kafka.bootstrap, topic)
    # Of one thread's time, counted over three seconds as well.
    limit_client(kafka, "few-requests", {"request_percentage": 0.5})
    settings = KafkaSettings(
        bootstrap_servers=(kafka.bootstrap,), client_id="few-requests", answer_timeout_s=0.5
    )
    watched = Watched()

    async def ask(source: KafkaSource, collected: Collected) -> None:
        catalogue = KafkaCatalogue(settings)
        for turn in range(2):
            await in_thread(produce, kafka.bootstrap, topic, objects(turn, turn + 1))
            async with asyncio.timeout(60):
                while catalogue.throttled_s < 1 + turn:
                    ends = await catalogue.end_offsets([(topic, 0)])
                    assert ends.all() == {(topic, 0): turn + 1}
        await catalogue.close()

    asyncio.run(mine(settings, watched, {SourcePartition(topic, 0): 2}, ask))
    assert watched.problems == set()
    assert watched.throttled


def test_a_slow_link_takes_its_time_and_nothing_comes_twice(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name
) -> None:
    topic, count = topic_name("slow"), 20
    create_topic(kafka.bootstrap, topic, 2)
    for number in range(2):
        blobs = [OutRecord(None, os.urandom(MIB // 4), partition=number) for _ in range(count)]
        produce(kafka.bootstrap, topic, blobs)
    total = 2 * count * MIB // 4
    watched = Watched()
    # Two answers of the largest size would take longer than this.
    settings = KafkaSettings(bootstrap_servers=(kafka.proxied_bootstrap,), request_timeout_s=6.0)

    async def slow(source: KafkaSource, collected: Collected) -> None:
        kafka_proxy.limit_to_client(MIB)
        kafka_proxy.reset_counts()

    kafka_proxy.limit_to_client(MIB)
    ends = {SourcePartition(topic, number): count for number in range(2)}
    took_s = asyncio.run(mine(settings, watched, ends, slow))

    assert watched.problems == set()
    assert watched.throttled == set()
    # Until it is known that the link is slow, a record batch is cut off where an answer ends.
    assert kafka_proxy.bytes_to_client <= total * 1.25
    assert took_s < 2.5 * total / MIB + STALL_S
    assert kafka_proxy.connections_accepted <= 2


def test_a_broker_that_is_silent_is_away(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name
) -> None:
    topic = topic_name("silent")
    create_topic(kafka.bootstrap, topic)
    settings = KafkaSettings(bootstrap_servers=(kafka.proxied_bootstrap,), request_timeout_s=1.0)

    async def scenario() -> None:
        async with collecting(settings) as (source, collected):
            partition = collected.add(topic, 0)
            await holds(lambda: source.status(partition).high_watermark is not None)
            kafka_proxy.delay(60)
            await holds(lambda: bool(source.error or source.status(partition).problem))
            kafka_proxy.delay(0)
            await in_thread(produce, kafka.bootstrap, topic, objects(0, 5))
            await collected.reached(partition, 5)
            await holds(lambda: not (source.error or source.status(partition).problem))

    asyncio.run(scenario())
