"""What may change within a topic without anybody losing anything, against a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cachesvc.client import AtTimestamp, Batch, Client, Gap, Mode, Record
from tests.support.kafka_broker import KafkaBroker
from tests.support.reading import BrokerRecord
from tests.support.service import ServiceProcess
from tests.support.topics import COMPACT_EAGERLY, create_topic, produce, read_all
from tests.support.writing import Compression, OutRecord, TransactionalWriter

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

Name = Callable[[str], str]
START_MS = 1_700_000_000_000
COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd", "none")


def _records(begin: int, end: int, **fields: Any) -> list[OutRecord]:
    return [OutRecord(b"%d" % n, b'{"n":%d}' % n, **fields) for n in range(begin, end)]


def _plain(record: BrokerRecord | Record) -> tuple[object, ...]:
    kind, at = int(record.timestamp_type), record.timestamp_ms
    return record.offset, record.key, record.value, at, kind


async def _read(
    address: str, topic: str, count: int, start: AtTimestamp | None = None
) -> list[Record]:
    """So many records of a topic with one partition; there must be no gap among them."""
    found: list[Record] = []
    async with (
        asyncio.timeout(60),
        Client(address) as client,
        client.subscribe(
            f"reads-{start}-{count}".translate({ord(c): "-" for c in " (=)"}),
            topics=topic,
            mode=Mode.FULL_AND_INCREMENTAL,
            start=start,
        ) as stream,
    ):
        async for event in stream.events():
            assert not isinstance(event, Gap), event
            if isinstance(event, Batch):
                found.extend(event)
            if len(found) >= count:
                break
    return found


def test_compression_changes_from_batch_to_batch(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("compressions")
    create_topic(kafka.bootstrap, topic)
    for number, compression in enumerate(COMPRESSIONS):
        records = _records(number * 50, number * 50 + 50)
        produce(kafka.bootstrap, topic, records, compression=cast(Compression, compression))
    truth = read_all(kafka.bootstrap, topic)[0]
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        seen = asyncio.run(_read(service.address, topic, len(truth)))
    assert list(map(_plain, seen)) == list(map(_plain, truth))


def test_timestamps_run_backwards(kafka: KafkaBroker, topic_name: Name, tmp_path: Path) -> None:
    topic = topic_name("backwards")
    create_topic(kafka.bootstrap, topic)
    for n in range(40):
        produce(kafka.bootstrap, topic, _records(n, n + 1, timestamp_ms=START_MS - 1_000 * n))
    late = _records(40, 41, timestamp_ms=START_MS + 5_000)
    produce(kafka.bootstrap, topic, late)
    truth = read_all(kafka.bootstrap, topic)[0]
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        seen = asyncio.run(_read(service.address, topic, 41))
        assert list(map(_plain, seen)) == list(map(_plain, truth))
        # From the first record that is not older, whatever comes behind it.
        since = asyncio.run(_read(service.address, topic, 41, AtTimestamp(START_MS - 500)))
        assert [record.offset for record in since] == list(range(41))
        newest = asyncio.run(_read(service.address, topic, 1, AtTimestamp(START_MS + 1)))
        assert [record.offset for record in newest] == [40]


def test_timestamps_become_the_brokers(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("append-time")
    create_topic(kafka.bootstrap, topic, config={"message.timestamp.type": "LogAppendTime"})
    produce(kafka.bootstrap, topic, _records(0, 30, timestamp_ms=START_MS))
    truth = read_all(kafka.bootstrap, topic)[0]
    assert {record.timestamp_type for record in truth} == {1}
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        seen = asyncio.run(_read(service.address, topic, 30))
    assert list(map(_plain, seen)) == list(map(_plain, truth))


def test_offsets_that_kafka_skips_are_no_gap(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    """G7: transaction markers, aborted records and compacted ones."""
    topic = topic_name("skips")
    create_topic(kafka.bootstrap, topic, config=COMPACT_EAGERLY)
    with TransactionalWriter(kafka.bootstrap) as writer:
        for n in range(0, 60, 20):
            writer.commit(topic, _records(n, n + 10, partition=0))
            writer.abort(topic, _records(n + 10, n + 20, partition=0))
    for _ in range(3):
        produce(kafka.bootstrap, topic, _records(0, 20))
    with ServiceProcess(tmp_path, kafka.bootstrap) as service:
        seen = asyncio.run(_read(service.address, topic, 20))
    offsets = [record.offset for record in seen]
    assert offsets == sorted(set(offsets))
    aborted = {b'{"n":%d}' % n for n in (*range(30, 40), *range(50, 60))}
    assert not aborted & {record.value for record in seen}
    assert offsets[-1] >= len(offsets), "there were holes"
