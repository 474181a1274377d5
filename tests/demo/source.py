"""What the source itself says: which topics it has, how far they go, and what is in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings
from cachesvc.policy.topics import topic_matcher
from tests.demo.broker_proxy import BrokerProxy
from tests.demo.checksum import Checksum
from tests.demo.failure import DemoError
from tests.demo.metadata import Address
from tests.demo.service import format_address

_ANSWER_TIMEOUT_S = 5.0
_POLL_MS = 1_000
_SHOWN_TOPICS = 8

Offsets = Mapping[tuple[str, int], int]
"""An offset by topic and partition."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is in the topics that count.

    Attributes:
        begins: The lowest offset of each partition.
        ends: The next offset of each.
    """

    begins: Offsets
    ends: Offsets

    @property
    def topics(self) -> list[str]:
        """Their names in order."""
        return sorted({topic for topic, _ in self.ends})

    @property
    def records(self) -> int:
        """Upper bound: offsets, holes included."""
        return sum(end - self.begins[partition] for partition, end in self.ends.items())


async def find_extent(kafka: Address, topics: str) -> Extent:
    """The topics whose names an expression matches, as they are now.

    Raises:
        DemoError: Kafka does not answer, has no such topics, or nothing is in them.
    """
    async with _catalogue(kafka) as catalogue:
        try:
            known = await catalogue.list_topics()
            matches = topic_matcher(topics)
            partitions = [(name, n) for name, found in known.items() for n in found.partitions]
            wanted = [(name, n) for name, n in partitions if matches(name)]
            begins = (await catalogue.earliest_offsets(wanted)).all()
            ends = (await catalogue.end_offsets(wanted)).all()
        except SourceUnreachable as error:
            what = f"no Kafka answers at {format_address(kafka)}: {error}"
            raise DemoError(f"{what}; check --kafka") from error
    if not wanted:
        names = ", ".join(sorted(known)[:_SHOWN_TOPICS]) or "none"
        more = " …" if len(known) > _SHOWN_TOPICS else ""
        raise DemoError(f"no topic matches {topics!r}; there are: {names}{more}; check --topics")
    extent = Extent(dict(begins), dict(ends))
    if not extent.records:
        names = ", ".join(extent.topics[:_SHOWN_TOPICS])
        raise DemoError(f"there is nothing in {names}; choose others with --topics")
    return extent


@dataclass(slots=True)
class DirectReader:
    """What every task would be without the service: a Kafka consumer that reads everything.

    Attributes:
        extent: What to read.
        rejects: Topic, partition and offset of records that are none for the service.
        checksum: Over the others, as far as they were read.
        rejected: How many it has left out.
        bytes_received: What the brokers have sent it; known at the end.
    """

    extent: Extent
    rejects: Container[tuple[str, int, int]]
    checksum: Checksum
    rejected: int = 0
    bytes_received: int = 0

    async def read(self, kafka: Address) -> None:
        """Reads once from begin to end, through a proxy that counts.

        Raises:
            DemoError: Kafka does not let it.
        """
        async with BrokerProxy() as proxy:
            bootstrap = format_address(await proxy.open(kafka))
            consumer = AIOKafkaConsumer(
                bootstrap_servers=bootstrap,
                enable_auto_commit=False,
                isolation_level="read_committed",
            )
            try:
                await consumer.start()
                await self._read(consumer)
            except KafkaError as error:
                raise DemoError(f"reading Kafka directly failed: {error}") from error
            finally:
                await consumer.stop()
            self.bytes_received = proxy.bytes_received

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        left = {
            TopicPartition(*partition): end
            for partition, end in self.extent.ends.items()
            if end > self.extent.begins[partition]
        }
        consumer.assign(list(left))
        for partition in left:
            consumer.seek(partition, self.extent.begins[partition])
        while left:
            for partition, batch in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                end = self.extent.ends[partition]
                found = [record for record in batch if record.offset < end]
                wanted = [r for r in found if (*partition, r.offset) not in self.rejects]
                self.rejected += len(found) - len(wanted)
                offsets = [record.offset for record in wanted]
                values = [record.value for record in wanted]
                self.checksum.add_records(partition.topic, partition.partition, offsets, values)
            for partition in [p for p, end in left.items() if await consumer.position(p) >= end]:
                del left[partition]
                consumer.pause(partition)


@asynccontextmanager
async def _catalogue(kafka: Address) -> AsyncIterator[KafkaCatalogue]:
    settings = KafkaSettings(
        bootstrap_servers=(format_address(kafka),), answer_timeout_s=_ANSWER_TIMEOUT_S
    )
    catalogue = KafkaCatalogue(settings)
    try:
        yield catalogue
    finally:
        await catalogue.close()
