"""A log that does what a service does to one, and is killed, against its model, a plain list.

A crash is a copy of the directory: while the store is open and nothing happens, or at any step by
which something becomes durable (``support.steps``). Damage and torn ends of journals are made in
such a copy, and so are files that were written and not yet published.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.rejects import read_rejects
from cachesvc.model import LOCAL_STORE
from cachesvc.policy.sealing import SealLimits
from cachesvc.store import layout
from cachesvc.store.file_store import FileStore
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.segments import seal_journal
from tests.support.frames import (
    NOW_MS,
    ORDERS,
    Record,
    Reject,
    assert_contiguous,
    flip_bit,
    frame,
    records_of,
)
from tests.support.steps import Steps
from tests.unit.log import running
from tests.unit.log.running import append, ensure, read_all, until

T = TypeVar("T")
FIRST_OFFSET = 1_000
HUGE = 1 << 40
# Written beside everything else.
COPIES = shutil.ignore_patterns("catalogue-copy*")

shapes = st.lists(st.text("rrrrth-x", min_size=1, max_size=10), min_size=1, max_size=6)
"""Frames: what each offset holds: record, tombstone, huge record, hole, reject."""


def built(base: int, shape: str) -> tuple[Frame, list[Record], list[int]]:
    rows: list[Record] = []
    rejects: list[int] = []
    for offset, kind in enumerate(shape, base):
        key, time_ms = b"k%d" % (offset % 3), NOW_MS + offset * 7 % 50
        match kind:
            case "r":
                rows.append(Record(offset, f'{{"id":{offset}}}', key, time_ms, (("h", b"1"),)))
            case "t":
                rows.append(Record(offset, None, key, time_ms))
            case "h":
                rows.append(Record(offset, '"' + f"{offset}," * 400 + '"', key, time_ms))
            case "x":
                rejects.append(offset)
    return frame(base, base + len(shape), rows, [Reject(at) for at in rejects]), rows, rejects


class LogMachine(RuleBasedStateMachine):
    """Does to a log what a service does, and what may happen to one.

    The store and the one elsewhere lie in a directory of their own, which a crash copies.

    Attributes:
        steps: At which it is killed; set by whoever runs the machine.
    """

    steps: ClassVar[Steps]

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._root = Path(tempfile.mkdtemp(prefix="log-machine-"))
        self._place = self._root / "0"
        self._killed: tuple[Path, tuple[int, int]] | None = None
        self._before = FIRST_OFFSET, FIRST_OFFSET
        self._store: LogStore
        self._log: PartitionLog
        self._run: asyncio.Task[None]
        self._gate = asyncio.Event()
        # The model.
        self._start = self._end = FIRST_OFFSET
        self._frames: list[Frame] = []
        self._rows: list[Record] = []
        self._rejects: list[int] = []
        # Where it is to lie.
        self._wanted = LOCAL_STORE

    def _wait(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(work)

    # Opening and closing

    @initialize(
        memory=st.sampled_from([0, 3_000, 1 << 20]),
        cache=st.sampled_from([0, 5_000, 1 << 20]),
        warm=st.sampled_from([0, 6_000, 1 << 30]),
        records=st.sampled_from([5, 20, HUGE]),
    )
    def begin(self, memory: int, cache: int, warm: int, records: int) -> None:
        self._settings: dict[str, Any] = {
            "memory_bytes_max": memory,
            "chunk_cache_bytes_max": cache,
            "warm_bytes_max": warm,
            "seal": SealLimits(HUGE, records, HUGE),
        }
        self._open(self._place)
        self._log = self._wait(ensure(self._store, ORDERS, FIRST_OFFSET))

    def _open(self, place: Path) -> None:
        self._place = place
        stores = {"cold": self._cold(place)}
        own = running.settings(place / "own", stores=stores, **self._settings)
        self._store = LogStore.open(own)
        self._store.stores.choose = lambda _: self._wanted
        self._gate.set()
        seal = self._store.sealer._seal

        async def gated(*arguments: Any) -> None:
            await self._gate.wait()
            await seal(*arguments)

        setattr(self._store.sealer, "_seal", gated)  # noqa: B010 - mypy knows it is a method
        self._run = self._loop.create_task(self._store.run())
        for log in self._store.all():
            self._log = log
            self._settle()

    # Where the other store is

    def _cold(self, place: Path) -> FileStore:
        return LocalFiles(place / "cold")

    def _copy(self, place: Path, other: Path) -> None:
        """Makes another place of all that there is at one."""
        shutil.copytree(place, other, ignore=COPIES)

    def _remove(self, place: Path) -> None:
        shutil.rmtree(place)

    def fork(self) -> Self:
        """Another machine, with a copy of what this one has now."""
        self._settle()
        other = type(self)()
        other._settings, other._wanted = self._settings, self._wanted
        other._start, other._end = other._before = self._start, self._end
        other._frames, other._rows = list(self._frames), list(self._rows)
        other._rejects = list(self._rejects)
        self._copy(self._place, other._place)
        other._open(other._place)
        return other

    def _close(self) -> None:
        self._store.writer.close()
        self._wait(self._run)
        self._store.close()

    def teardown(self) -> None:
        self.steps.never()
        if hasattr(self, "_log"):
            self.read(0)
            self._close()
        self._loop.close()
        shutil.rmtree(self._root)

    def _settle(self) -> None:
        """Waits until nothing happens beside the event loop, but for what is held up."""
        if not self._gate.is_set():
            return

        def quiet() -> bool:
            found = layout.find_journals(self._store.path).get(ORDERS, layout.FoundJournals())
            on_disk = {*found.top, *found.backfills}
            entries = [entry for log in self._store.every() for entry in log.journals]
            waits = [entry for entry in entries if entry.file is None and not entry.sealed]
            return not waits and on_disk == {entry.path for entry in entries}

        self._wait(until(quiet))

    # What a service does

    @rule(shapes=shapes)
    def append(self, shapes: list[str]) -> None:
        appended = []
        for shape in shapes:
            each, rows, rejects = built(self._end, shape)
            appended.append(each)
            self._rows += rows
            self._rejects += rejects
            self._end = each.end_offset
        self._frames += appended
        self._wait(append(self._store, self._log, appended))
        self._settle()

    @rule()
    def roll(self) -> None:
        entry = self._log.active
        if entry is not None and entry.file is not None and entry.end_offset > entry.base_offset:
            entry.file.close()
            entry.file = None
            self._store.sealer.add(self._log, entry)
            self._settle()

    @rule()
    def hold_up_sealing(self) -> None:
        self._settle()
        self._gate.clear()

    @rule()
    def go_on_sealing(self) -> None:
        self._gate.set()
        self._settle()

    # What may happen to one

    def kill_before(self, step: int) -> None:
        """Before that step of those that follow; what comes after it is done in vain."""
        self.steps.before(step, self._note_kill)

    @property
    def killed(self) -> bool:
        """Whether it has come to that step, and was not left behind for it yet."""
        return self._killed is not None

    def _note_kill(self) -> None:
        copy = self._next_place()
        self._copy(self._place, copy)
        self._killed = copy, self._before

    def _next_place(self) -> Path:
        return self._root / str(int(self._place.name) + 1)

    @invariant()
    def it_goes_on_where_it_was_killed(self) -> None:
        """In the copy, if the rule before this has come to the step where it was to be made.

        What was done before that rule counts; what it did has happened, in part, or not at all.
        """
        if self._killed is not None:
            copy, (start, end) = self._killed
            self._reopen(copy)
            self._killed = None
            log = self._log
            assert not self._store.ranges.below(ORDERS)
            assert log.log_start_offset in {start, *self._ends(start, self._start)}
            assert log.log_end_offset in {end, *self._ends(end, self._end)}
            self._start = log.log_start_offset
            self._check(self._start, log.log_end_offset)
            self._mine_again(log.log_end_offset)
        self._before = self._start, self._end

    def _ends(self, begin: int, end: int) -> set[int]:
        """Where frames end between two offsets."""
        return {each.end_offset for each in self._frames if begin < each.end_offset <= end}

    def _reopen(self, copy: Path) -> None:
        """Leaves a place behind for a copy of it."""
        self._gate.set()
        self._close()
        self._remove(self._place)
        self._open(copy)

    @rule()
    def restart(self) -> None:
        self._close()
        self._open(self._place)

    @rule(
        orphan=st.booleans(),
        hurt=st.none() | st.tuples(st.integers(0, 10), st.floats(0, 1), st.booleans()),
    )
    def crash(self, orphan: bool, hurt: tuple[int, float, bool] | None) -> None:
        """Goes on with a copy, in which a journal may be torn or damaged somewhere."""
        self.steps.never()
        self._settle()
        copy = self._next_place()
        self._copy(self._place, copy)
        sealed_end = self._log.sealed_end_offset
        own = copy / "own"
        paths = layout.find_journals(own).get(ORDERS, layout.FoundJournals()).top
        if orphan:
            _write_orphan(own, [path for path in paths if int(path.stem) >= sealed_end])
        if hurt is not None and paths:
            _hurt(paths[hurt[0] % len(paths)], hurt[1], flip=hurt[2])
        self._reopen(copy)
        end = self._log.log_end_offset
        assert sealed_end <= end <= self._end
        if hurt is None:
            assert end == self._end
            assert not self._store.ranges.below(ORDERS)
        for log in self._store.ranges.of(ORDERS):
            self._check_of(log, log.log_start_offset, log.log_end_offset)
        self._mine_again(end)

    def _mine_again(self, end: int) -> None:
        """What the log has lost of the source's, as a reader would: from its end on, and below."""
        while (missing := self._store.backfill.wanted(ORDERS)) is not None:
            (each,) = [f for f in self._frames if f.base_offset == missing.begin]
            lower = self._store.backfill.taking(ORDERS, each.base_offset, each.end_offset)
            self._wait(append(self._store, lower, [each]))
        lost = [each for each in self._frames if each.base_offset >= end]
        self._wait(append(self._store, self._log, lost))
        self._join()

    def _join(self) -> None:
        """Waits until what was mined afterwards has become one with the rest."""
        while self._store.ranges.below(ORDERS):
            self._store.tend()
            lower = [log for log in self._store.ranges.below(ORDERS) if log.journals]
            self._wait(until(lambda low=lower: all(e.sealed for g in low for e in g.journals)))  # type: ignore[misc]
        self._wait(self._store.mending.forget_mended())
        self._settle()

    # What has to hold

    @rule(offset=st.integers(0, 1_000))
    def read(self, offset: int) -> None:
        self._check(self._start + offset % (self._end - self._start + 1), self._end)

    def _check(self, begin: int, end: int) -> None:
        self._check_of(self._log, begin, end)

    def _check_of(self, log: PartitionLog, begin: int, end: int) -> None:
        frames = self._wait(read_all(self._store.reader, log, begin))
        if begin < end:
            assert_contiguous(frames, begin, end)
        assert records_of(frames) == [row for row in self._rows if begin <= row.offset < end]

    @rule()
    def list_rejects(self) -> None:
        async def listed() -> list[int]:
            pages = read_rejects(self._store, self._log)
            return [row["offset"] async for page in pages for row in page]

        assert self._wait(listed()) == [each for each in self._rejects if each >= self._start]

    @rule(time=st.integers(0, 50))
    def find_time(self, time: int) -> None:
        found = self._wait(self._store.reader.offset_at(self._log, NOW_MS + time))
        young = (
            row.offset
            for row in self._rows
            if row.offset >= self._start and row.timestamp_ms >= NOW_MS + time
        )
        assert found == next(young, None)

    @invariant()
    def the_ends_are_right(self) -> None:
        if hasattr(self, "_log"):
            log = self._log
            assert (log.log_start_offset, log.log_end_offset) == (self._start, self._end)
            assert log.accepted_end_offset == self._end
            ends = [self._start, *(segment.end_offset for segment in log.segments)]
            assert [segment.base_offset for segment in log.segments] == ends[:-1]


def _write_orphan(store: Path, unsealed: list[Path]) -> None:
    """A segment whose file is durable and which no manifest lists."""
    for path in unsealed[:1]:
        found, _ = JournalFile.recover(path, ORDERS)
        seal_journal(store, ORDERS, found, NOW_MS)
        found.close()


def _hurt(path: Path, where: float, *, flip: bool) -> None:
    """Cuts a file at a place between its begin and its end, or flips a bit there."""
    size = path.stat().st_size
    position = int(where * (size - 1))
    if flip:
        # A version that seems newer stops the start, as it should.
        flip_bit(path, 8 * (position if not 8 <= position < 12 else 0))
    else:
        os.truncate(path, position)
