"""Older ranges, which the cache does not have and the broker still has, are mined for who asks."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cachesvc.client import (
    AtTimestamp,
    Batch,
    Client,
    DataLoss,
    Gap,
    GapCause,
    GapPolicy,
    Mode,
    PartitionAdded,
    Position,
)
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import mining_tasks_pb2 as pb
from tests.faults.stage import CALL_S, Calls, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, expect_same, full
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_topic, delete_records_before, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]

DAY_MS = 86_400_000
OLD = 6_000
SETTINGS: dict[str, dict[str, object]] = {
    "store": {"segment_records_max": 1_000, "segment_age_s_max": 1.0},
    # Old records go once they were read.
    "retention": {"clock": "record"},
    "jobs.expire": {"interval_s": 86_400},
    "jobs.compact": {"interval_s": 86_400},
}


@contextmanager
def forgetful(
    tmp_path: Path, kafka: KafkaBroker, topic: str, bootstrap: str = ""
) -> Iterator[tuple[ServiceProcess, Calls]]:
    """A service that has mined a topic, and whose retention has taken all that was there then."""
    create_topic(kafka.bootstrap, topic, 2)
    old_ms = int(time.time() * 1000) - 5 * DAY_MS
    rows = objects(0, 2 * OLD, partitions=2, size=200, timestamp_ms=old_ms)
    produce(kafka.bootstrap, topic, rows)
    service = ServiceProcess(tmp_path, bootstrap or kafka.bootstrap, SETTINGS)
    with service, Calls(service.address) as calls:
        asyncio.run(full(service.address, "first", topic, commit=True))
        eventually(lambda: sealed_ends(calls, topic) == {0: OLD, 1: OLD}, "segments")
        calls.run_job("expire")
        assert {n: row.log_start_offset for n, row in calls.offsets(topic).items()} == {
            0: OLD,
            1: OLD,
        }
        yield service, calls


def starts(calls: Calls, topic: str) -> set[int]:
    return {row.log_start_offset for row in calls.offsets(topic).values()}


def sealed_ends(calls: Calls, topic: str) -> dict[int, int]:
    ends: dict[int, int] = {}
    for segment in calls.segments(topic):
        ends[segment.partition] = max(segment.end_offset, ends.get(segment.partition, 0))
    return ends


def test_a_late_full_sync_gets_what_retention_has_taken(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("late")
    with forgetful(tmp_path, kafka, topic) as (service, calls):
        produce(kafka.bootstrap, topic, objects(2 * OLD, 2 * OLD + 100, partitions=2))
        asyncio.run(expect_same(service.address, kafka.bootstrap, topic))
        # What was mined afterwards has become one with the rest, and is kept as long as that.
        eventually(
            lambda: starts(calls, topic) == {0},
            "one log",
        )
        calls.run_job("expire")
        calls.run_job("compact")
        assert starts(calls, topic) == {0}
        service.stop()
        service.start()
        assert starts(calls, topic) == {0}
        asyncio.run(expect_same(service.address, kafka.bootstrap, topic))


async def _from(address: str, name: str, topic: str, at: int, end: int) -> Delivered:
    """Both partitions from ``at`` on, until ``end``."""
    delivered = Delivered()
    start = [Position(topic, n, at) for n in range(2)]
    stop = [Position(topic, n, end) for n in range(2)]
    async with (
        asyncio.timeout(60),
        Client(address) as client,
        client.subscribe(
            name, topics=[topic], mode=Mode.INCREMENTAL, start=start, end=stop
        ) as stream,
    ):
        async for event in stream.events():
            assert not isinstance(event, Gap | PartitionAdded), event
            if isinstance(event, Batch):
                delivered.add(event)
    return delivered


def test_the_broker_is_read_once_for_all_who_start_before_the_coverage(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path
) -> None:
    """G1, backfill included."""
    bytes_out = {}

    async def run(address: str, topic: str, first: int, late: int) -> None:
        seen = await asyncio.gather(*(full(address, f"a{n}", topic) for n in range(first)))
        # These begin anywhere in what was mined for the others.
        seen += await asyncio.gather(
            *(_from(address, f"b{n}", topic, 1_000 + n, OLD) for n in range(late))
        )
        wanted = [2 * OLD] * first + [2 * (OLD - 1_000 - n) for n in range(late)]
        assert [delivered.count for delivered in seen] == wanted

    for first, late in ((1, 0), (8, 8)):
        topic = topic_name(f"once{first}")
        path = tmp_path / str(first)
        with forgetful(path, kafka, topic, kafka.proxied_bootstrap) as (service, _):
            kafka_proxy.reset_counts()
            asyncio.run(run(service.address, topic, first, late))
            bytes_out[first + late] = kafka_proxy.bytes_to_client
    # A seam may come twice, where a fetch reaches behind the end of what is missing; metadata and
    # empty fetches go on while subscribers read. What is read for somebody else doubles it.
    assert bytes_out[16] < bytes_out[1] * 1.5, bytes_out


def test_streams_from_anywhere_pass_into_the_tail_without_a_seam(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("seam")
    with forgetful(tmp_path, kafka, topic) as (service, _):
        produce(kafka.bootstrap, topic, objects(2 * OLD, 2 * OLD + 2_000, partitions=2))
        truth = read_all(kafka.bootstrap, topic)
        end = OLD + 1_000
        wanted = [4_000, 100, OLD - 1, 5_999, 2_500, 100]

        async def run() -> list[Delivered]:
            streams = [
                _from(service.address, f"s{n}", topic, at, end) for n, at in enumerate(wanted)
            ]
            return await asyncio.gather(*streams)

        for at, seen in zip(wanted, asyncio.run(run()), strict=True):
            for number in range(2):
                rows = [(r.offset, r.value) for r in truth[number] if at <= r.offset < end]
                assert seen.of(topic)[number] == rows
        asyncio.run(expect_same(service.address, kafka.bootstrap, topic))


def test_a_start_at_a_time_finds_records_that_are_not_cached(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("time")
    with forgetful(tmp_path, kafka, topic) as (service, _):
        old_ms = int(time.time() * 1000) - 6 * DAY_MS

        async def first() -> dict[int, int]:
            async with (
                Client(service.address) as client,
                client.subscribe(
                    "t", topics=[topic], mode=Mode.INCREMENTAL, start=AtTimestamp(old_ms)
                ) as stream,
            ):
                return {key[1]: at.offset for key, at in stream.started.positions.items()}

        assert asyncio.run(first()) == {0: 0, 1: 0}


def test_what_nobody_has_any_more_is_a_gap_with_its_cause(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """G6: the cache had the range once, and the broker has only a part of it."""
    topic = topic_name("gone")
    with forgetful(tmp_path, kafka, topic) as (service, calls):
        delete_records_before(kafka.bootstrap, topic, {0: 2_000, 1: OLD})
        kept = read_all(kafka.bootstrap, topic)

        async def run(policy: GapPolicy) -> tuple[Delivered, dict[int, Gap]]:
            delivered, gaps = Delivered(), {}
            start = [Position(topic, n, 500) for n in range(2)]
            stop = [Position(topic, n, OLD) for n in range(2)]
            async with (
                asyncio.timeout(60),
                Client(service.address) as client,
                client.subscribe(
                    f"s{policy}",
                    topics=[topic],
                    mode=Mode.INCREMENTAL,
                    start=start,
                    end=stop,
                    gap_policy=policy,
                ) as stream,
            ):
                async for event in stream.events():
                    if isinstance(event, Batch):
                        delivered.add(event)
                    if isinstance(event, Gap):
                        gaps[event.partition] = event
            return delivered, gaps

        seen, gaps = asyncio.run(run(GapPolicy.GO_ON))
        assert {n: (g.begin_offset, g.end_offset, g.cause) for n, g in gaps.items()} == {
            0: (500, 2_000, GapCause.CACHE_RETENTION),
            1: (500, OLD, GapCause.CACHE_RETENTION),
        }
        assert seen.of(topic) == {0: [(r.offset, r.value) for r in kept[0]]}
        with pytest.raises(DataLoss) as caught:
            asyncio.run(run(GapPolicy.STOP))
        assert caught.value.reason == "CACHE_RETENTION"
        # A FULL sync wants the earliest offset that there is, which is no gap.
        asyncio.run(expect_same(service.address, kafka.bootstrap, topic))
        # It is found again in the store, without the broker.
        service.stop()
        service.start()
        again, gaps_again = asyncio.run(run(GapPolicy.GO_ON))
        assert (again.records, gaps_again) == (seen.records, gaps)
        # What is lost does not count as cached.
        eventually(
            lambda: (
                {n: row.log_start_offset for n, row in calls.offsets(topic).items()}
                == {0: 2_000, 1: OLD}
            ),
            "one log",
        )


def test_where_mining_began_later_the_rest_is_mined_for_who_wants_it(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("now")
    create_topic(kafka.bootstrap, topic, 2)
    produce(kafka.bootstrap, topic, objects(0, 3_000, partitions=2))
    service = ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS)
    with service, Calls(service.address) as calls:
        other = topic_name("other")
        create_topic(kafka.bootstrap, other)
        asyncio.run(full(service.address, "other", other))
        calls.admin.StopMiningTask(pb.StopMiningTaskRequest(), timeout=CALL_S)
        edit = pb.EditMiningTaskRequest(start=pb.MiningStart(now=True))
        calls.admin.EditMiningTask(edit, timeout=CALL_S)
        calls.admin.StartMiningTask(pb.StartMiningTaskRequest(), timeout=CALL_S)
        calls.log_cache.ListOffsets(log_cache.ListOffsetsRequest(topic=topic), timeout=CALL_S)
        assert starts(calls, topic) == {1_500}
        asyncio.run(expect_same(service.address, kafka.bootstrap, topic))
        eventually(lambda: starts(calls, topic) == {0}, "one log")
