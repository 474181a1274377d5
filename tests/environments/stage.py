"""A broker stand-in with a few records of every kind, and the real service before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer

from tests.environments.smoke import Row
from tests.support.service import ServiceProcess

TOPIC = "orders"
_RECORDS = 2_000
_FIRST_TIMESTAMP_MS = 1_700_000_000_000
_ANSWER_S = 60.0
# librdkafka's own mock cluster, within this process.
_BROKER = {"test.mock.num.brokers": 1, "log_level": 2}


@dataclass(frozen=True, slots=True)
class Stage:
    """What a task needs.

    Attributes:
        address: The service's.
        expected: A file with the rows that a task has to see, as JSON.
    """

    address: str
    expected: Path


@contextmanager
def serving(directory: Path) -> Iterator[Stage]:
    """Runs broker and service."""
    producer = Producer(dict(_BROKER))
    # Asking for a topic makes it.
    found = producer.list_topics(TOPIC, timeout=_ANSWER_S)
    (broker,) = found.brokers.values()
    rows = list(_rows(len(found.topics[TOPIC].partitions)))
    for row in rows:
        producer.produce(
            TOPIC,
            partition=row[0],
            timestamp=row[2],
            key=row[3],
            value=row[4],
            headers=[
                (key, None if value is None else bytes.fromhex(value)) for key, value in row[5]
            ],
        )
    assert producer.flush(_ANSWER_S) == 0, "the broker stand-in did not take the records"
    expected = directory / "expected.json"
    expected.write_text(json.dumps(rows))
    with ServiceProcess(directory / "service", f"{broker.host}:{broker.port}") as service:
        yield Stage(service.address, expected)


def _rows(partitions: int) -> Iterator[Row]:
    """Records with and without key, value and headers, in all their combinations."""
    for number in range(_RECORDS):
        yield (
            number % partitions,
            number // partitions,
            _FIRST_TIMESTAMP_MS + number,
            f"k{number}" if number % 3 else None,
            f'{{"number":{number},"é":"ß"}}' if number % 7 else None,
            [["trace", "ff00"], ["empty", None]] if number % 5 == 0 else [],
        )
