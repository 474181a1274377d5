"""A source in memory: what a test puts in is what a reader gets."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from cachesvc.errors import DataLoss
from cachesvc.mining.source import (
    EARLIEST,
    POLL_BYTES_MAX,
    FetchCounts,
    FetchTimes,
    PartitionStatus,
    Problem,
    RecordColumns,
    SourcePartition,
)
from cachesvc.policy.leader_epochs import UNKNOWN_EPOCH


@dataclass(frozen=True, slots=True)
class FakeRecord:
    offset: int
    value: bytes | None
    timestamp_ms: int = 0
    key: bytes | None = None


def columns(
    records: Sequence[FakeRecord],
    base_offset: int | None = None,
    end_offset: int | None = None,
    leader_epoch: int = UNKNOWN_EPOCH,
) -> RecordColumns:
    """Records as columns; without bounds the range ends where they do."""
    offsets = [record.offset for record in records]
    return RecordColumns(
        offsets[0] if base_offset is None else base_offset,
        offsets[-1] + 1 if end_offset is None else end_offset,
        offsets,
        [record.timestamp_ms for record in records],
        [0] * len(records),
        [record.key for record in records],
        [record.value for record in records],
        leader_epoch=leader_epoch,
    )


@dataclass(frozen=True, slots=True)
class FakeBatch:
    """Records of one fetch; one of offset ``damaged_at`` and later cannot be decoded."""

    partition: SourcePartition
    base_offset: int
    end_offset: int
    records: Sequence[FakeRecord]
    damaged_at: int | None = None
    encoded_bytes: int = 0
    leader_epoch: int = UNKNOWN_EPOCH
    fetched: FetchTimes | None = None

    def chunks(self, records_max: int) -> Iterator[RecordColumns]:
        base, rest = self.base_offset, list(self.records)
        while rest:
            part, rest = rest[:records_max], rest[records_max:]
            if self.damaged_at is not None and part[-1].offset >= self.damaged_at:
                raise DataLoss("these bytes are damaged", reason="SOURCE_DAMAGED")
            end = rest[0].offset if rest else self.end_offset
            yield columns(part, base, end, self.leader_epoch)
            base = end
        if base < self.end_offset:
            yield columns((), base, self.end_offset)


class FakeSource:
    """A ``SourceReader``.

    A poll brings up to ``batch_records`` records of each partition, or, of large batches, of one.
    """

    def __init__(self, *, large: bool = False) -> None:
        self.error = ""
        self.older: FakeSource | None = None
        """What the same reader mines older ranges from."""
        self.batch_records = 100
        self.leader_epoch = UNKNOWN_EPOCH
        self.large = large
        self.added: list[tuple[SourcePartition, int]] = []
        self.epochs_added: list[int] = []
        self.paused: set[SourcePartition] = set()
        self.damaged: dict[SourcePartition, int] = {}
        self.problems: dict[SourcePartition, Problem] = {}
        self.throttled = ""
        self.throttled_s = 0.0
        self.fetches = FetchCounts()
        self.polls = 0
        self.spacing_s = 0.0
        self.cluster_id = ""
        self.expected_at_add: list[str] = []
        self.running = False
        self._records: defaultdict[SourcePartition, list[FakeRecord]] = defaultdict(list)
        self._ends: defaultdict[SourcePartition, int] = defaultdict(int)
        self._begins: defaultdict[SourcePartition, int] = defaultdict(int)
        self._positions: dict[SourcePartition, int] = {}
        self._changed = asyncio.Event()

    # For tests

    def write(self, topic: str, number: int, *values: bytes | None) -> None:
        """Appends records."""
        partition = SourcePartition(topic, number)
        for value in values:
            offset = self._ends[partition]
            self._records[partition].append(FakeRecord(offset, value, 1_000 + offset))
            self._ends[partition] += 1
        self._changed.set()

    def skip(self, topic: str, number: int, offsets: int) -> None:
        """Leaves a hole, as transaction markers and aborted records do."""
        self._ends[SourcePartition(topic, number)] += offsets
        self._changed.set()

    def begin_at(self, topic: str, number: int, offset: int) -> None:
        """Lets the retention of the source pass."""
        self._begins[SourcePartition(topic, number)] = offset

    def begin_again(self) -> "FakeSource":
        """Forgets what was added: the source of the reader's next membership."""
        self._positions.clear()
        self.paused.clear()
        return self

    def repair(self, topic: str, number: int) -> None:
        self.damaged.pop(SourcePartition(topic, number), None)

    @property
    def partitions(self) -> set[SourcePartition]:
        """What is being fetched or paused now."""
        return set(self._positions)

    # SourceReader

    def expect(self, cluster_id: str) -> None:
        self.cluster_id = cluster_id

    async def run(self) -> None:
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False

    def add(
        self,
        partition: SourcePartition,
        offset: int,
        topic_id: str = "",
        leader_epoch: int = UNKNOWN_EPOCH,
    ) -> None:
        self.added.append((partition, offset))
        self.epochs_added.append(leader_epoch)
        self.expected_at_add.append(self.cluster_id)
        self.paused.discard(partition)
        self._positions[partition] = self._begins[partition] if offset == EARLIEST else offset
        self._changed.set()

    def remove(self, partition: SourcePartition) -> None:
        self._positions.pop(partition, None)
        self.paused.discard(partition)

    def space(self, spacing_s: float) -> None:
        self.spacing_s = spacing_s

    def pause(self, partition: SourcePartition) -> None:
        if partition in self._positions:
            self.paused.add(partition)

    async def poll(self) -> Sequence[FakeBatch]:
        while True:
            waiting = [
                (partition, position)
                for partition, position in self._positions.items()
                if partition not in self.paused and position < self._ends[partition]
            ]
            if waiting:
                self.polls += 1
                return [self._next(*one) for one in waiting[: 1 if self.large else None]]
            self._changed.clear()
            await self._changed.wait()

    def _next(self, partition: SourcePartition, position: int) -> FakeBatch:
        ahead = [record for record in self._records[partition] if record.offset >= position]
        batch, later = ahead[: self.batch_records], ahead[self.batch_records :]
        end = later[0].offset if later else self._ends[partition]
        self._positions[partition] = end
        # The next partition comes first the next time.
        self._positions[partition] = self._positions.pop(partition)
        size = POLL_BYTES_MAX + 1 if self.large else 100
        damaged = self.damaged.get(partition)
        return FakeBatch(partition, position, end, batch, damaged, size, self.leader_epoch)

    def status(self, partition: SourcePartition) -> PartitionStatus:
        assert partition in self._positions
        return PartitionStatus(self._ends[partition], self.problems.get(partition), self.throttled)

    def news(self) -> Collection[SourcePartition]:
        return self.partitions
