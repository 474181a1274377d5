"""Logs with missing ranges: what a store holds of them when it is opened again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import GapCause, LostRange
from cachesvc.store import layout
from cachesvc.store.frames import Frame
from tests.support.frames import ORDERS, flip_bit, frame, records
from tests.unit.log.running import append, ensure, filled, roll, running, until


def part(begin: int, end: int) -> Frame:
    return frame(begin, end, records(begin, end))


def shown(store: LogStore) -> list[tuple[int, int]]:
    return [(log.log_start_offset, log.log_end_offset) for log in store.ranges.of(ORDERS)]


async def _backfill(store: LogStore, begin: int, end: int) -> None:
    store.ranges.reach(ORDERS, begin)
    store.backfill.want("somebody", ORDERS, begin)
    log = store.backfill.taking(ORDERS, begin, end)
    await append(store, log, [part(begin, end)])


def backfills(path: Path) -> list[Path]:
    return layout.find_journals(path).get(ORDERS, layout.FoundJournals()).backfills


def test_a_sealed_backfill_is_found_once_although_its_journal_is_still_there(
    tmp_path: Path,
) -> None:
    async def first() -> None:
        async with running(tmp_path) as store:
            await filled(store, [part(100, 110)], begin=100)
            await _backfill(store, 20, 40)
            await roll(store, store.ranges.below(ORDERS)[0])
            assert backfills(tmp_path)

    async def again() -> None:
        async with running(tmp_path) as store:
            assert shown(store) == [(20, 40), (100, 110)]
            assert not backfills(tmp_path), "its segment has the same records"

    asyncio.run(first())
    asyncio.run(again())


def test_a_backfill_that_was_cut_short_goes_on_where_it_is_whole(tmp_path: Path) -> None:
    async def first() -> None:
        async with running(tmp_path) as store:
            await filled(store, [part(100, 110)], begin=100)
            await _backfill(store, 20, 40)
            await _backfill(store, 40, 50)
            await roll(store, store.ranges.below(ORDERS)[0])
            await _backfill(store, 50, 60)
            await _backfill(store, 60, 70)

    async def again() -> None:
        async with running(tmp_path) as store:
            assert shown(store) == [(20, 60), (100, 110)]
            await _backfill(store, 60, 100)
            store.tend()
            await until(lambda: all(e.sealed for e in store.ranges.below(ORDERS)[0].journals))
            store.tend()
            assert shown(store) == [(20, 110)]

    asyncio.run(first())
    (newest,) = [path for path in backfills(tmp_path) if layout.base_offset(path) == 50]
    flip_bit(newest, 8 * (newest.stat().st_size - 1))
    asyncio.run(again())


def test_places_are_taken_over_moved_and_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            await filled(store, [part(100, 110)], begin=100)
            ranges, backfill = store.ranges, store.backfill
            low, high, useless = (ranges.reach(ORDERS, at) for at in (10, 50, 5))
            for who, at in (("low", 10), ("high", 50)):
                backfill.want(who, ORDERS, at)
            store.tend()
            assert ranges.of(ORDERS) == [low, high, store.get(ORDERS)], "nobody waits at 5"
            assert useless.blank
            assert str(backfill.wanted(ORDERS)) == "[10, 100)"
            await _backfill(store, 10, 40)
            assert not low.reaches(50)
            # Who was first has gone: what only that one wanted is not mined any more.
            backfill.leave("low", ORDERS)
            backfill.leave("somebody", ORDERS)
            assert str(backfill.wanted(ORDERS)) == "[50, 100)"
            backfill.want("low", ORDERS, 20)
            await append(store, backfill.taking(ORDERS, 40, 60), [part(40, 60)])
            assert high.joined is low
            assert low.reaches(50)

    asyncio.run(run())


def test_no_more_is_mined_than_somebody_wants(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            await filled(store, [part(100, 110)], begin=100)
            store.ranges.reach(ORDERS, 10)
            store.backfill.want("bounded", ORDERS, 10, 30)
            assert str(store.backfill.wanted(ORDERS)) == "[10, 30)"
            store.backfill.want("longer", ORDERS, 10, 200)
            assert str(store.backfill.wanted(ORDERS)) == "[10, 100)"
            store.backfill.leave("longer", ORDERS)
            log = store.backfill.taking(ORDERS, 10, 30)
            await append(store, log, [part(10, 30)])
            assert store.backfill.wanted(ORDERS) is None
            store.backfill.want("unbounded", ORDERS, 20)
            assert str(store.backfill.wanted(ORDERS)) == "[30, 100)"

    asyncio.run(run())


def state(log: PartitionLog) -> tuple[str, ...]:
    return tuple(word for word in ("blank", "untouched") if getattr(log, word))


def test_a_log_of_which_nothing_is_left_may_not_begin_anywhere(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 10)
            assert state(log) == ("blank", "untouched")
            await append(store, log, [part(10, 20)])
            await roll(store, log)
            await store.expire(log, log.segments, 20)
            await until(lambda: log.blank)
            assert state(log) == ("blank",)
        async with running(tmp_path) as store:
            found = store.get(ORDERS)
            assert found is not None
            assert state(found) == ("blank",)

    asyncio.run(run())


def test_what_is_lost_at_the_begin_is_not_cached(tmp_path: Path) -> None:
    async def first() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, [part(60, 100)], begin=60)
            await roll(store, log)
            await append(store, log, [part(100, 110)])
            await store.expire(log, log.segments, 100)
            store.backfill.want("somebody", ORDERS, 10)
            empty = store.ranges.reach(ORDERS, 10)
            await store.changes.lose(empty, 10, 70)
            store.ranges.move(empty, 70)
            assert empty.log_start_offset == 70
            # Before 60 nothing was ever cached.
            assert empty.gap_at(30) == LostRange(30, 60, GapCause.SOURCE_RETENTION)
            assert empty.gap_at(65) == LostRange(65, 70, GapCause.CACHE_RETENTION)
            assert store.ranges.reach(ORDERS, 30) is empty

    async def again() -> None:
        async with running(tmp_path) as store:
            assert store.ranges.reach(ORDERS, 30).log_start_offset == 70
            top = store.get(ORDERS)
            assert top is not None
            assert top.gap_at(30) == LostRange(30, 60, GapCause.SOURCE_RETENTION)

    asyncio.run(first())
    asyncio.run(again())


def test_what_was_not_mined_before_an_incarnation_was_over_is_gone_with_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, [part(60, 80)], begin=60)
            await roll(store, log)
            await append(store, log, [part(80, 100)])
            await store.expire(log, log.segments, 80)
            log.ended_by = GapCause.TOPIC_RECREATED
            assert store.ranges.reach(ORDERS, 10) is log
            # Mining began at 60; what is behind that was cached, and retention took it.
            assert log.gap_at(10) == LostRange(10, 60, GapCause.TOPIC_RECREATED)
            assert log.gap_at(65) == LostRange(65, 80, GapCause.CACHE_RETENTION)
            assert log.gap_at(80) is None

    asyncio.run(run())
