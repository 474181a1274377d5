from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cachesvc.errors import PreconditionFailed
from cachesvc.log import sealing
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import GapCause, LostRange, Segment
from cachesvc.policy.sealing import SealLimits
from cachesvc.store import journal, layout, parquet_file, segments
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.memory_files import MemoryFiles
from tests.support.frames import (
    ORDERS,
    flip_bit,
    full_frame,
    full_frames,
    records,
    records_of,
)
from tests.unit.log.running import append, ensure, filled, read_all, roll, running, until


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_RETRY_S", (0.01, 0.01))


def journal_files(path: Path) -> list[str]:
    return sorted(file.stem.lstrip("0") or "0" for file in path.rglob("*.journal"))


def segment_files(path: Path) -> int:
    return len(list((path / "log").rglob("*")) if (path / "log").exists() else [])


def manifest(store: LogStore) -> list[Segment]:
    return store.catalogue.call_blocking(lambda port: port.list_segments())


async def rolled(store: LogStore, ends: list[int]) -> PartitionLog:
    """A log of which journals end at these offsets and are sealed."""
    log = await ensure(store, ORDERS, 0)
    for end in ends:
        await append(store, log, full_frames(log.log_end_offset, end, 5))
        await roll(store, log)
    return log


def test_a_rolled_journal_becomes_a_segment_and_stays_warm(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await rolled(store, [10, 25])
            assert [(part.base_offset, part.end_offset) for part in log.segments] == [
                (0, 10),
                (10, 25),
            ]
            assert manifest(store) == log.segments
            assert [entry.sealed for entry in log.journals] == [True, True]
            assert journal_files(tmp_path) == ["0", "10"]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 25)

    asyncio.run(run())


def test_journals_beyond_the_warm_budget_go_oldest_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await rolled(store, [10])
            size = log.journals[0].bytes
        async with running(tmp_path, warm_bytes_max=int(2.5 * size)) as store:
            log = store.all()[0]
            for end in (20, 30, 40):
                await append(store, log, full_frames(end - 10, end, 5))
                await roll(store, log)
            await until(lambda: journal_files(tmp_path) == ["20", "30"])
            assert [entry.base_offset for entry in log.journals] == [20, 30]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 40)

    asyncio.run(run())


def test_without_a_warm_budget_a_journal_goes_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0, memory_bytes_max=0) as store:
            log = await rolled(store, [10, 25])
            await until(lambda: journal_files(tmp_path) == [])
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 25)

    asyncio.run(run())


def test_what_is_not_sealed_yet_never_goes(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0, memory_bytes_max=0) as store:
            log = await filled(store, full_frames(0, 10, 5))
            begin_roll(store, log)
            await append(store, log, full_frames(10, 20, 5))
            waits = log.journals[-1]
            assert waits.file is not None
            waits.file.close()
            waits.file = None  # rolled, and not yet in the sealer's hands
            await until(lambda: journal_files(tmp_path) == ["10"])
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)
            store.sealer.add(log, waits)
            await until(lambda: journal_files(tmp_path) == [])
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)

    asyncio.run(run())


