"""The store against its model, a plain list: whatever happens, what is read is what was appended.

What happens is all that a service does to a store, in any order: append, seal, compact, expire,
snapshot, sweep, shed, move between stores, restart, with a kill before any step by which something
becomes durable, and damage. CACHESVC_LOG_EXAMPLES, how many histories, makes it longer.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from cachesvc.jobs.compact import Compact
from cachesvc.jobs.move import Move
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.shedding import Shedding
from cachesvc.jobs.sweep import Sweep
from cachesvc.log import log_store
from cachesvc.model import LOCAL_STORE, Segment
from cachesvc.policy.retention import RetentionClock
from cachesvc.settings.jobs import CompactConfig
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store import journal, parquet_file, recoding
from cachesvc.store.copying import copy_segment
from cachesvc.store.segments import data_paths, read_table
from cachesvc.subscriptions.retention import Retention
from cachesvc.subscriptions.store_levels import StoreLevels
from cachesvc.subscriptions.topic_sizes import gather
from tests.properties.log_machine import HUGE, LogMachine, shapes
from tests.support.frames import Record, table_records
from tests.support.steps import Steps
from tests.unit.snapshots.making_here import HereMaker

EXAMPLES = int(os.environ.get("CACHESVC_LOG_EXAMPLES", "15"))
STEPS_MAX, STRIDE = 200, 5 if EXAMPLES <= 15 else 1
"""Kills are tried before every step in a long run; in a short one before the first and every fifth,
other ones with another seed of the random numbers."""
SHELF_KEEPS = 2
RETENTION = Retention(RetentionClock.MINED, 1e6)


DOES = (
    *("append", "roll", "go on sealing", "restart", "compact"),
    *("move", "expire", "shed", "sweep", "snapshot"),
)
_NEEDS = {"compact": 2, "expire": 1, "snapshot": 1}
"""Segments, without which there is nothing to do."""


class StoreMachine(LogMachine):
    """Does to a log what jobs do besides."""

    def _open(self, place: Path) -> None:
        super()._open(place)
        self._shelf = Shelf(self._store, lambda: (), kept=SHELF_KEEPS)
        self._retired = RetiredFiles(self._store, RETENTION, 0.0)

    def choose(self, where: str) -> None:
        """The store that takes what is sealed and merged from now on."""
        self._wanted = where

    @precondition(lambda self: len(self._log.segments) > 1)
    @rule(
        begin=st.integers(0, 20),
        count=st.integers(2, 4),
        lone=st.booleans(),
        swept=st.booleans(),
    )
    def compact(self, begin: int, count: int, lone: bool, swept: bool) -> None:
        """Up to the size of some segments there are; what is merged with nothing, if ``lone``."""
        before = list(self._log.segments)
        begin %= len(before) - 1
        size = 1 + sum(segment.bytes for segment in before[begin : begin + count])
        config = CompactConfig(segment_bytes_target=size, lone_age_s=0.0 if lone else 1e6)
        counts = self._wait(Compact(self._store, config, RETENTION).run(lambda *_: None))
        after = self._log.segments
        gone = [segment for segment in before if segment not in after]
        assert counts["segments_merged"] == len(gone)
        assert counts["segments_made"] == len(after) - len(before) + len(gone)
        if swept:
            self._sweep(gone)

    @rule(where=st.sampled_from([LOCAL_STORE, "cold"]), whole=st.booleans(), swept=st.booleans())
    def move(self, where: str, whole: bool, swept: bool) -> None:
        """All of it, or as far as the first file that was put and not committed."""
        self._wanted = where
        elsewhere = [segment for segment in self._log.segments if segment.store != where]

        def misplaced() -> list[Segment]:
            return [segment for segment in self._log.segments if segment.store != where]

        if whole:
            counts = self._wait(Move(self._store, misplaced, 1.0, HUGE).run(lambda *_: None))
            assert counts["segments_moved"] == len(elsewhere)
            if swept:
                self._sweep(elsewhere)
        elif elsewhere:
            stores = self._store.stores
            stores.claim(where)
            with tempfile.TemporaryDirectory() as directory:
                source, sink = stores.files(elsewhere[0].store), stores.files(where)
                copy_segment(elsewhere[0], source, sink, where, Path(directory))

    @precondition(lambda self: self._log.segments)
    @rule(count=st.integers(1, 3), swept=st.booleans())
    def expire(self, count: int, swept: bool) -> None:
        gone = self._log.segments[:count]
        self._wait(self._store.expire(self._log, gone, gone[-1].end_offset))
        self._start = gone[-1].end_offset
        if swept:
            self._sweep(gone)

    def _sweep(self, gone: list[Segment]) -> None:
        for segment in gone:
            for path in data_paths(segment):
                assert self._store.stores.files(segment.store).delete(path.as_posix())

    @rule(percent=st.integers(0, 99), store=st.sampled_from([LOCAL_STORE, "cold"]))
    def shed(self, percent: int, store: str) -> None:
        """A store has a budget for a moment, of so much of what it holds."""
        ends = {segment.end_offset for segment in self._log.segments}
        levels, budgets = StoreLevels(self._store), {store: HUGE}
        shedding = Shedding(
            self._store,
            lambda: gather(self._store, RETENTION, []),
            self._retired,
            budgets,
            levels,
            self._shelf,
        )
        self._wait(shedding.look())
        held = levels.all()[store].bytes
        budgets[store] = held * percent // 100
        self._wait(shedding.look())
        left = levels.all()[store]
        assert left.full or left.bytes <= budgets[store]
        start = self._log.log_start_offset
        assert start in ends | {self._start}
        self._start = start
        self._settle()

    @rule()
    def sweep(self) -> None:
        """What the manifest and the shelf name stays; reading tells whether it does."""
        self._wait(Sweep(self._store, self._retired, HUGE).run(lambda *_: None))

    # Snapshots

    @precondition(lambda self: self._log.segments)
    @rule()
    def snapshot(self) -> None:
        sealed_end = self._log.sealed_end_offset
        maker = HereMaker(self._store, self._shelf)
        self._wait(maker.make(self._log, debezium=False, progress=lambda *_: None))
        newest = self._shelf.newest(self._log.id)
        assert newest is not None
        assert newest.end_offset == sealed_end
        assert len(self._shelf.all()) <= SHELF_KEEPS

    @rule()
    def read_snapshots(self) -> None:
        for each in self._shelf.all():
            latest: dict[bytes | None, Record] = {}
            for row in self._rows:
                if each.base_offset <= row.offset < each.end_offset:
                    latest[row.key] = row
            kept = [row for row in latest.values() if row.value is not None]
            found = table_records(read_table(self._store.stores.file(each.file)))
            assert found == sorted(kept, key=lambda row: row.offset)

    # What may happen to one

    @rule(
        step=st.integers(1, 9),
        what=st.sampled_from(DOES),
        written=shapes,
        number=st.integers(0, 20),
        where=st.sampled_from([LOCAL_STORE, "cold"]),
    )
    def be_killed(self, step: int, what: str, written: list[str], number: int, where: str) -> None:
        """Before that step of what it does, and of what that leads to."""
        self.kill_before(step)
        self.do(what, written, number, where)
        self.append(written)
        self.steps.never()

    def do(self, what: str, written: list[str], number: int, where: str) -> None:
        """One of ``DOES``, if there is what it needs."""
        if len(self._log.segments) < _NEEDS.get(what, 0):
            return
        match what:
            case "append":
                self.append(written)
            case "roll":
                self.roll()
            case "go on sealing":
                self.go_on_sealing()
            case "restart":
                self.restart()
            case "compact":
                self.compact(number, 2, lone=number % 2 == 0, swept=True)
            case "move":
                self.move(where, whole=True, swept=True)
            case "expire":
                self.expire(1 + number % 3, swept=True)
            case "shed":
                self.shed(5 * number % 100, where)
            case "sweep":
                self.sweep()
            case "snapshot":
                self.snapshot()

    def teardown(self) -> None:
        if hasattr(self, "_log"):
            self.steps.never()
            self.read_snapshots()
        super().teardown()


def count_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are counted; what happens depends on them alone; files have more than one part."""
    monkeypatch.setattr(StoreMachine, "steps", Steps(monkeypatch), raising=False)
    monkeypatch.setattr(log_store, "_ROLL_CHECK_S", 3_600.0)
    monkeypatch.setattr(journal, "CHUNK_BYTES", 1_500)
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 8)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 3)
    monkeypatch.setattr(recoding, "FRAME_ROWS", 3)


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    count_steps(monkeypatch)


