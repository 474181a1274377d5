"""A broker stand-in within this process, and a producer that fills it.

It is the mock cluster that librdkafka, the library behind confluent-kafka, brings for tests of its
own: it speaks Kafka's protocol on a port of 127.0.0.1 and keeps everything in memory. It keeps
at most 5 MiB a partition and drops what is older, which is why ``RECORDS_MAX`` is what it is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, Producer

from tests.demo.failure import DemoError
from tests.demo.metadata import Address
from tests.demo.orders import OrdersTable

TOPIC = "orders"
RECORDS_MAX = 300_000
_ANSWER_TIMEOUT_S = 10.0
_SLICE_S = 0.02
_SETTINGS = {
    "test.mock.num.brokers": 1,
    "compression.type": "zstd",
    "linger.ms": 40,
    "queue.buffering.max.messages": RECORDS_MAX,
    "log_level": 2,
}


class StandIn:
    """One broker with one topic of four partitions. Used in ``async with``.

    Attributes:
        produced: Records that were given to the producer so far.
    """

    def __init__(self) -> None:
        self.produced = 0
        self._stopping = threading.Event()
        self._producer = Producer(dict(_SETTINGS))
        try:
            # Asking for a topic makes it.
            found = self._producer.list_topics(TOPIC, timeout=_ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise DemoError(f"the broker stand-in does not start: {error}") from error
        (broker,) = found.brokers.values()
        self.address: Address = (str(broker.host), int(broker.port))
        self.partitions = len(found.topics[TOPIC].partitions)

    async def produce(self, records: int, seconds: float) -> None:
        """Produces change events at an even pace, and returns when the broker has them all.

        Raises:
            DemoError: The broker did not take them.
        """
        await asyncio.to_thread(self._produce, records, seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends a production that is under way; the broker ends with this object."""
        self._stopping.set()

    def _produce(self, records: int, seconds: float) -> None:
        orders = OrdersTable(time.time_ns() // 1_000_000).changes(records)
        began = time.monotonic()
        while self.produced < records and not self._stopping.is_set():
            due = min(records, int(records * (time.monotonic() - began) / seconds) + 1)
            while self.produced < due:
                change = next(orders)
                partition = change.order_id % self.partitions
                self._producer.produce(TOPIC, change.value, change.key, partition)
                self.produced += 1
            self._producer.poll(0)
            time.sleep(_SLICE_S)
        left = 0 if self._stopping.is_set() else self._producer.flush(_ANSWER_TIMEOUT_S)
        if left:
            raise DemoError(f"the broker stand-in did not take {left} of {records} records")
