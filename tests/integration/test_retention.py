"""G6: retention passes a slow subscriber and an absent one; both are told the range."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.client import Client, Mode
from cachesvc.v1 import alarms_pb2, retention_pb2
from cachesvc.v1 import log_cache_pb2 as pb
from tests.faults.stage import Calls, error_info, eventually, objects, refusal
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full, until
from tests.support.topics import create_topic, delete_records_before, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

DAY_MS = 86_400_000
OLD = 3_000
BATCH_BYTES = 64 << 10
SETTINGS: dict[str, dict[str, object]] = {
    "store": {
        "segment_records_max": 200,
        # How records come in batches is up to the broker, so the last journal need not be full.
        "segment_age_s_max": 1.0,
        "warm_bytes_max": 0,
        "memory_bytes_max": 65_536,
    },
    "mining": {"batch_records_max": 200},
    # Records older than three days go, what is unread a second after its mining.
    "retention": {"clock": "record", "unread_age_s": 1.0},
    "jobs.expire": {"interval_s": 86_400},
    "jobs.compact": {"interval_s": 86_400},
}


def _filled_with_old_records(kafka: KafkaBroker, service: ServiceProcess, topic: str) -> None:
    """Records older than the retention, all of them in segments."""
    create_topic(kafka.bootstrap, topic)
    old_ms = int(time.time() * 1000) - 5 * DAY_MS
    for begin in range(0, OLD, 500):
        rows = objects(begin, begin + 500, size=3_000, timestamp_ms=old_ms)
        produce(kafka.bootstrap, topic, rows)
        asyncio.run(full(service.address, "mine", topic))
    with Calls(service.address) as calls:
        eventually(lambda: _sealed_end(calls, topic) == OLD, "segments")
        newest_ms = max(segment.newest_mined_ms for segment in calls.segments(topic))
        eventually(lambda: time.time() * 1000 > newest_ms + 1_000, "the end of the bound")


def _sealed_end(calls: Calls, topic: str) -> int:
    return max((segment.end_offset for segment in calls.segments(topic)), default=0)


async def _commit_first_batch(address: str, topic: str) -> int:
    async with (
        Client(address) as client,
        client.subscribe(
            "absent", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL, batch_bytes_max=BATCH_BYTES
        ) as stream,
    ):
        async for batch in stream:
            await stream.commit(batch.position)
            return batch.next_position
    raise AssertionError("no batch")


def _slow_stream(address: str, topic: str) -> tuple[grpc.Channel, Any]:
    """A stream whose client takes little ahead of what it reads."""
    options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 64 << 10)]
    channel = grpc.insecure_channel(
        address, options=[*options, ("grpc.use_local_subchannel_pool", 1)]
    )
    request = pb.SubscribeRequest(
        subscription="slow",
        topics=[topic],
        mode=pb.FULL_AND_INCREMENTAL,
        batch_bytes_max=BATCH_BYTES,
    )
    subscribe: Any = channel.unary_stream(
        "/cachesvc.v1.LogCache/Subscribe",
        request_serializer=pb.SubscribeRequest.SerializeToString,
        response_deserializer=pb.SubscribeResponse.FromString,
    )
    return channel, subscribe(request)


def _read_to_the_gap(stream: Any) -> tuple[int, pb.Gap, grpc.RpcError]:
    """Where the records that were still given end, the gap, and the status behind it."""
    position, gap = 0, None
    try:
        for response in stream:
            assert gap is None, "nothing comes behind a gap"
            if response.HasField("batch"):
                assert response.batch.base_offset == position, "records are given without a hole"
                position = response.batch.next_position
            elif response.HasField("gap"):
                gap = response.gap
    except grpc.RpcError as error:
        assert gap is not None
        return position, gap, error
    raise AssertionError("the stream ended as if it was complete")


def test_a_slow_and_an_absent_subscriber_are_told_what_they_have_lost(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("retention")
    service = ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS)
    with service, Calls(service.address) as calls:
        _filled_with_old_records(kafka, service, topic)
        produce(kafka.bootstrap, topic, objects(OLD, OLD + 50))
        asyncio.run(full(service.address, "mine", topic))
        committed = asyncio.run(_commit_first_batch(service.address, topic))
        channel, stream = _slow_stream(service.address, topic)
        with channel:
            assert next(stream).HasField("started")
            # It is on its way, and waits for its client. What the broker still had would be mined
            # again for it.
            delete_records_before(kafka.bootstrap, topic, {0: OLD})
            calls.run_job("expire")
            log_start = calls.offsets(topic)[0].log_start_offset
            assert log_start == OLD > committed
            position, gap, error = _read_to_the_gap(stream)
            assert position < log_start, "all of it was on its way; the test shows nothing"
            assert error.code() is grpc.StatusCode.DATA_LOSS
            lost = _range(topic, position, log_start)
            assert error_info(error) == ("CACHE_RETENTION", lost)
            assert (gap.topic, gap.partition, gap.cause) == (topic, 0, pb.CACHE_RETENTION)
            assert (gap.begin_offset, gap.end_offset) == (position, log_start)
        for _ in range(2):
            request = pb.SubscribeRequest(
                subscription="absent", topics=[topic], mode=pb.FULL_AND_INCREMENTAL
            )
            refused = refusal(lambda r=request: list(calls.log_cache.Subscribe(r, timeout=60)))  # type: ignore[misc]
            lost = _range(topic, committed, log_start)
            assert refused == (grpc.StatusCode.DATA_LOSS, "CACHE_RETENTION", lost)
            # Neither a restart nor another try makes it forget.
            service.stop()
            service.start()
            assert calls.offsets(topic)[0].log_start_offset == log_start
        start = pb.Start(earliest=pb.Earliest())
        calls.log_cache.ResetSubscription(
            pb.ResetSubscriptionRequest(subscription="absent", start=start), timeout=60
        )
        seen = asyncio.run(full(service.address, "absent", topic)).of(topic)[0]
        truth = read_all(kafka.bootstrap, topic)[0]
        assert seen == [(row.offset, row.value) for row in truth]


def test_a_log_of_which_nothing_is_left_goes_on_where_it_ended(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("nothing-left")
    service = ServiceProcess(tmp_path, kafka.bootstrap, SETTINGS)
    with service, Calls(service.address) as calls:
        _filled_with_old_records(kafka, service, topic)
        asyncio.run(full(service.address, "done", topic, commit=True))
        calls.run_job("expire")
        delete_records_before(kafka.bootstrap, topic, {0: OLD})
        for round_ in range(2):
            service.stop()
            service.start()
            offsets = calls.offsets(topic)[0]
            end = OLD + 10 * round_
            assert (offsets.log_start_offset, offsets.log_end_offset) == (OLD, end)
            produce(kafka.bootstrap, topic, objects(end, end + 10))
            # Whoever had everything misses nothing, also with a restart in between.
            seen = asyncio.run(until(service.address, "done", topic, {0: end + 10})).of(topic)[0]
            assert [offset for offset, _ in seen] == list(range(OLD, end + 10))
        seen = asyncio.run(full(service.address, "new", topic)).of(topic)[0]
        truth = read_all(kafka.bootstrap, topic)[0]
        assert seen == [(row.offset, row.value) for row in truth]


def _is_mined(calls: Calls, topic: str, end: int) -> bool:
    offsets = calls.offsets(topic)[0]
    return bool(offsets.log_end_offset == end)


def test_a_full_store_sheds_and_says_so(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("budget")
    budget = 1 << 20
    store = {**SETTINGS["store"], "bytes_max": budget}
    service = ServiceProcess(
        tmp_path, kafka.bootstrap, {**SETTINGS, "store": store, "retention": {}}
    )
    with service, Calls(service.address) as calls:
        create_topic(kafka.bootstrap, topic)
        rows = objects(0, 800, size=4_000)
        for begin in range(0, len(rows), 100):  # so that no segment alone is beyond the budget
            end = begin + 100
            produce(kafka.bootstrap, topic, rows[begin:end])
            if not begin:
                asyncio.run(_commit_first_batch(service.address, topic))
            mined = partial(_is_mined, calls, topic, end)
            eventually(mined, f"mining up to {end}")
        delete_records_before(kafka.bootstrap, topic, {0: len(rows)})

        def usage() -> retention_pb2.StoreUsage:
            request = retention_pb2.ListStoreUsageRequest()
            found: retention_pb2.StoreUsage
            (found,) = calls.admin.ListStoreUsage(request, timeout=60).stores
            return found

        def settled() -> bool:
            found = usage()
            within = found.bytes <= budget and not found.full
            return within and sealed() and sum(drop.records for drop in drops()) == start() > 0

        def sealed() -> bool:
            return _sealed_end(calls, topic) == len(rows)

        def start() -> int:
            return int(calls.offsets(topic)[0].log_start_offset)

        def drops() -> list[retention_pb2.Drop]:
            request = retention_pb2.ListDropsRequest(topic=topic)
            return list(calls.admin.ListDrops(request, timeout=60).drops)

        def seen() -> str:
            return f"{usage()}, {start()=}, {drops()}, sealed up to {_sealed_end(calls, topic)}"

        try:
            eventually(settled, "a store within its budget")
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen()}") from error
        found = usage()
        assert found.bytes_max == budget
        assert found.topics[0].unread_by == "absent"
        assert {drop.cause for drop in drops()} == {retention_pb2.DROP_CAUSE_STORE_BYTES}
        log_start = start()
        request = pb.SubscribeRequest(
            subscription="absent", topics=[topic], mode=pb.FULL_AND_INCREMENTAL
        )
        refused = refusal(lambda: list(calls.log_cache.Subscribe(request, timeout=60)))
        assert refused[:2] == (grpc.StatusCode.DATA_LOSS, "CACHE_RETENTION")
        assert refused[2]["end_offset"] == str(log_start)


def test_a_store_full_of_what_is_protected_waits_and_goes_on(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("full")
    budget = 1 << 20
    settings: dict[str, dict[str, object]] = {
        **SETTINGS,
        "store": {**SETTINGS["store"], "bytes_max": budget, "segment_records_max": 50},
        "mining": {"batch_records_max": 50},
        "retention": {"unread_bytes_max": 1 << 30},
        "alarms": {"interval_s": 0.2, "raise_after_s": 0},
    }
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings) as service,
        Calls(service.address) as calls,
    ):
        create_topic(kafka.bootstrap, topic)
        produce(kafka.bootstrap, topic, objects(0, 100, size=4_000))
        asyncio.run(_commit_first_batch(service.address, topic))

        def usage() -> retention_pb2.StoreUsage:
            found: retention_pb2.StoreUsage
            request = retention_pb2.ListStoreUsageRequest(store="local")
            (found,) = calls.admin.ListStoreUsage(request, timeout=60).stores
            return found

        def alarms() -> set[int]:
            request = alarms_pb2.ListAlarmsRequest()
            return {alarm.kind for alarm in calls.admin.ListAlarms(request, timeout=60).alarms}

        count = 100
        while not usage().full:
            assert count < 20_000, "it is never full"
            produce(kafka.bootstrap, topic, objects(count, count + 50, size=4_000))
            count += 50
            eventually(
                lambda end=count: (  # type: ignore[misc]
                    usage().full or calls.offsets(topic)[0].log_end_offset == end
                ),
                "mining, or a full store",
            )
        eventually(lambda: alarms_pb2.ALARM_STORE_FULL in alarms(), "its alarm")
        stands_at = calls.offsets(topic)[0].log_end_offset
        produce(kafka.bootstrap, topic, objects(count, count + 100, size=4_000))
        count += 100
        time.sleep(2)  # whoever refuses at random would be found out
        offsets = calls.offsets(topic)[0]
        assert (offsets.log_end_offset, offsets.log_start_offset) == (stands_at, 0)
        assert stands_at < count
        # Once it has read, or is set forward, the oldest may go, and mining goes on.
        start = pb.Start(latest=pb.Latest())
        calls.log_cache.ResetSubscription(
            pb.ResetSubscriptionRequest(subscription="absent", start=start), timeout=60
        )
        eventually(lambda: calls.offsets(topic)[0].log_end_offset == count, "the rest")
        eventually(lambda: not usage().full and usage().bytes <= budget, "room")
        assert calls.offsets(topic)[0].log_start_offset > 0


def _range(topic: str, begin: int, end: int) -> dict[str, str]:
    offsets = {"begin_offset": str(begin), "end_offset": str(end)}
    where = {"topic": topic, "partition": "0", "incarnation": "1"}
    return {**where, **offsets, "recovers_from_snapshot": "false"}