@contextmanager
def prepared(machine: StoreMachine) -> Iterator[StoreMachine]:
    """Several segments in both stores, snapshots, and retired files."""
    try:
        machine.begin(memory=0, cache=0, warm=0, records=5)
        machine.append(["rtrx-rr", "r"])
        machine.append(["rrxrr"])
        machine.snapshot()
        machine.move("cold", whole=True, swept=False)
        # Leaves a file that nobody names; what follows is for the local store again.
        machine.move(LOCAL_STORE, whole=False, swept=False)
        machine.append(["rtrxr"])
        machine.append(["trrrr"])
        machine.append(["rx"])
        yield machine
    finally:
        machine.teardown()


def kill_before_steps(
    what: str, prepared: StoreMachine, where: str, stride: int, every: Sequence[str] = ()
) -> None:
    """Before the first step of what it does, and each so many that follow, to its end.

    Before each of the kinds ``every`` as well, of which there has to be one.
    """
    chosen = {1, *range(2 + random.randrange(stride), STEPS_MAX, stride)}
    if every:
        kinds = _kinds(what, prepared.fork(), where)
        found = {number for number, kind in enumerate(kinds, 1) if kind in every}
        assert found, kinds
        chosen |= found
    for step in sorted(chosen):
        machine = prepared.fork()
        try:
            _prepare(what, machine)
            machine.kill_before(step)
            _do(what, machine, where)
            machine.steps.never()
            killed = machine.killed
            machine.it_goes_on_where_it_was_killed()
            machine.the_ends_are_right()
            machine.list_rejects()
        finally:
            machine.teardown()
        if not killed:
            assert step > 1, "it was never killed"
            return
    pytest.fail("it does not come to an end")


def _kinds(what: str, machine: StoreMachine, where: str) -> list[str]:
    """The steps of what it does."""
    try:
        _prepare(what, machine)
        machine.steps.never()
        _do(what, machine, where)
        return list(machine.steps.kinds)
    finally:
        machine.teardown()


def _prepare(what: str, machine: StoreMachine) -> None:
    if what == "go on sealing":
        machine.hold_up_sealing()
        machine.append(["rrrrr"])
        machine.append(["rrrrx"])
        machine.append(["r"])
        machine.it_goes_on_where_it_was_killed()


def _do(what: str, machine: StoreMachine, where: str) -> None:
    machine.do(what, ["rrx", "ttt", "rr"], 8, where)


@pytest.mark.parametrize("what", DOES)
def test_a_kill_before_any_step_loses_nothing(what: str) -> None:
    with prepared(StoreMachine()) as machine:
        kill_before_steps(what, machine, LOCAL_STORE, STRIDE)


def run_histories(machine: type[StoreMachine], examples: int) -> None:
    """Has so many histories happen to a machine."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            # Without shrinking, which would take longer than a test may; the steps are few.
            phases=[Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_what_is_read_is_what_was_appended() -> None:
    run_histories(StoreMachine, EXAMPLES)