def test_warm_journals_before_the_log_start_go_and_no_others_for_them(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await rolled(store, [10])
            size = log.journals[0].bytes
        async with running(tmp_path, warm_bytes_max=int(2.5 * size)) as store:
            log = store.all()[0]
            await append(store, log, full_frames(10, 20, 5))
            await roll(store, log)
            other = await ensure(store, ORDERS.topic_id.partition(1), 0)
            await append(store, other, full_frames(0, 10, 5))
            assert other.active is not None
            other.active.created_ms = 0  # the oldest of all
            await store.expire(log, log.segments[:1], 10)
            await roll(store, other)
            assert [entry.base_offset for entry in log.journals] == [10]
            assert [entry.base_offset for entry in other.journals] == [0]

    asyncio.run(run())


class Failing:
    """Something that fails until it is told not to."""

    def __init__(self, error: Exception, real: Callable[..., object]) -> None:
        self.broken = True
        self.times = 0
        self._error = error
        self._real = real

    def __call__(self, *arguments: object, **named: object) -> object:
        if self.broken:
            self.times += 1
            raise self._error
        return self._real(*arguments, **named)


def begin_roll(store: LogStore, log: PartitionLog) -> None:
    """Hands the active journal to the sealer."""
    entry = log.active
    assert entry is not None
    assert entry.file is not None
    entry.file.close()
    entry.file = None
    store.sealer.add(log, entry)


@pytest.mark.parametrize("where", ["disk", "catalogue"])
def test_a_full_disk_is_tried_again_until_it_works(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    if where == "disk":
        failing = Failing(OSError(28, "No space left on device"), segments.seal_journal)
        monkeypatch.setattr(sealing, "seal_journal", failing)
    else:
        error = PreconditionFailed("the catalogue cannot be used", reason="STORE_WRITE_FAILED")
        failing = Failing(error, DuckDBCatalogue.replace_segments)

        def replace_segments(catalogue: DuckDBCatalogue, *arguments: object) -> None:
            failing(catalogue, *arguments)

        monkeypatch.setattr(DuckDBCatalogue, "replace_segments", replace_segments)

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            begin_roll(store, log)
            await until(lambda: failing.times >= 3)
            assert log.segments == []
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 10)
            await append(store, log, [full_frame(10, 15)])
            failing.broken = False
            await until(lambda: log.sealed_end_offset == 10)
            assert manifest(store) == log.segments
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 15)

    asyncio.run(run())
    events = [record.__dict__.get("event") for record in caplog.records]
    assert events.count("seal_failed") == failing.times


def test_pauses_between_attempts_grow_to_a_limit_and_begin_anew_once_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(OSError(28, "No space left on device"), segments.seal_journal)
    monkeypatch.setattr(sealing, "seal_journal", failing)
    monkeypatch.setattr(sealing, "_RETRY_S", (0.02, 0.16))

    def failed_since(before: int) -> bool:
        return failing.times >= before + 6

    def sealed_to(log: PartitionLog, end: int) -> bool:
        return log.sealed_end_offset == end

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            for end in (10, 20):
                before = failing.times
                begin_roll(store, log)
                await until(partial(failed_since, before))
                failing.broken = False
                await until(partial(sealed_to, log, end))
                failing.broken = True
                await append(store, log, [full_frame(end, end + 10)])

    asyncio.run(run())
    told = [each.__dict__ for each in caplog.records]
    pauses = [each["retry_s"] for each in told if each.get("event") == "seal_failed"]
    anew = [after for after in range(1, len(pauses)) if pauses[after] < pauses[after - 1] / 3]
    begins = [0, *anew]
    assert len(begins) == 2, pauses
    for begin in begins:
        limits = [0.02, 0.04, 0.08, 0.16, 0.16]
        for limit, pause_s in zip(limits, pauses[begin:], strict=False):
            assert 0.49 * limit <= pause_s <= limit + 0.001, pauses


def test_failed_attempts_leave_no_files_on_the_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(OSError(28, "No space left on device"), journal.sync_directory)
    monkeypatch.setattr(parquet_file, "sync_directory", failing)

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            begin_roll(store, log)
            await until(lambda: failing.times >= 5)
            failing.broken = False
            await until(lambda: log.sealed_end_offset == 10)
            files = [path for path in (tmp_path / "log").rglob("*") if path.is_file()]
            assert files == [tmp_path / log.segments[0].path]

    asyncio.run(run())


