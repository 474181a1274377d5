"""Snapshots against a replay into a dict, over any history of sealing, merging and expiring."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesvc.bounds import Bounds
from cachesvc.errors import DamagedFile
from cachesvc.model import GapCause, LostRange, Segment, Snapshot
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.snapshots import complete_from, plan_snapshot
from cachesvc.snapshots.making import make_snapshot
from cachesvc.snapshots.order import Order
from cachesvc.store.merging import merge_segments
from cachesvc.store.segments import read_table, write_segment
from tests.support.frames import ORDERS, Record, flip_bit, record_batch, table_records

BOUNDS = Bounds(64 << 20, 1 << 30, 2, 60.0)
DELETE = '{"before":{"id":1},"after":null,"op":"d"}'
DELETE_IN_ENVELOPE = '{"schema":{},"payload":{"op":"d"}}'

keys = st.sampled_from([b"a", b"b", b"c", b"", b"\x00\xff", None])
values = st.sampled_from(
    [None, "{}", '{"op":"u"}', '{"payload":{"op":"c"}}', '{"d":"op"}', DELETE, DELETE_IN_ENVELOPE]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("seal"), st.lists(st.tuples(keys, values, st.integers(1, 3)))),
        st.tuples(st.just("merge"), st.integers(0, 5)),
        st.tuples(st.just("expire"), st.integers(1, 3)),
        st.tuples(st.just("lose"), st.integers(1, 4)),
        st.tuples(st.just("snapshot"), st.none()),
    ),
    max_size=12,
)


def replayed(rows: list[Record], *, debezium: bool) -> list[Record]:
    """What a task would have in its table that applied all of them, in the order of offsets."""
    table: dict[object, Record] = {}
    for row in rows:
        key: object = row.offset if row.key is None else row.key
        table.pop(key, None)
        deletes = debezium and row.value in (DELETE, DELETE_IN_ENVELOPE) and row.key is not None
        if row.value is not None and not deletes:
            table[key] = row
    return sorted(table.values(), key=lambda row: row.offset)


@dataclass(slots=True)
class Partition:
    """A partition as the store would have it, and everything that was ever in it."""

    store: Path
    debezium: bool
    history: list[Record] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    lost: list[LostRange] = field(default_factory=list)
    begin: int = 0
    end: int = 0

    def seal(self, rows: list[tuple[bytes | None, str | None, int]]) -> None:
        base, new = self.end, []
        for key, value, step in rows:
            new.append(Record(self.end, value, key))
            self.end += step
        self._write(base, new)
        self.history += new

    def _write(self, base: int, rows: list[Record]) -> None:
        if self.end > base:
            self.segments.append(
                write_segment(
                    self.store,
                    ORDERS,
                    (base, self.end),
                    [pa.Table.from_batches([record_batch(rows)])],
                    (),
                    now_ms=1,
                    level=0,
                    backfilled_ms=0,
                    mined_ms=(1, 1),
                )
            )

    def merge(self, at: int) -> None:
        pair = self.segments[at : at + 2]
        if len(pair) == 2:
            self.segments[at : at + 2] = [merge_segments(self.store, pair, 1, 1)]

    def expire(self, count: int) -> None:
        del self.segments[:count]
        self.begin = self.segments[0].base_offset if self.segments else self.end

    def lose(self, count: int) -> None:
        base, self.end = self.end, self.end + count
        self.lost.append(LostRange(base, self.end, GapCause.SOURCE_RETENTION))
        self._write(base, [])

    def snapshot(self, _: None) -> None:
        plan = plan_snapshot(OffsetRange(self.begin, self.end), self.snapshots)
        if plan is None:
            newest = max((each.end_offset for each in self.snapshots), default=self.begin)
            assert newest >= self.end or self.begin == self.end
            return
        previous = plan.previous
        order = Order(
            store=str(self.store),
            partition=ORDERS,
            base_offset=plan.covered.begin,
            end_offset=plan.covered.end,
            previous=previous.file.path if previous else "",
            segments=[each.path for each in self.segments if each.end_offset > plan.read_from],
            read_from=plan.read_from,
            complete_from_offset=complete_from(plan, self.lost),
            read_before=previous.read_count if previous else 0,
            debezium=self.debezium,
            now_ms=1,
        )
        made = make_snapshot(order, BOUNDS, str(self.store / "spill"), lambda done, total: None)
        self._check(made)
        self.snapshots.append(made)

    def _check(self, made: Snapshot) -> None:
        read = [row for row in self.history if made.base_offset <= row.offset < made.end_offset]
        found = table_records(read_table(self.store / made.file.path))
        assert found == replayed(read, debezium=self.debezium)
        assert made.file.record_count == len(found)
        assert made.read_count == len(read)
        assert made.end_offset == self.end
        ends = [each.end for each in self.lost if each.end > made.base_offset]
        assert made.complete_from_offset == max([made.base_offset, *ends])
        # Nothing that a snapshot had is forgotten where the log still follows it.
        for each in self.snapshots:
            if each.end_offset >= self.begin:
                assert made.base_offset <= each.base_offset


@pytest.fixture(scope="module")
def store() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@settings(deadline=None, max_examples=60)
@given(history=steps, debezium=st.booleans())
def test_a_snapshot_is_what_a_replay_comes_to(
    store: Path, history: list[tuple[str, object]], debezium: bool
) -> None:
    partition = Partition(store, debezium)
    for step, argument in [*history, ("snapshot", None)]:
        getattr(partition, step)(argument)


@settings(deadline=None, max_examples=60)
@given(place=st.floats(0, 1, exclude_max=True), of_snapshot=st.booleans())
def test_no_flipped_bit_gives_another_snapshot(
    store: Path, place: float, of_snapshot: bool
) -> None:
    partition = Partition(store, debezium=True)
    partition.seal([(b"a", "{}", 1), (b"b", "{}", 2), (b"a", '{"n":1}', 1), (None, "{}", 1)])
    if of_snapshot:
        partition.snapshot(None)
        partition.seal([(b"c", "{}", 1)])
    damaged = partition.snapshots[0].file if of_snapshot else partition.segments[0]
    path = store / damaged.path
    flip_bit(path, int(path.stat().st_size * 8 * place))
    # Checks what it has made; what was damaged and does not matter is as if it were whole.
    with contextlib.suppress(DamagedFile):
        partition.snapshot(None)
