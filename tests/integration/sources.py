"""What a source brings, collected and checked, while a test goes on."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from cachesvc.mining.kafka import KafkaSettings, KafkaSource
from cachesvc.mining.source import EARLIEST, ProblemReason, RecordColumns, SourcePartition
from tests.support.kafka_broker import KafkaBroker
from tests.support.writing import OutRecord
from tests.unit.mining.fake_service import until

T = TypeVar("T")


def objects(begin: int, end: int, partition: int = 0) -> list[OutRecord]:
    return [
        OutRecord(None, b'{"id":%d}' % number, partition=partition) for number in range(begin, end)
    ]


class Collected:
    """Everything that a source brought, checked to follow one another without a gap."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source
        self.ends: dict[SourcePartition, int] = {}
        self.begins: dict[SourcePartition, int] = {}
        self.chunks: defaultdict[SourcePartition, list[RecordColumns]] = defaultdict(list)

    async def run(self) -> None:
        while True:
            for batch in await self._source.poll():
                for chunk in batch.chunks(1_000):
                    self._take(batch.partition, chunk)

    def _take(self, partition: SourcePartition, chunk: RecordColumns) -> None:
        self.begins.setdefault(partition, chunk.base_offset)
        assert self.ends.get(partition, chunk.base_offset) == chunk.base_offset
        assert chunk.end_offset > chunk.base_offset
        self.ends[partition] = chunk.end_offset
        self.chunks[partition].append(chunk)

    def add(self, topic: str, number: int, offset: int = EARLIEST) -> SourcePartition:
        partition = SourcePartition(topic, number)
        self._source.add(partition, offset)
        return partition

    def offsets(self, partition: SourcePartition) -> list[int]:
        return [offset for chunk in self.chunks[partition] for offset in chunk.offsets]

    def values(self, partition: SourcePartition) -> list[bytes | None]:
        return [value for chunk in self.chunks[partition] for value in chunk.values]

    async def reached(self, partition: SourcePartition, end: int) -> None:
        await until(lambda: self.ends.get(partition, -1) >= end, f"{partition} to reach {end}")
        assert self.ends[partition] == end

    async def failed(self, partition: SourcePartition, reason: ProblemReason) -> str:
        def is_so() -> bool:
            problem = self._source.status(partition).problem
            return problem is not None and problem.reason is reason

        await until(is_so, f"{partition} to fail with {reason}")
        return str(self._source.status(partition).problem)


@asynccontextmanager
async def collecting(settings: KafkaSettings | str) -> Any:
    if isinstance(settings, str):
        settings = KafkaSettings(bootstrap_servers=(settings,), metadata_interval_s=1.0)
    source = KafkaSource(settings)
    collected = Collected(source)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(source.run()), tasks.create_task(collected.run())]
        try:
            yield source, collected
        finally:
            for task in running:
                task.cancel()


def in_thread(work: Callable[..., T], *arguments: Any, **named: Any) -> Awaitable[T]:
    """Blocking calls of the test harness, while the source goes on."""
    return asyncio.to_thread(work, *arguments, **named)


@contextmanager
def broker(
    directory: Path, config: dict[str, str] | None = None, *, start: bool = True
) -> Iterator[KafkaBroker]:
    """A broker of the test's own."""
    options = ("-XX:TieredStopAtLevel=1",)
    made = KafkaBroker(directory / "kafka", config=config, jvm_options=options)
    try:
        if start:
            made.start()
        yield made
    finally:
        made.kill()
        made.discard_data()