def test_what_is_whole_of_a_damaged_journal_is_sealed_and_the_rest_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "CHUNK_BYTES", 1)  # each frame is one

    def shown(store: LogStore) -> list[tuple[int, int]]:
        return [(log.log_start_offset, log.log_end_offset) for log in store.ranges.of(ORDERS)]

    async def first() -> None:
        async with running(tmp_path, memory_bytes_max=0) as store:
            log = await filled(store, full_frames(0, 30, 5))
            assert log.journals[0].index is not None
            damaged = log.journals[0].index.chunks[2]
            flip_bit(log.journals[0].path, 8 * (damaged.file_position + 100))
            begin_roll(store, log)
            await append(store, log, full_frames(30, 40, 5))
            begin_roll(store, log)
            await until(lambda: log.sealed_end_offset == 40)
            assert shown(store) == [(0, 10), (15, 40)]
            assert str(store.backfill.wanted(ORDERS)) == "[10, 15)", "whoever reads there or not"
            lower, _ = store.ranges.of(ORDERS)
            assert records_of(await read_all(store.reader, lower, 0)) == records(0, 10)
            assert records_of(await read_all(store.reader, log, 15)) == records(15, 40)
        events = [record.__dict__.get("event") for record in caplog.records]
        assert events.count("journal_damaged") == 1
        assert len(list((tmp_path / "quarantine").rglob("*.journal.*"))) == 1

    async def again() -> None:
        async with running(tmp_path) as store:
            assert shown(store) == [(0, 10), (15, 40)]
            assert str(store.backfill.wanted(ORDERS)) == "[10, 15)"
            log = store.backfill.taking(ORDERS, 10, 15)
            await append(store, log, full_frames(10, 15, 5))
            store.tend()
            await until(lambda: log.sealed_end_offset == 15)
            store.tend()
            await store.mending.forget_mended()
            assert shown(store) == [(0, 40)]
            top = store.get(ORDERS)
            assert top is not None
            assert records_of(await read_all(store.reader, top, 0)) == records(0, 40)
        async with running(tmp_path) as store:
            assert not store.mending.damaged(ORDERS)

    asyncio.run(first())
    asyncio.run(again())


def test_a_journal_that_is_gone_leaves_a_hole_with_its_cause(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, memory_bytes_max=0) as store:
            log = await filled(store, full_frames(0, 10, 5))
            log.journals[0].path.unlink()
            begin_roll(store, log)
            await append(store, log, full_frames(10, 20, 5))
            await until(lambda: log.log_start_offset == 10)
            missing = store.backfill.wanted(ORDERS)
            assert missing is not None
            # The source does not have it either.
            empty = store.ranges.reach(ORDERS, 0)
            await store.changes.lose(empty, 0, 10)
            store.ranges.move(empty, 10)
            assert log.gap_at(3) == LostRange(3, 10, GapCause.STORE_DAMAGED)
            await store.mending.forget_mended()
            assert not store.mending.damaged(ORDERS)

    asyncio.run(run())


def test_what_waits_to_be_sealed_is_sealed_after_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        limits = SealLimits(bytes_max=1 << 40, records_max=10, age_ms_max=1 << 40)
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            begin_roll(store, log)
            await append(store, log, full_frames(10, 15, 5))
        async with running(tmp_path, seal=limits) as store:
            log = store.all()[0]
            await until(lambda: log.sealed_end_offset == 10)
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 15)

    asyncio.run(run())


def test_counts_what_waits(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            assert store.sealer.waiting == 0
            begin_roll(store, log)
            assert store.sealer.waiting == 1
            await until(lambda: log.sealed_end_offset == 10)
            assert store.sealer.waiting == 0

    asyncio.run(run())


class _Forgetful(MemoryFiles):
    """Says that its mark is there, and does not give it, for as long as it is told to."""

    forgets = True

    def put(self, path: str, source: Path) -> None:
        if self.forgets and path == layout.OWNER:
            raise FileExistsError(path)
        super().put(path, source)


def test_a_store_without_its_mark_is_away_and_no_journal_is_damaged_for_it(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        cold = _Forgetful()
        async with running(tmp_path, stores={"cold": cold}) as store:
            store.stores.choose = lambda _: "cold"
            log = await filled(store, full_frames(0, 10, 5))
            store.writer.roll(log)
            await until(lambda: "cold" in store.sealer.failures)
            assert "does not keep" in str(store.sealer.failures["cold"])
            assert not log.segments
            cold.forgets = False
            await until(lambda: bool(log.segments))
            assert [segment.store for segment in log.segments] == ["cold"]
            assert store.damages.since(0) == []

    asyncio.run(run())
