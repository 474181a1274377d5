"""Topics on a real broker: creating, growing, deleting, and a set of every kind of record."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from confluent_kafka import KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewPartitions, NewTopic

from tests.support.reading import QUIET, BrokerRecord, Headers, Isolation, read_all, watermarks
from tests.support.writing import (
    Compression,
    DeliveryError,
    OutRecord,
    RecordWriter,
    TransactionalWriter,
    produce,
)

__all__ = [
    "COMPACT_EAGERLY",
    "BrokerRecord",
    "Compression",
    "DeliveryError",
    "Headers",
    "Isolation",
    "OutRecord",
    "RecordWriter",
    "TopicSpec",
    "TransactionalWriter",
    "add_partitions",
    "create_mixed_topics",
    "create_topic",
    "delete_records_before",
    "delete_topic",
    "mixed_topics",
    "produce",
    "read_all",
    "watermarks",
]

ADMIN_TIMEOUT_S = 30.0
LARGE_VALUE_BYTES = 1024 * 1024
# Settings of a topic in which every write lets the broker compact what lies before it.
COMPACT_EAGERLY = {
    "cleanup.policy": "compact",
    "segment.ms": "1",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "0",
}
_BASE_TIMESTAMP_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic and what is written into it.

    Attributes:
        records: In writing order; each names its partition.
        config: Settings of the topic.
    """

    name: str
    partitions: int
    compression: Compression
    records: tuple[OutRecord, ...]
    config: Mapping[str, str] = field(default_factory=dict)

    def of_partition(self, partition: int) -> list[OutRecord]:
        """Return the records of one partition; the index is the offset in a new topic."""
        return [record for record in self.records if record.partition == partition]


def create_topic(
    bootstrap: str, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
) -> None:
    """Create a topic and return once every partition can be written.

    Raises:
        KafkaException: the name is taken or not allowed, or a setting is unknown.
        TimeoutError: some partition has no leader after `ADMIN_TIMEOUT_S`.
    """
    admin = _admin(bootstrap)
    topic = NewTopic(name, partitions, 1, config=dict(config or {}))
    admin.create_topics([topic])[name].result(ADMIN_TIMEOUT_S)
    _await_topic(admin, name, lambda led: led == partitions)
    watermarks(bootstrap, name)


def add_partitions(bootstrap: str, name: str, total: int) -> None:
    """Let a topic grow to `total` partitions and return once all can be written.

    Raises:
        KafkaException: the topic is unknown or has that many already.
        TimeoutError: some partition has no leader after `ADMIN_TIMEOUT_S`.
    """
    admin = _admin(bootstrap)
    admin.create_partitions([NewPartitions(name, total)])[name].result(ADMIN_TIMEOUT_S)
    _await_topic(admin, name, lambda led: led == total)
    watermarks(bootstrap, name)


def configure_topic(bootstrap: str, name: str, config: Mapping[str, str]) -> None:
    """Change settings of a topic; leaders follow a moment later.

    Raises:
        KafkaException: the topic or a setting is unknown.
    """
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in config.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
    admin = _admin(bootstrap)
    admin.incremental_alter_configs([resource])[resource].result(ADMIN_TIMEOUT_S)


def delete_topic(bootstrap: str, name: str) -> None:
    """Delete a topic and return once the broker does not know it any more.

    Raises:
        KafkaException: the topic is unknown.
        TimeoutError: it is still there after `ADMIN_TIMEOUT_S`.
    """
    admin = _admin(bootstrap)
    admin.delete_topics([name])[name].result(ADMIN_TIMEOUT_S)
    _await_topic(admin, name, lambda led: led is None)


def delete_records_before(bootstrap: str, name: str, offsets: Mapping[int, int]) -> None:
    """Let the source's retention pass: drop what lies before the given offsets.

    Args:
        bootstrap: Where the broker is.
        name: The topic.
        offsets: Partition to the first offset that stays; -1 for the high watermark.

    Raises:
        KafkaException: a partition is unknown or an offset is above its end.
    """
    wanted = [TopicPartition(name, p, offset) for p, offset in offsets.items()]
    admin = _admin(bootstrap)  # a client that is not kept alive takes its requests with it
    for future in admin.delete_records(wanted).values():
        future.result(ADMIN_TIMEOUT_S)


def mixed_topics(prefix: str) -> tuple[TopicSpec, ...]:
    """Return one topic per compression, each with every kind of record.

    Each has three partitions: 0 with keys, 1 mostly without, 2 with nothing at all. Among the
    records are tombstones, empty values and empty keys, headers (repeated, empty and null
    ones) and none, and values of 1 MiB. All other values are JSON objects. The records are the
    same at every call.
    """
    return tuple(
        TopicSpec(f"{prefix}-{compression}", 3, compression, _mixed_records())
        for compression in get_args(Compression)
    )


def create_mixed_topics(bootstrap: str, prefix: str) -> tuple[TopicSpec, ...]:
    """Create and fill the topics of `mixed_topics` on a broker, and return them."""
    specs = mixed_topics(prefix)
    for spec in specs:
        create_topic(bootstrap, spec.name, spec.partitions, spec.config)
        produce(bootstrap, spec.name, spec.records, compression=spec.compression)
    return specs


def _mixed_records() -> tuple[OutRecord, ...]:
    large = json.dumps({"id": -1, "text": _text(LARGE_VALUE_BYTES - 40)}).encode()
    records = []
    for number in range(400):
        keyed = number % 2 == 0
        records.append(
            OutRecord(
                key=b"key-%d" % (number % 50) if keyed else None,
                value=json.dumps({"id": number, "text": _text(number)}).encode(),
                headers=(("source", b"mixed"), ("number", b"%d" % number)) if number % 3 else (),
                partition=number % 2,
                timestamp_ms=_BASE_TIMESTAMP_MS + number,
            )
        )
    odd_headers = (("twice", b"1"), ("twice", b"2"), ("empty", b""), ("null", None))
    for partition, key in ((0, b"key-0"), (1, None)):
        shapes: list[tuple[bytes | None, bytes | None, Headers]] = [
            (key, None, ()),
            (key, None, odd_headers),
            (key, b"", ()),
            (key, large, ()),
            (b"", b'{"id":-2}', odd_headers),
            (key, b'{"id":-3}', ()),
        ]
        records += [OutRecord(*shape, partition, _BASE_TIMESTAMP_MS + 400) for shape in shapes]
    return tuple(records)


def _text(length: int) -> str:
    """Return text that compresses to about half and is the same at every call."""
    return random.Random(length).randbytes((length + 1) // 2).hex()[:length]


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, **QUIET})


def _await_topic(admin: AdminClient, name: str, holds: Callable[[int | None], bool]) -> None:
    deadline = time.monotonic() + ADMIN_TIMEOUT_S
    while not holds(_led_partitions(admin, name)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the broker does not show the change of topic {name}")
        time.sleep(0.02)


def _led_partitions(admin: AdminClient, name: str) -> int | None:
    """Return how many partitions have a leader; None if the broker does not know the topic."""
    found = admin.list_topics(name, ADMIN_TIMEOUT_S).topics[name]
    if found.error is not None and found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return None
    return sum(partition.leader >= 0 for partition in found.partitions.values())
