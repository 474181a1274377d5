"""G9: a record that is not a JSON object is kept apart with its reason, or stops its partition."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cachesvc.client import Client, MiningState, Mode, Progress
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import log_cache_pb2
from tests.faults.stage import Calls, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import full, until
from tests.support.topics import OutRecord, create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]
Name = Callable[[str], str]

LARGE = b'{"large": "' + b"x" * (10 << 20) + b'"}'
GOOD: list[bytes | None] = [
    b'{"id": 1}',
    b' \n{"id": 2}\t ',
    b"{}",
    b'{"twice": 1, "twice": 2}',
    None,
    b'{"deep": ' + b"[" * 400 + b"]" * 400 + b"}",
    LARGE,
    '{"text": "größer, 大"}'.encode(),
]
BAD = {
    b"not json": "MALFORMED_JSON",
    b"": "MALFORMED_JSON",
    b'{"id": 1': "MALFORMED_JSON",
    b'{"id": 1} {"id": 2}': "MALFORMED_JSON",
    b"\xef\xbb\xbf{}": "MALFORMED_JSON",
    b"[1, 2]": "NOT_AN_OBJECT",
    b"7": "NOT_AN_OBJECT",
    b'"text"': "NOT_AN_OBJECT",
    b"null": "NOT_AN_OBJECT",
    b'{"text": "\xff"}': "INVALID_UTF8",
    b'{"deep": ' + b"[" * 5_000 + b"]" * 5_000 + b"}": "NESTED_TOO_DEEP",
}


def _mixed() -> list[OutRecord]:
    """Good and bad records in turn, in partition 0; only good ones in partition 1."""
    rows: list[OutRecord] = []
    for number, value in enumerate([*GOOD, *BAD, *GOOD]):
        rows.append(OutRecord(key=b"k%d" % number, value=value, partition=0))
        rows.append(OutRecord(key=None, value=b'{"n": %d}' % number, partition=1))
    return rows


def _produce_mixed(kafka: KafkaBroker, topic: str) -> list[bytes | None]:
    create_topic(kafka.bootstrap, topic, 2, {"max.message.bytes": str(12 << 20)})
    rows = _mixed()
    produce(kafka.bootstrap, topic, rows)
    return [row.value for row in rows if row.partition == 0]


def test_bad_records_are_kept_apart_with_their_reason(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("reject")
    values = _produce_mixed(kafka, topic)
    expected = {n: BAD[v] for n, v in enumerate(values) if v is not None and v in BAD}
    settings = {"store": {"segment_age_s_max": 1}}
    with ServiceProcess(tmp_path, kafka.bootstrap, settings) as service:
        seen = asyncio.run(full(service.address, "s", topic)).of(topic)
        assert [offset for offset, _ in seen[0]] == [
            n for n in range(len(values)) if n not in expected
        ]
        assert all(value == values[offset] for offset, value in seen[0])
        assert len(seen[1]) == len(values)
        with Calls(service.address) as calls:
            _expect_rejects(calls, topic, values, expected)
            eventually(
                lambda: sum(s.reject_count for s in calls.segments(topic)) == len(expected),
                "sealed rejects",
            )
            _expect_rejects(calls, topic, values, expected)
            assert calls.topic(topic).reject_count == len(expected)
    files = sorted((service.store / "rejects").rglob("*.parquet"))
    assert files
    table = pq.read_table(files[0])
    assert (
        dict(zip(table["offset"].to_pylist(), table["reason"].to_pylist(), strict=True)) == expected
    )


def _expect_rejects(
    calls: Calls, topic: str, values: list[bytes | None], expected: dict[int, str]
) -> None:
    pages = calls.admin.ListRejects(admin.ListRejectsRequest(topic=topic), timeout=30)
    rows = [reject for page in pages for reject in page.rejects]
    assert {row.offset: row.reason for row in rows} == expected
    for row in rows:
        assert (row.topic, row.partition) == (topic, 0)
        assert row.value == values[row.offset]
        assert row.key == b"k%d" % row.offset
        assert row.detail


def test_the_other_policy_stops_the_partition_at_the_record(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("stop")
    values = _produce_mixed(kafka, topic)
    stopped = len(GOOD)
    ends = {0: stopped, 1: len(values)}
    service = ServiceProcess(tmp_path, kafka.bootstrap, connection={"non_json_policy": "stop"})

    async def blocked_on_the_stream() -> str:
        async with (
            asyncio.timeout(60),
            Client(service.address) as client,
            client.subscribe("p", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL) as stream,
        ):
            async for event in stream.events():
                if isinstance(event, Progress):
                    for found in event.partitions:
                        if found.mining_state is MiningState.BLOCKED:
                            return found.mining_error
        raise AssertionError("the stream ended")

    with service:
        for _ in range(2):
            seen = asyncio.run(until(service.address, "s", topic, ends)).of(topic)
            assert [offset for offset, _ in seen[0]] == list(range(stopped))
            error = asyncio.run(blocked_on_the_stream())
            for part in (topic, "partition 0", f"offset {stopped}", "MALFORMED_JSON"):
                assert part in error
            with Calls(service.address) as calls:
                offsets = calls.offsets(topic)
                assert offsets[0].mining_state == log_cache_pb2.BLOCKED
                assert offsets[0].log_end_offset == stopped
                eventually(
                    lambda: calls.offsets(topic)[1].mining_state == log_cache_pb2.MINING,
                    "the other partition to be mined",
                )
                assert calls.topic(topic).mining_error == error
            # The other partition goes on.
            produce(kafka.bootstrap, topic, objects(0, 5), partition=1)
            ends[1] += 5
            asyncio.run(until(service.address, "again", topic, {1: ends[1]}))
            # A restart changes nothing about the record.
            service.stop()
            service.start()
