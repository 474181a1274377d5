"""Carrying a topic on into Kafka: a sync task, and what a user writes by hand. A worker.

Every action carries a topic that begins at offset 0 into an empty one, from making the clients to
the last confirmation. `python -m tests.bench.sync`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pandas  # noqa: F401 - Arrow imports it at the first `to_numpy` wherever it is installed
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from cachesvc.sync import Task
from cachesvc.sync.sinks import kafka  # noqa: F401 - else a task loads it while it is timed
from tests.bench.digest import Json
from tests.bench.worker import Say, serve
from tests.support.reading import QUIET

_BATCH_RECORDS = 10_000
_POLL_S = 1.0


def run_task(job: Json, _: Say) -> Json:
    """By a sync task, whose source is the cache."""
    return asyncio.run(_run_task(job))


async def _run_task(job: Json) -> Json:
    config: dict[str, Any] = {
        "name": f"bench-{uuid.uuid4().hex}",
        "source": {"service": job["service"], "topics": [job["topic"]], "mode": "FULL"},
        "sink": {
            "kind": "kafka",
            "bootstrap_servers": [job["bootstrap"]],
            "topic": job["target"],
            "partitioner": "keep",
            "compression": job["compression"],
        },
    }
    began = time.perf_counter()
    async with Task(config) as task:
        await task.wait()
    return {"seconds": time.perf_counter() - began}


def loop(job: Json, _: Say) -> Json:
    """By hand: a consumer, an idempotent producer, and a loop."""
    began = time.perf_counter()
    failed: list[KafkaError] = []

    def report(error: KafkaError | None, _: Message[Any, Any]) -> None:
        if error is not None:
            failed.append(error)

    left = sum(job["ends"].values())
    consumer = Consumer(
        {
            "bootstrap.servers": job["bootstrap"],
            "group.id": "bench",
            "enable.auto.commit": False,
            "fetch.max.bytes": 64 << 20,
            "queued.min.messages": 200_000,
            **QUIET,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": job["bootstrap"],
            "enable.idempotence": True,
            "compression.type": job["compression"],
            "linger.ms": 20,
            "batch.size": 1 << 20,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": 500_000,
            "queue.buffering.max.kbytes": 256 << 10,
            "delivery.report.only.error": True,
            "on_delivery": report,
            **QUIET,
        }
    )
    consumer.assign([TopicPartition(job["topic"], int(number), 0) for number in job["ends"]])
    while left:
        messages = consumer.consume(min(left, _BATCH_RECORDS), _POLL_S)
        for message in messages:
            _produce(producer, job["target"], message)
        producer.poll(0)
        left -= len(messages)
    pending = producer.flush(120)
    seconds = time.perf_counter() - began
    consumer.close()
    if failed or pending:
        raise RuntimeError(f"{len(failed)} failed, {pending} pending")
    return {"seconds": seconds}


def _produce(producer: Producer, topic: str, message: Message[Any, Any]) -> None:
    while True:
        try:
            producer.produce(
                topic,
                message.value(),
                message.key(),
                message.partition(),  # type: ignore[arg-type]
                timestamp=message.timestamp()[1],
                headers=message.headers(),
            )
        except BufferError:
            producer.poll(0.1)
        else:
            return


if __name__ == "__main__":
    serve({"task": run_task, "loop": loop})
