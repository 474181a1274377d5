"""Tasks that share a target that keeps positions: every record is there once, whoever writes it.

The model is a list for each partition. Tasks take partitions over from what the service has stored,
go on writing what they have lost, and meet a target that has gone back; commits of whoever has lost
a partition are refused, as the service does it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cachesvc.client import Position, Positions
from cachesvc.sync import Check, Delivery, TargetUnavailable
from cachesvc.sync.config import RetryConfig
from cachesvc.sync.runner.delivering import Delivering, TargetWentBack
from cachesvc.sync.runner.letters import StopAtRefused
from cachesvc.sync.runner.pieces import Piece, passed
from cachesvc.sync.runner.progress import Meter
from cachesvc.sync.sink import SharedSink
from tests.sync.pieces import piece

PARTITIONS = 2
WORKERS = 2
RETRY = RetryConfig(delay_first_s=0.001, delay_max_s=0.001, give_up_after_s=10.0)
Key = tuple[str, int]


@dataclass
class Table:
    """What all tasks write to."""

    rows: dict[int, list[int]] = field(default_factory=lambda: {n: [] for n in range(PARTITIONS)})
    positions: Positions = field(default_factory=Positions)

    def restore(self, share: float) -> None:
        """Goes back to a backup that has a share of everything."""
        for number, rows in self.rows.items():
            position = self.positions.get(("orders", number))
            if position is not None:
                offset = int(position.offset * share)
                self.rows[number] = [row for row in rows if row < offset]
                self.positions = self.positions.moved(Position("orders", number, offset, 1))


class TableSink:
    """One task's way to it."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known = Positions()

    async def open(self) -> Positions | None:
        return await self.read_positions()

    async def read_positions(self) -> Positions:
        await asyncio.sleep(0)
        self._known = self._table.positions
        return self._known

    async def write(self, delivery: Delivery) -> None:
        await asyncio.sleep(0)
        for key in delivery.positions:
            if self._table.positions.get(key) != self._known.get(key):
                raise TargetUnavailable("somebody else has", reason="POSITIONS_MOVED")
        for changes in delivery.changes:
            rows = changes.rows.column("offset").to_pylist()
            self._table.rows[changes.source.partition] += rows
        moved = delivery.positions.values()
        self._table.positions = self._table.positions.moved(*moved)
        self._known = self._known.moved(*moved)

    async def check(self) -> Sequence[Check]:
        return []

    async def close(self) -> None:
        pass


class Worker:
    """A task, as far as it delivers."""

    def __init__(self, stage: "Stage", number: int) -> None:
        self._stage, self.number = stage, number
        self.reads: dict[int, int] = {}
        self.pending: list[Piece] = []
        sink = TableSink(stage.table)
        assert isinstance(sink, SharedSink)
        self.delivering = Delivering("task", sink, StopAtRefused(), RETRY, Meter(), shared=True)
        self.delivering.on_confirmed = self._confirmed

    def _confirmed(self, positions: Positions) -> None:
        for _, partition in positions:
            at = positions["orders", partition]
            owned = self._stage.owners[partition] is self and partition in self.reads
            if owned and at.offset > self._stage.stored[partition]:
                self._stage.stored[partition] = at.offset

    def take(self, partition: int) -> None:
        self._stage.owners[partition] = self
        start = self.reads[partition] = self._stage.stored[partition]
        self.delivering.assigned(Positions([Position("orders", partition, start, 1)]))

    def read(self, partition: int, count: int) -> None:
        """Some records; or holes, of which the target takes note as well."""
        begin = self.reads[partition]
        end = self.reads[partition] = min(begin + count, self._stage.produced)
        offsets = [offset for offset in range(begin, end) if offset not in self._stage.holes]
        if offsets:
            self.pending.append(piece(offsets, partition))
        if begin < end:
            self.pending.append(passed(Position("orders", partition, end, 1)))

    async def write(self, count: int) -> None:
        pieces, self.pending = self.pending[:count], self.pending[count:]
        if pieces:
            try:
                await self.delivering.deliver(pieces)
            except TargetWentBack as lost:
                self._stage.go_back(lost.positions)


class Stage:
    def __init__(self, produced: int, holes: set[int]) -> None:
        self.table = Table()
        self.produced, self.holes = produced, holes
        self.stored = dict.fromkeys(range(PARTITIONS), 0)
        self.owners: dict[int, Worker | None] = dict.fromkeys(range(PARTITIONS), None)
        self.workers = [Worker(self, number) for number in range(WORKERS)]

    def go_back(self, positions: Positions) -> None:
        """Resets the subscription, which ends all sessions."""
        for (_, partition), at in positions.items():
            self.stored[partition] = min(self.stored[partition], at.offset)
        self.end_all()

    def end_all(self) -> None:
        self.owners = dict.fromkeys(self.owners, None)
        for worker in self.workers:
            worker.pending.clear()
            worker.reads.clear()

    async def finish(self) -> None:
        """One task is left, and reads on to the end."""
        self.end_all()
        last = self.workers[0]
        for _ in range(4):
            for partition in range(PARTITIONS):
                if self.owners[partition] is not last:
                    last.take(partition)
                last.read(partition, self.produced)
            await last.write(100)
            if all(at == self.produced for at in self.stored.values()):
                return


# What one task has read is written before, or after, the one that has the partition by then began.
LATE = [("write", 0, 0, 9)]
FIRST = [("read", 1, 0, 1), ("write", 1, 0, 9)]
AFTER = [("read", 1, 0, 2), ("write", 1, 0, 9), ("read", 1, 0, 3), ("write", 1, 0, 9)]

# What waits was read twice, and a delivery ends in the middle of the second time.
TWICE = [("read", 1, 1, 1), ("read", 1, 1, 1)]
AGAIN = [("take", 1, 1, 1), *TWICE, ("take", 1, 1, 1), *TWICE, ("write", 1, 1, 6)]

steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "read", "read", "write", "die", "restore"]),
        st.integers(0, WORKERS - 1),
        st.integers(0, PARTITIONS - 1),
        st.integers(1, 6),
    ),
    min_size=15,
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@example([("take", 0, 0, 1), ("read", 0, 0, 6), ("take", 1, 0, 1), *LATE, *AFTER], set())
@example([("take", 0, 0, 1), ("read", 0, 0, 6), ("take", 1, 0, 1), *FIRST, *LATE, *AFTER], set())
@example([*AGAIN, ("write", 1, 1, 1)], set())
@given(steps, st.sets(st.integers(0, 19), max_size=3))
def test_every_record_is_there_once_and_in_order(
    done: list[tuple[str, int, int, int]], holes: set[int]
) -> None:
    async def run() -> None:
        stage = Stage(20, holes)
        for worker in stage.workers:
            await worker.delivering.open()
        for what, number, partition, count in done:
            worker = stage.workers[number]
            match what:
                case "take":
                    worker.take(partition)
                case "read" if partition in worker.reads:
                    worker.read(partition, count)
                case "write":
                    await worker.write(count)
                case "die":
                    worker.pending.clear()
                    worker.reads.clear()
                case "restore":
                    stage.table.restore(count / 7)
            check_order(stage)
        await stage.finish()
        wanted = [offset for offset in range(stage.produced) if offset not in holes]
        assert stage.table.rows == dict.fromkeys(range(PARTITIONS), wanted)

    asyncio.run(run())


def check_order(stage: Stage) -> None:
    for rows in stage.table.rows.values():
        wanted = [offset for offset in range(stage.produced) if offset not in stage.holes]
        assert rows == wanted[: len(rows)]
