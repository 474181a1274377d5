"""A log with missing ranges against its model, a set of offsets: what is mined afterwards, in
whatever order it is asked for, given up, expired, damaged or cut short by a crash, is what the
source has.

Between all of it the store sheds what is above a budget, and snapshots are made, damaged and
superseded: each that is live is what a replay gives.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from cachesvc.bounds import Bounds
from cachesvc.errors import PreconditionFailed
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.shedding import Shedding
from cachesvc.log import log_store
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import GapCause
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.retention import RetentionClock
from cachesvc.policy.sealing import SealLimits
from cachesvc.policy.size_limits import held_by
from cachesvc.policy.snapshots import complete_from, plan_snapshot
from cachesvc.snapshots.maker import SnapshotMaker
from cachesvc.snapshots.making import make_snapshot
from cachesvc.snapshots.order import Order
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store import parquet_file
from cachesvc.store.frames import Frame
from cachesvc.store.segments import read_table
from cachesvc.subscriptions.retention import Retention
from cachesvc.subscriptions.store_levels import StoreLevels
from cachesvc.subscriptions.topic_sizes import gather
from tests.support.frames import (
    NOW_MS,
    ORDERS,
    Record,
    flip_bit,
    frame,
    records_of,
    table_records,
)
from tests.unit.log import running
from tests.unit.log.running import append, ensure, read_all, until

T = TypeVar("T")
FIRST = 100
"""Where mining began; what lies before was never cached."""
HUGE = 1 << 40
BOUNDS = Bounds(64 << 20, 1 << 30, 1, 60.0)
# Written beside everything else.
COPIES = shutil.ignore_patterns("catalogue-copy*")


def record(offset: int) -> Record | None:
    """What the source has at an offset; None for a hole of its own."""
    if offset % 7 == 3:
        return None
    return Record(offset, f'{{"id":{offset}}}', b"k%d" % (offset % 3), NOW_MS + offset)


def mined(begin: int, end: int) -> Frame:
    return frame(begin, end, [row for at in range(begin, end) if (row := record(at)) is not None])


class RangeMachine(RuleBasedStateMachine):
    """Does to a partition what subscribers, readers, retention and crashes do."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._root = Path(tempfile.mkdtemp(prefix="range-machine-"))
        self._openings = 0
        self._budgets: dict[str, int] = {}
        self._store: LogStore
        self._run: asyncio.Task[None]
        # The model.
        self._cached: set[int] = set()
        self._lost: dict[int, GapCause] = {}
        self._damaged: set[int] = set()
        self._wants: dict[int, int] = {}
        self._end = FIRST

    def _wait(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(work)

    @property
    def _top(self) -> PartitionLog:
        top = self._store.get(ORDERS)
        assert top is not None
        return top

    @initialize(records=st.sampled_from([4, HUGE]), warm=st.sampled_from([0, 1 << 30]))
    def begin(self, records: int, warm: int) -> None:
        self._settings = {"seal": SealLimits(HUGE, records, HUGE), "warm_bytes_max": warm}
        self._open(self._root / "0")
        self._wait(ensure(self._store, ORDERS, FIRST))

    def _open(self, path: Path) -> None:
        self._store = LogStore.open(running.settings(path, **self._settings))
        self._run = self._loop.create_task(self._store.run())
        self._shelf = Shelf(self._store, lambda: (), kept=2)
        self._levels = StoreLevels(self._store)
        self._settle()

    def _close(self) -> None:
        self._store.writer.close()
        self._wait(self._run)
        self._store.close()

    def teardown(self) -> None:
        if hasattr(self, "_run"):
            self._close()
        self._loop.close()
        shutil.rmtree(self._root)

    def _settle(self) -> None:
        def quiet() -> bool:
            entries = [entry for log in self._store.every() for entry in log.journals]
            return all(entry.file is not None or entry.sealed for entry in entries)

        self._wait(until(quiet))

    # Subscribers

    @rule(who=st.integers(0, 3), back=st.integers(0, 160))
    def come(self, who: int, back: int) -> None:
        position = max(0, self._end - back)
        self._store.ranges.reach(ORDERS, position)
        self._store.backfill.want(who, ORDERS, position)
        self._wants[who] = position

    @rule(who=st.integers(0, 3))
    def leave(self, who: int) -> None:
        self._store.backfill.leave(who, ORDERS)
        self._wants.pop(who, None)

    # Readers

    @rule(count=st.integers(1, 12))
    def mine(self, count: int) -> None:
        begin, self._end = self._end, self._end + count
        self._wait(append(self._store, self._top, [mined(begin, self._end)]))
        self._cached |= set(range(begin, self._end))
        self._settle()

    @rule(count=st.integers(1, 60))
    def backfill(self, count: int) -> None:
        missing = self._store.backfill.wanted(ORDERS)
        if missing is None:
            return
        end = min(missing.end, missing.begin + count)
        # What the source has lost once it does not have again.
        end = min([at for at in self._lost if missing.begin <= at < end], default=end)
        if end == missing.begin:
            return
        log = self._store.backfill.taking(ORDERS, missing.begin, end)
        self._wait(append(self._store, log, [mined(missing.begin, end)]))
        self._cached |= set(range(missing.begin, end))
        self._damaged -= self._cached
        self._settle()

    @rule(count=st.integers(1, 30))
    def the_source_has_lost(self, count: int) -> None:
        missing = self._store.backfill.wanted(ORDERS)
        if missing is None:
            return
        end = min(missing.end, missing.begin + count)
        log = self._store.backfill.taking(ORDERS, missing.begin, end)
        self._wait(self._store.changes.lose(log, missing.begin, end))
        for at in range(missing.begin, end):
            self._lost.setdefault(at, self._cause(at))
        if log.blank:
            self._store.ranges.move(log, end)
        else:
            self._wait(append(self._store, log, [frame(missing.begin, end, [])]))
        self._settle()

    def _cause(self, offset: int) -> GapCause:
        if offset in self._damaged:
            return GapCause.STORE_DAMAGED
        return GapCause.SOURCE_RETENTION if offset < FIRST else GapCause.CACHE_RETENTION

    @rule(begin=st.integers(0, 120), count=st.integers(1, 9))
    def nobody_takes_what_is_not_missing(self, begin: int, count: int) -> None:
        covered = any(at in self._cached or at >= self._end for at in range(begin, begin + count))
        if covered:
            with pytest.raises(PreconditionFailed) as caught:
                self._store.backfill.taking(ORDERS, begin, begin + count)
            assert caught.value.reason == "NOT_WANTED"

    # Time

    @rule()
    def tend(self) -> None:
        self._store.tend()
        self._settle()
        self._store.tend()

    @rule(number=st.integers(0, 5), count=st.integers(1, 3))
    def expire(self, number: int, count: int) -> None:
        with_segments = [log for log in self._store.every() if log.segments]
        if not with_segments:
            return
        log = with_segments[number % len(with_segments)]
        gone = log.segments[:count]
        self._wait(self._store.expire(log, gone, gone[-1].end_offset))
        for segment in gone:
            self._cached -= set(range(segment.base_offset, segment.end_offset))

    @rule(percent=st.integers(0, 99))
    def shed(self, percent: int) -> None:
        """The store has a budget for a moment, of so much of what it holds."""
        held = self._held()
        self._budgets["local"] = held * percent // 100
        self._wait(self._shedding().look())
        self._budgets.clear()
        level = self._levels.all()["local"]
        assert level.bytes == self._held() <= held
        # What is left above the budget are journals and the newest snapshot.
        segments = sum(held_by(each) for log in self._store.every() for each in log.segments)
        assert not segments or level.bytes <= held * percent // 100
        assert not level.full or not segments
        after = self._store.ranges.of(ORDERS)
        covered = {at for log in after for at in range(log.log_start_offset, log.log_end_offset)}
        self._cached &= covered
        self._settle()

    def _held(self) -> int:
        logs = self._store.every()
        segments = sum(held_by(each) for log in logs for each in log.segments)
        journals = sum(each.bytes for log in logs for each in log.journals if not each.sealed)
        return segments + journals + self._shelf.bytes_in("local")

    def _shedding(self) -> Shedding:
        retention = Retention(RetentionClock.MINED, 3_600)
        return Shedding(
            self._store,
            lambda: gather(self._store, retention, []),
            RetiredFiles(self._store, retention, 600.0),
            self._budgets,
            self._levels,
            self._shelf,
        )

    @rule()
    def snapshot(self) -> None:
        """Of the top log, as the job makes it, but in this process."""
        log = self._top
        covered = OffsetRange(log.log_start_offset, log.sealed_end_offset)
        plan = plan_snapshot(covered, self._shelf.of(ORDERS))
        if plan is None:
            return
        previous = plan.previous
        order = Order(
            store=str(self._store.path),
            partition=ORDERS,
            base_offset=plan.covered.begin,
            end_offset=plan.covered.end,
            previous=previous.file.path if previous else "",
            segments=[each.path for each in log.segments if each.end_offset > plan.read_from],
            read_from=plan.read_from,
            complete_from_offset=complete_from(plan, log.lost),
            read_before=previous.read_count if previous else 0,
            debezium=False,
            now_ms=self._openings,
        )
        made = make_snapshot(order, BOUNDS, str(self._root / "spill"), lambda done, total: None)
        self._wait(self._shelf.publish(made))

    @rule(number=st.integers(0, 5), bit=st.integers(0, 1 << 20))
    def damage_a_snapshot(self, number: int, bit: int) -> None:
        every = self._shelf.all()
        if not every:
            return
        snapshot = every[number % len(every)]
        path = self._store.path / snapshot.file.path
        flip_bit(path, bit % (8 * snapshot.file.bytes))
        maker = SnapshotMaker(self._store, self._shelf, BOUNDS)
        if self._wait(maker.check(snapshot)):
            assert snapshot not in self._shelf.all()
        else:  # it changes nothing of what is read
            flip_bit(path, bit % (8 * snapshot.file.bytes))

    @rule(number=st.integers(0, 30), bit=st.none() | st.integers(0, 1 << 20))
    def damage(self, number: int, bit: int | None) -> None:
        """A bit of a segment flips, or its file is deleted, and somebody finds it out."""
        every = [(log, segment) for log in self._store.every() for segment in log.segments]
        if not every:
            return
        log, segment = every[number % len(every)]
        path = self._store.path / segment.path
        if bit is None:
            path.unlink()
        else:
            flip_bit(path, bit % (8 * segment.bytes))
        noticed = self._wait(self._store.repair.mend(log, segment))
        assert noticed or bit is not None
        if not noticed:
            flip_bit(path, (bit or 0) % (8 * segment.bytes))
        logs = self._store.ranges.of(ORDERS)
        covered = {at for log in logs for at in range(log.log_start_offset, log.log_end_offset)}
        gone = {*range(segment.base_offset, segment.end_offset)} - covered
        assert noticed or not gone
        self._cached -= gone
        self._damaged |= gone - self._lost.keys()
        assert self._damaged <= {
            at for part in self._store.mending.damaged(ORDERS) for at in range(part.begin, part.end)
        }

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        """A copy of the directory is what a killed process leaves behind."""
        path = self._store.path
        if not clean:
            self._settle()
            self._openings += 1
            path = self._root / str(self._openings)
            shutil.copytree(self._store.path, path, ignore=COPIES)
        self._close()
        self._open(path)
        self._wants.clear()
        assert self._top.log_end_offset == self._end

    # What has to hold

    @invariant()
    def coverage_is_what_was_mined_and_not_expired(self) -> None:
        if not hasattr(self, "_run"):
            return
        logs = self._store.ranges.of(ORDERS)
        assert [log.top for log in logs] == [self._top] * len(logs)
        for log, above in pairwise(logs):
            assert log.above is above
            assert log.accepted_end_offset <= above.log_start_offset
        covered = {at for log in logs for at in range(log.log_start_offset, log.log_end_offset)}
        assert covered - self._lost.keys() == self._cached - self._lost.keys()

    @invariant()
    def snapshots_are_what_a_replay_gives(self) -> None:
        if not hasattr(self, "_run"):
            return
        for each in self._shelf.all():
            latest: dict[bytes | None, Record] = {}
            for at in range(each.base_offset, each.end_offset):
                if at not in self._lost and (row := record(at)) is not None:
                    latest[row.key] = row
            # What the source had lost by then may have been mined before, by whom it was continued.
            found = table_records(read_table(self._store.path / each.file.path))
            whole = [row for row in latest.values() if row.offset >= each.complete_from_offset]
            rows = [row for row in found if row.offset >= each.complete_from_offset]
            assert rows == sorted(whole, key=lambda row: row.offset)

    @invariant()
    def what_is_read_is_what_the_source_has(self) -> None:
        if not hasattr(self, "_run"):
            return
        for log in self._store.ranges.of(ORDERS):
            rows = records_of(self._wait(read_all(self._store.reader, log, log.log_start_offset)))
            whole = range(log.log_start_offset, log.log_end_offset)
            wanted = [row for at in whole if at not in self._lost and (row := record(at))]
            assert rows == wanted

    @invariant()
    def everybody_gets_on(self) -> None:
        """Whoever waits at a missing range: it is being mined, or what is lost there is known."""
        if not hasattr(self, "_run"):
            return
        for position in (*self._wants.values(), *(self._damaged - self._lost.keys())):
            at = position
            while at in self._cached or at in self._lost:
                at += 1
            if at < self._end:
                # Who comes to a place that retention has just taken looks for it anew.
                self._store.ranges.reach(ORDERS, at)
                missing = self._store.backfill.wanted(ORDERS)
                assert missing is not None
                assert missing.begin <= at

    @invariant()
    def what_is_lost_has_its_cause(self) -> None:
        if not hasattr(self, "_run"):
            return
        for at, cause in self._lost.items():
            lost = self._top.lost_at(at)
            assert lost is not None, (at, self._top.lost, sorted(self._lost))
            assert lost.cause is cause


def test_what_is_mined_afterwards_is_what_the_source_has(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that what happens depends on the steps alone.
    monkeypatch.setattr(log_store, "_ROLL_CHECK_S", 3_600.0)
    # So that of a damaged segment something is whole.
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 2)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 1)
    run_state_machine_as_test(
        RangeMachine,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
