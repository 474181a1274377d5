"""The direct side: what a user runs without the cache. A worker: `python -m tests.bench.direct`.

Every action reads a topic that begins at offset 0 from there to known ends, as fast as it can,
from making the client to the last record; no JSON is parsed.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as AioPartition
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.bench.digest import Digest, Json, Tally
from tests.bench.latency import Latencies
from tests.bench.worker import Say, serve

_MIB = 1024 * 1024
_FETCH_BYTES_MAX = 50 * _MIB
_PARTITION_BYTES_MAX = 8 * _MIB
_BATCH_RECORDS = 10_000
_POLL_S = 1.0


def read_aiokafka(job: Json, _: Say) -> Json:
    """Touch offset and value of every record that `getmany` gives."""
    return asyncio.run(_read_aiokafka(job))


def discard_aiokafka(job: Json, _: Say) -> Json:
    """Throw away what `getmany` gives: nothing but a count."""
    return asyncio.run(_discard_aiokafka(job))


def read_confluent(job: Json, _: Say) -> Json:
    """Touch offset and value of every message that `consume` gives."""
    total = sum(job["ends"].values())
    tally = Tally()
    began = time.perf_counter()
    consumer = _confluent(job)
    while tally.records < total:
        messages = consumer.consume(_BATCH_RECORDS, _POLL_S)
        offsets = value_bytes = 0
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            offsets += message.offset()  # type: ignore[operator]
            value_bytes += len(message.value())  # type: ignore[arg-type]
        tally.records += len(messages)
        tally.offsets += offsets
        tally.value_bytes += value_bytes
    seconds = time.perf_counter() - began
    consumer.close()
    return {"seconds": seconds, "tally": tally.to_json()}


def digest_confluent(job: Json, _: Say) -> Json:
    """Checksum everything: the truth that others are held against."""
    total = sum(job["ends"].values())
    digest = Digest()
    consumer = _confluent(job)
    while digest.tally.records < total:
        found: dict[int, tuple[list[int], list[bytes | None]]] = defaultdict(lambda: ([], []))
        for message in consumer.consume(_BATCH_RECORDS, _POLL_S):
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            offsets, values = found[message.partition() or 0]
            offsets.append(message.offset() or 0)
            values.append(message.value())
        for partition, (offsets, values) in found.items():
            digest.add_records(partition, offsets, values)
    consumer.close()
    return {"digest": digest.to_json()}


def follow_aiokafka(job: Json, say: Say) -> Json:
    """Take records as they come, and note how old they are; see `latency`."""
    return asyncio.run(_follow_aiokafka(job, say))


async def _read_aiokafka(job: Json) -> Json:
    total = sum(job["ends"].values())
    tally = Tally()
    began = time.perf_counter()
    consumer = await _aiokafka(job)
    while tally.records < total:
        found = await consumer.getmany(timeout_ms=int(_POLL_S * 1000))
        for records in found.values():
            offsets = value_bytes = 0
            for record in records:
                offsets += record.offset
                value_bytes += len(record.value)
            tally.records += len(records)
            tally.offsets += offsets
            tally.value_bytes += value_bytes
    seconds = time.perf_counter() - began
    await consumer.stop()
    return {"seconds": seconds, "tally": tally.to_json()}


async def _discard_aiokafka(job: Json) -> Json:
    total = sum(job["ends"].values())
    count = 0
    began = time.perf_counter()
    consumer = await _aiokafka(job)
    while count < total:
        found = await consumer.getmany(timeout_ms=int(_POLL_S * 1000))
        count += sum(map(len, found.values()))
    seconds = time.perf_counter() - began
    await consumer.stop()
    return {"seconds": seconds, "records": count}


async def _follow_aiokafka(job: Json, say: Say) -> Json:
    total = sum(job["ends"].values())
    digest = Digest()
    latencies = Latencies(job["warm_offset"])
    consumer = await _aiokafka(job)
    await consumer.getmany(timeout_ms=200)
    say("subscribed")
    while digest.tally.records < total:
        found = await consumer.getmany(timeout_ms=int(_POLL_S * 1000))
        now_ns = time.time_ns()
        for partition, records in found.items():
            offsets = [record.offset for record in records]
            latencies.add(now_ns, offsets, [record.key for record in records])
            values = [record.value for record in records]
            digest.add_records(partition.partition, offsets, values)
    await consumer.stop()
    return {"digest": digest.to_json(), "latencies": latencies.to_json()}


async def _aiokafka(job: Json) -> Any:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=job["bootstrap"],
        enable_auto_commit=False,
        fetch_max_bytes=_FETCH_BYTES_MAX,
        max_partition_fetch_bytes=_PARTITION_BYTES_MAX,
    )
    await consumer.start()
    partitions = [AioPartition(job["topic"], int(number)) for number in job["ends"]]
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, 0)
    return consumer


def _confluent(job: Json) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": job["bootstrap"],
            "group.id": "cachesvc-bench",
            "enable.auto.commit": False,
            "fetch.max.bytes": _FETCH_BYTES_MAX,
            "max.partition.fetch.bytes": _PARTITION_BYTES_MAX,
            "queued.min.messages": 200_000,
            "queued.max.messages.kbytes": 256 * 1024,
            "log_level": 2,
        }
    )
    consumer.assign([TopicPartition(job["topic"], int(number), 0) for number in job["ends"]])
    return consumer


if __name__ == "__main__":
    serve(
        {
            "aiokafka": read_aiokafka,
            "bare": discard_aiokafka,
            "confluent": read_confluent,
            "digest": digest_confluent,
            "follow": follow_aiokafka,
        }
    )
