"""Deliveries as a runner makes them, from plain rows."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pyarrow as pa

from cachesvc.client import Positions, TopicPartition
from cachesvc.sync import (
    CHANGE_SCHEMA,
    Changes,
    Delivery,
    Sink,
    TargetUnavailable,
    TaskContext,
)
from cachesvc.sync.sinks.kafka import KAFKA, KafkaSink

Row = Mapping[str, Any]
_OPEN_S = 60.0


def row(offset: int, value: str | None = "{}", **others: Any) -> Row:
    """A row of ``CHANGE_SCHEMA``; without a value it is a delete."""
    return {
        "offset": offset,
        "timestamp": 1_700_000_000_000 + offset,
        "timestamp_type": 0,
        "key": b"k%d" % offset,
        "value": value,
        "headers": None,
        "deleted": value is None,
        **others,
    }


def counted(begin: int, end: int, **others: Any) -> list[Row]:
    """Rows of these offsets; each has its own as its value."""
    return [row(n, f'{{"n":{n}}}', **others) for n in range(begin, end)]


def changes(topic: str, partition: int, rows: Sequence[Row], next_position: int = 0) -> Changes:
    """Changes of a partition; they end behind the last row."""
    end = next_position or (rows[-1]["offset"] + 1 if rows else 0)
    batch = pa.RecordBatch.from_pylist(list(rows), schema=CHANGE_SCHEMA)
    return Changes(TopicPartition(topic, partition, 1), end, batch)


def delivery(*each: Changes) -> Delivery:
    """What a sink gets at once."""
    return Delivery(each, Positions(some.position for some in each))


def kafka_sink(bootstrap: str, task: str = "task", **settings: Any) -> KafkaSink:
    """A Kafka sink with settings as in a task file."""
    table = {"bootstrap_servers": bootstrap.split(","), **settings}
    made = KAFKA.make(msgspec.convert(table, KAFKA.settings), TaskContext(task))
    assert isinstance(made, KafkaSink)
    return made


async def open_when_possible(sink: Sink) -> Positions | None:
    """Opens a sink as a runner does: again while the target is not available."""
    deadline_s = time.monotonic() + _OPEN_S
    while True:
        try:
            return await sink.open()
        except TargetUnavailable:
            if time.monotonic() > deadline_s:
                raise
        await asyncio.sleep(0.1)


@asynccontextmanager
async def opened(bootstrap: str, task: str = "task", **settings: Any) -> AsyncIterator[KafkaSink]:
    """A Kafka sink that is open, and closed at the end."""
    sink = kafka_sink(bootstrap, task, **settings)
    try:
        await open_when_possible(sink)
        yield sink
    finally:
        await sink.close()


async def numbered(sink: KafkaSink, topic: str, count: int, size: int, end: int) -> None:
    """Writes records 0 to ``end`` in deliveries, over some partitions, from where the sink is."""
    positions = await open_when_possible(sink) or Positions()
    begins = {n: positions[topic, n].offset if (topic, n) in positions else 0 for n in range(count)}
    while (lowest := min(begins.values())) < end:
        each = []
        for number, begin in begins.items():
            if begin == lowest:
                stop = min(begin + size, end)
                each.append(changes(topic, number, counted(begin, stop)))
                begins[number] = stop
        await sink.write(delivery(*each))
    await sink.close()


def main() -> None:
    """A process that may be killed: BOOTSTRAP TASK TOPIC TARGET PARTITIONS SIZE END."""
    bootstrap, task, topic, target, *numbers = sys.argv[1:]
    count, size, end = map(int, numbers)
    sink = kafka_sink(
        bootstrap,
        task,
        topic=target,
        partitioner="keep",
        partitions=count,
        exactly_once=True,
        transaction_timeout_s=10,
    )
    asyncio.run(numbered(sink, topic, count, size, end))


if __name__ == "__main__":
    main()
