"""Writing records to a real broker, checked, plain and in transactions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

from confluent_kafka import KafkaError, Producer

from tests.support.kafka_properties import RECORD_BYTES_MAX
from tests.support.reading import QUIET, Headers, watermarks

Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]
_QUEUE_KB_MAX = 256 * 1024
_ANY_PARTITION = -1


class DeliveryError(RuntimeError):
    """Records did not all reach the broker. The message says how many, and the first error."""


@dataclass(frozen=True, slots=True)
class OutRecord:
    """A record to be written.

    Attributes:
        value: None for a tombstone.
        partition: None leaves the choice to the producer, by key.
        timestamp_ms: None means now.
    """

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


class RecordWriter:
    """A producer that checks that what it was told to write is stored.

    Records of one partition are stored in the order in which they are written. A topic that
    does not exist shows as a `DeliveryError` of `flush` after its timeout.

    Args:
        bootstrap: Where the broker is.
        compression: Of the batches that the producer makes.
        idempotent: Try again after an error and store each record once all the same. Costs half
            a second at the start. Without it an error of the broker is final.
        settings: Further librdkafka settings.
    """

    def __init__(
        self,
        bootstrap: str,
        compression: Compression = "none",
        *,
        idempotent: bool = True,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        self._errors: list[KafkaError] = []
        self._count = 0
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "compression.type": compression,
                "enable.idempotence": idempotent,
                # A second try of a producer that is not idempotent changes the order.
                "message.send.max.retries": 2_147_483_647 if idempotent else 0,
                "acks": "all",
                "linger.ms": 20,
                "batch.size": 1024 * 1024,
                "batch.num.messages": 100_000,
                "message.max.bytes": RECORD_BYTES_MAX,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": _QUEUE_KB_MAX,
                "delivery.report.only.error": True,
                "on_delivery": self._note,
                **QUIET,
                **(settings or {}),
            }
        )

    @property
    def producer(self) -> Producer:
        """The producer behind it."""
        return self._producer

    def write(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = _ANY_PARTITION,
        timestamp_ms: int = 0,
        headers: Headers = (),
    ) -> None:
        """Queue a record; blocks while the queue (256 MiB, a million records) is full.

        Raises:
            DeliveryError: the queue did not get shorter for a minute.
            KafkaException: the record is larger than the broker takes.
        """
        listed: list[tuple[str, str | bytes | None]] | None = list(headers) or None
        deadline: float | None = None
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, timestamp=timestamp_ms, headers=listed
                )
                break
            except BufferError as error:
                deadline = deadline or time.monotonic() + 60.0
                if time.monotonic() > deadline:
                    raise DeliveryError("the producer's queue stays full") from error
                self._producer.poll(0.05)
        self._count += 1

    def write_record(self, topic: str, record: OutRecord, partition: int | None = None) -> None:
        """Queue a record; `partition` overrules the record's own. See `write`."""
        chosen = record.partition if partition is None else partition
        self.write(
            topic,
            record.value,
            record.key,
            _ANY_PARTITION if chosen is None else chosen,
            record.timestamp_ms or 0,
            record.headers,
        )

    def flush(self, timeout_s: float = 60.0) -> int:
        """Wait until everything is stored; return the number written since the last call.

        Raises:
            DeliveryError: something was refused, or is still under way after `timeout_s`.
        """
        pending = self._producer.flush(timeout_s)
        count, self._count = self._count, 0
        errors, self._errors = self._errors, []
        if errors or pending:
            first = f": {errors[0]}" if errors else ""
            raise DeliveryError(f"{len(errors)} refused and {pending} pending of {count}{first}")
        return count

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what is queued, or forget it if the block failed."""
        if kind is None:
            self.flush()
        else:
            self._producer.purge()

    def _note(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self._errors.append(error)


def produce(
    bootstrap: str,
    topic: str,
    records: Iterable[OutRecord],
    *,
    compression: Compression = "none",
    partition: int | None = None,
    idempotent: bool = False,
    settings: Mapping[str, str | int] | None = None,
) -> int:
    """Write records in their order and return their number once the broker has them all.

    Args:
        bootstrap: Where the broker is.
        topic: Must exist.
        records: Taken one by one; at most 256 MiB of them wait to be sent.
        compression: Of the batches that the producer makes.
        partition: Where all of them go, whatever they say themselves.
        idempotent: For a broker that may be away meanwhile; see `RecordWriter`.
        settings: Further librdkafka settings.

    Raises:
        DeliveryError: not all of them were stored; some may have been.
        KafkaException: the topic is unknown.
    """
    watermarks(bootstrap, topic)  # returns once every partition is served
    writer = RecordWriter(bootstrap, compression, idempotent=idempotent, settings=settings)
    for record in records:
        writer.write_record(topic, record, partition)
    return writer.flush()


class TransactionalWriter:
    """Writes whole transactions, so that a topic gets commits, aborts and their markers.

    A second writer with the same id fences this one. A transaction that was left open is
    aborted on leaving the context.
    """

    def __init__(
        self,
        bootstrap: str,
        transactional_id: str | None = None,
        compression: Compression = "none",
        timeout_s: float = 60.0,
    ) -> None:
        self._timeout_s = timeout_s
        self._open = False
        name = transactional_id or f"tests-{uuid.uuid4()}"
        self._writer = RecordWriter(bootstrap, compression, settings={"transactional.id": name})
        self._writer.producer.init_transactions(timeout_s)

    def commit(self, topic: str, records: Iterable[OutRecord]) -> int:
        """Write one committed transaction; return the number of records."""
        count = self.leave_open(topic, records)
        self._writer.producer.commit_transaction(self._timeout_s)
        self._open = False
        return count

    def abort(self, topic: str, records: Iterable[OutRecord]) -> int:
        """Write records that reach the log, then abort; return the number of records."""
        count = self.leave_open(topic, records)
        self._writer.producer.abort_transaction(self._timeout_s)
        self._open = False
        return count

    def leave_open(self, topic: str, records: Iterable[OutRecord]) -> int:
        """Write records that reach the log and leave them undecided.

        Nothing behind the first of them can be read with `read_committed` for now. A following
        call goes on with the same transaction.
        """
        if not self._open:
            self._writer.producer.begin_transaction()
            self._open = True
        for record in records:
            self._writer.write_record(topic, record)
        return self._writer.flush(self._timeout_s)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(self, *_: object) -> None:
        """Abort what was left open."""
        if self._open:
            self._writer.producer.abort_transaction(self._timeout_s)
