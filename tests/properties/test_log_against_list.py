"""The log against its model, a plain list: whatever happens, what is read is what was appended.

A crash is a copy of the directory while the store is open: what a killed process leaves behind.
Damage and torn ends of journals are made in that copy, and so are files that were written and not
yet published. CACHESVC_LOG_EXAMPLES makes it longer.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cachesvc.jobs.move import Move
from cachesvc.log import log_store
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.rejects import read_rejects
from cachesvc.model import LOCAL_STORE, Segment
from cachesvc.policy.sealing import SealLimits
from cachesvc.store import journal, layout, parquet_file, recoding
from cachesvc.store.copying import copy_segment
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.segments import data_paths, merge_segments, seal_journal
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
from tests.unit.log import running
from tests.unit.log.running import append, ensure, read_all, until

T = TypeVar("T")
FIRST_OFFSET = 1_000
EXAMPLES = int(os.environ.get("CACHESVC_LOG_EXAMPLES", "25"))
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
    """Does to a log what a service does, and what may happen to one."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._root = Path(tempfile.mkdtemp(prefix="log-machine-"))
        self._openings = 0
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
            "stores": {"cold": LocalFiles(self._root / "cold")},
        }
        self._open(self._root / "0")
        self._log = self._wait(ensure(self._store, ORDERS, FIRST_OFFSET))

    def _open(self, path: Path) -> None:
        self._store = LogStore.open(running.settings(path, **self._settings))
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

    def _close(self) -> None:
        self._store.writer.close()
        self._wait(self._run)
        self._store.close()

    def teardown(self) -> None:
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

    @precondition(lambda self: len(self._log.segments) > 1)
    @rule(begin=st.integers(0, 20), count=st.integers(2, 4), swept=st.booleans())
    def compact(self, begin: int, count: int, swept: bool) -> None:
        begin %= len(self._log.segments) - 1
        sources = self._log.segments[begin : begin + count]
        merged = self._wait(self._merged(sources))
        assert self._wait(self._store.manifest.merge(self._log, sources, merged))
        if swept:
            self._sweep(sources)

    async def _merged(self, sources: list[Segment]) -> Segment:
        stores = self._store.stores
        async with stores.at_hand(sources, self._wanted) as directory:
            merged = merge_segments(directory, sources, 1, NOW_MS)
            return await stores.publish(merged, directory, self._wanted)

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
        self._start = gone[-1].end_offset
        self._rejects = [offset for offset in self._rejects if offset >= self._start]
        self._wait(self._store.expire(self._log, gone, self._start))
        if swept:
            self._sweep(gone)

    def _sweep(self, gone: list[Segment]) -> None:
        for segment in gone:
            for path in data_paths(segment):
                assert self._store.stores.files(segment.store).delete(path.as_posix())

    # What may happen to one

    @rule()
    def restart(self) -> None:
        self._close()
        self._open(self._store.path)

    @rule(
        orphan=st.booleans(),
        hurt=st.none() | st.tuples(st.integers(0, 10), st.floats(0, 1), st.booleans()),
    )
    def crash(self, orphan: bool, hurt: tuple[int, float, bool] | None) -> None:
        """Goes on with a copy, in which a journal may be torn or damaged somewhere."""
        self._settle()
        self._openings += 1
        copy = self._root / str(self._openings)
        shutil.copytree(self._store.path, copy, ignore=COPIES)
        sealed_end = self._log.sealed_end_offset
        self._gate.set()
        self._close()
        shutil.rmtree(self._store.path)
        paths = layout.find_journals(copy).get(ORDERS, layout.FoundJournals()).top
        if orphan:
            _write_orphan(copy, [path for path in paths if int(path.stem) >= sealed_end])
        if hurt is not None and paths:
            _hurt(paths[hurt[0] % len(paths)], hurt[1], flip=hurt[2])
        self._open(copy)
        end = self._log.log_end_offset
        assert sealed_end <= end <= self._end
        if hurt is None:
            assert end == self._end
            assert not self._store.ranges.below(ORDERS)
        for log in self._store.ranges.of(ORDERS):
            self._check_of(log, log.log_start_offset, log.log_end_offset)
        # The reader mines what was lost once more.
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

        assert self._wait(listed()) == self._rejects

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


def test_what_is_read_is_what_was_appended(monkeypatch: pytest.MonkeyPatch) -> None:
    # So that what happens depends on the steps alone.
    monkeypatch.setattr(log_store, "_ROLL_CHECK_S", 3_600.0)
    monkeypatch.setattr(journal, "CHUNK_BYTES", 1_500)
    monkeypatch.setattr(parquet_file, "ROW_GROUP_ROWS", 8)
    monkeypatch.setattr(parquet_file, "FRAME_ROWS", 3)
    monkeypatch.setattr(recoding, "FRAME_ROWS", 3)
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            # Without shrinking, which would take longer than a test may; the steps are few.
            phases=[Phase.reuse, Phase.generate],
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
