"""What a real broker has: every record of a topic, and the ends of its partitions."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any, Literal, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

Isolation = Literal["read_committed", "read_uncommitted"]
Headers = tuple[tuple[str, bytes | None], ...]

# What librdkafka writes to stderr by itself: nothing short of "critical".
QUIET = {"log_level": 2}
_FETCH_BYTES_MAX = 64 * 1024 * 1024
_READ_BATCH = 10_000
_NOT_YET = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_TIMESTAMP_TYPES = {TIMESTAMP_CREATE_TIME: 0, TIMESTAMP_LOG_APPEND_TIME: 1}


@dataclass(frozen=True, slots=True)
class BrokerRecord:
    """A record as the broker gives it.

    Attributes:
        timestamp_type: Kafka's number: 0 create time, 1 log append time, -1 no timestamp.
        value: None for a tombstone.
        headers: In order, names may repeat; empty if there are none.
    """

    offset: int
    timestamp_ms: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def read_all(
    bootstrap: str,
    topic: str,
    isolation: Isolation = "read_committed",
    timeout_s: float = 120.0,
) -> dict[int, list[BrokerRecord]]:
    """Return every record of a topic by partition: the truth that others are held against.

    Each partition, also an empty one, is read from its first offset to its end as it is when
    the reading gets there: the last stable offset for `read_committed`, else the high
    watermark. Offsets are strictly increasing.

    Raises:
        TimeoutError: some partition's end was not reached in time.
        KafkaException: the topic is unknown, or the broker refused.
    """
    consumer = _consumer(bootstrap, isolation)
    try:
        truth: dict[int, list[BrokerRecord]] = {
            partition: [] for partition in _partitions(consumer, topic, timeout_s)
        }
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in truth])
        _read_to_ends(consumer, truth, time.monotonic() + timeout_s)
        return truth
    finally:
        consumer.close()


def watermarks(bootstrap: str, topic: str, timeout_s: float = 30.0) -> dict[int, tuple[int, int]]:
    """Return the offsets `[begin, end)` of every partition; the end is the high watermark.

    Waits for partitions that the broker does not serve yet, as just after its start.

    Raises:
        KafkaException: the topic is unknown, or a partition is not served in time.
    """
    consumer = _consumer(bootstrap, "read_uncommitted")
    try:
        partitions = _partitions(consumer, topic, timeout_s)
        return {p: _watermarks(consumer, TopicPartition(topic, p), timeout_s) for p in partitions}
    finally:
        consumer.close()


def await_decided(bootstrap: str, topic: str, timeout_s: float = 60.0) -> None:
    """Return once no transaction is open in a topic: what was committed can be read.

    A commit is decided when it is answered; the markers that let records be read follow.

    Raises:
        TimeoutError: One stays open.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap, **QUIET})
    numbers = admin.list_topics(topic, timeout_s).topics[topic].partitions
    asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}  # type: ignore[no-untyped-call]
    deadline = time.monotonic() + timeout_s

    def ends(isolation: IsolationLevel) -> list[int]:
        found = admin.list_offsets(asked, isolation_level=isolation)
        return [future.result(timeout_s).offset for future in found.values()]

    while ends(IsolationLevel.READ_COMMITTED) != ends(IsolationLevel.READ_UNCOMMITTED):
        if time.monotonic() > deadline:
            raise TimeoutError(f"a transaction stays open in {topic}")
        time.sleep(0.02)


def _watermarks(consumer: Consumer, partition: TopicPartition, timeout_s: float) -> tuple[int, int]:
    """Ask again while the broker has only just become the leader."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            begin, end = consumer.get_watermark_offsets(partition, timeout_s)
            return begin, end
        except KafkaException as error:
            if not error.args[0].retriable() and error.args[0].code() not in _NOT_YET:
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _consumer(bootstrap: str, isolation: Isolation) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"tests-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "fetch.wait.max.ms": 20,  # the end of an empty partition shows after this long
            "fetch.max.bytes": _FETCH_BYTES_MAX,
            "max.partition.fetch.bytes": _FETCH_BYTES_MAX,
            "receive.message.max.bytes": _FETCH_BYTES_MAX + 1024 * 1024,
            **QUIET,
        }
    )


def _partitions(consumer: Consumer, topic: str, timeout_s: float) -> list[int]:
    description = consumer.list_topics(topic, timeout_s).topics[topic]
    if description.error is not None:
        raise KafkaException(description.error)
    return sorted(description.partitions)


def _read_to_ends(
    consumer: Consumer, truth: dict[int, list[BrokerRecord]], deadline: float
) -> None:
    unfinished = set(truth)
    while unfinished:
        if time.monotonic() > deadline:
            raise TimeoutError(f"partitions {sorted(unfinished)} not read to their ends")
        for message in consumer.consume(_READ_BATCH, 0.05):
            partition = cast(int, message.partition())
            error = message.error()
            if error is None:
                if partition in unfinished:
                    truth[partition].append(_to_record(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(partition)
            else:
                raise KafkaException(error)


def _to_record(message: Message[Any, Any]) -> BrokerRecord:
    kind, timestamp_ms = message.timestamp()
    return BrokerRecord(
        offset=cast(int, message.offset()),
        timestamp_ms=timestamp_ms if kind in _TIMESTAMP_TYPES else -1,  # librdkafka says 0
        timestamp_type=_TIMESTAMP_TYPES.get(kind, -1),
        key=message.key(),
        value=message.value(),
        headers=tuple(cast("list[tuple[str, bytes | None]]", message.headers() or [])),
    )
