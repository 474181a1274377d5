"""G16: what was mined stays for its retention from then on, whatever its timestamp says."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from cachesvc.client import Client, Mode
from cachesvc.v1.log_cache_pb2 import DeleteSubscriptionRequest
from tests.faults.stage import Calls, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, full
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]

MONTH_MS = 30 * 86_400_000
OLD = 6_000
SETTINGS: dict[str, dict[str, object]] = {
    "store": {
        "segment_records_max": 500,
        "segment_age_s_max": 0.5,
        "warm_bytes_max": 0,
        "memory_bytes_max": 65_536,
    },
    "mining": {"batch_records_max": 500},
    "jobs.expire": {"interval_s": 0.2},
}
# In which the job that expires has looked at everything.
SOME_RUNS_S = 1.0
CLOCKS = ("mined", "record")


def settings(**retention: object) -> dict[str, dict[str, object]]:
    return {**SETTINGS, "retention": retention}


async def _slowly(address: str, topic: str, *, commit: bool) -> Delivered:
    """A full sync that takes many runs of the job that expires."""
    delivered = Delivered()
    async with (
        asyncio.timeout(120),
        Client(address) as client,
        client.subscribe(
            "slow", topics=[topic], mode=Mode.FULL, batch_bytes_max=64 << 10
        ) as stream,
    ):
        async for batch in stream:
            delivered.add(batch)
            if commit:
                await stream.commit(batch.position)
            await asyncio.sleep(0.05)
    return delivered


def _start(calls: Calls, topic: str) -> int:
    return int(calls.offsets(topic)[0].log_start_offset)


@pytest.mark.parametrize("clock", CLOCKS)
def test_records_older_than_the_retention_are_mined_once(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path, clock: str
) -> None:
    """G1 for an ordinary topic, whose records are older than the cache keeps them."""
    topic = topic_name(f"old-{clock}")
    create_topic(kafka.bootstrap, topic, config={"retention.ms": "-1"})
    old_ms = int(time.time() * 1000) - MONTH_MS
    rows = objects(0, OLD, size=300, timestamp_ms=old_ms)
    produce(kafka.bootstrap, topic, rows)
    size = sum(len(row.value or b"") for row in rows)
    truth = [(row.offset, row.value) for row in read_all(kafka.bootstrap, topic)[0]]
    service = ServiceProcess(tmp_path, kafka.proxied_bootstrap, settings(clock=clock))
    with service, Calls(service.address) as calls:
        kafka_proxy.reset_counts()
        seen = asyncio.run(_slowly(service.address, topic, commit=False))
        assert seen.of(topic)[0] == truth
        eventually(lambda: OLD in [s.end_offset for s in calls.segments(topic)], "segments")
        # Who has not committed would begin anew, so nothing has gone that it needs.
        time.sleep(SOME_RUNS_S)
        assert _start(calls, topic) == 0
        seen = asyncio.run(_slowly(service.address, topic, commit=True))
        assert seen.of(topic)[0] == truth
        # Twice the size would be twice; batches and answers without records take a bit of it.
        assert size < kafka_proxy.bytes_to_client < 1.5 * size
        if clock == "record":
            eventually(lambda: _start(calls, topic) == OLD, "what was read to go")
        else:
            time.sleep(SOME_RUNS_S)
            assert _start(calls, topic) == 0
            # Nor does the next task cost the broker anything.
            asyncio.run(full(service.address, "next", topic))
            assert kafka_proxy.bytes_to_client < 1.5 * size


# What producers make of a record's time; microseconds as milliseconds are the last.
ORDINARY, NONE, FIRST_OF_1970, LAST_MONTH, FAR_FUTURE = range(5)
EACH = 20
AGE_S = 6.0
# In which the job has to have run, on however busy a machine.
LATE_MS = 60_000


async def _produce_of_all_times(bootstrap: str, topic: str) -> dict[int, int]:
    """Fills a partition with each kind of time, and answers these; the last begins another one."""
    now_ms = int(time.time() * 1000)
    times = {
        ORDINARY: now_ms,
        NONE: -1,
        FIRST_OF_1970: 0,
        LAST_MONTH: now_ms - MONTH_MS,
        FAR_FUTURE: now_ms * 1_000,
    }
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for partition, timestamp_ms in times.items():
            for number in range(EACH):
                late = partition == FAR_FUTURE and number > 0
                await producer.send(
                    topic,
                    b'{"id":%d}' % number,
                    partition=partition,
                    timestamp_ms=now_ms if late else timestamp_ms,
                )
    finally:
        await producer.stop()
    return times


def _mined_ms(calls: Calls, topic: str, partitions: int) -> dict[int, int]:
    """When each partition was mined, once all of it is in segments."""
    segments = calls.segments(topic)
    ends = {segment.partition: segment.end_offset for segment in segments}
    if ends != dict.fromkeys(range(partitions), EACH):
        return {}
    return {segment.partition: segment.newest_mined_ms for segment in segments}


def _gone(calls: Calls, topic: str) -> set[int]:
    return {n for n, row in calls.offsets(topic).items() if row.log_start_offset == EACH}


@pytest.mark.parametrize("clock", CLOCKS)
def test_no_timestamp_makes_a_record_go_early_or_stay_late(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path, clock: str
) -> None:
    topic = topic_name(f"times-{clock}")
    config = {"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"}
    create_topic(kafka.bootstrap, topic, 5, config)
    times = asyncio.run(_produce_of_all_times(kafka.bootstrap, topic))
    truth = read_all(kafka.bootstrap, topic)
    assert {n: rows[0].timestamp_ms for n, rows in truth.items()} == times
    service = ServiceProcess(tmp_path, kafka.bootstrap, settings(clock=clock, age_s=AGE_S))
    with service, Calls(service.address) as calls:
        asyncio.run(full(service.address, "all", topic))
        mined_ms = eventually(lambda: _mined_ms(calls, topic, len(times)), "segments")
        time.sleep(SOME_RUNS_S)
        gone = _gone(calls, topic)
        early = {n for n in gone if time.time() * 1000 < mined_ms[n] + AGE_S * 1000}
        assert not early, "what was mined a moment ago is there, however old it is"
        if clock == "record":
            request = DeleteSubscriptionRequest(subscription="all")
            calls.log_cache.DeleteSubscription(request, timeout=30)
            old = {FIRST_OF_1970, LAST_MONTH}
            eventually(lambda: _gone(calls, topic) >= old, "what nobody has still to read to go")
            gone = old
        else:
            # Neither forgets nor renews what it was.
            service.kill()
            service.start()
        while len(gone) < len(times):
            found = _gone(calls, topic) - gone
            now_ms = time.time() * 1000
            for number in found - {ORDINARY}:
                assert now_ms > mined_ms[number] + AGE_S * 1000
            gone |= found
            assert now_ms < max(mined_ms.values()) + AGE_S * 1000 + LATE_MS, gone
            time.sleep(0.05)
        log = service.store / "log"
        eventually(lambda: not list(log.rglob("*.parquet")), "nothing of it to be on the disk")
