"""Sealing on demand, on a store that runs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cachesvc.errors import StoreUnwritable
from cachesvc.jobs.seal import Seal
from cachesvc.log import sealing
from cachesvc.log.log_store import LogStore
from cachesvc.store import journal, segments
from tests.support.frames import (
    ORDERS,
    assert_contiguous,
    flip_bit,
    full_frame,
    full_frames,
    records,
    records_of,
)
from tests.unit.log.running import append, ensure, filled, ran, read_all, running, settings, until

NOTHING = {"segments_made": 0, "records_sealed": 0, "journals_damaged": 0, "bytes_sealed": 0}


async def seal(store: LogStore) -> Mapping[str, int]:
    async with asyncio.timeout(120):
        return await Seal(store).run(lambda done, total, message: None)


def parquet_files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.parquet"))


def test_all_that_was_mined_is_in_segments_afterwards_and_nothing_is_made_twice(
    tmp_path: Path,
) -> None:
    told: list[tuple[int, int, str]] = []

    async def run() -> None:
        async with running(tmp_path) as store:
            assert await seal(store) == NOTHING, "an empty store"
            orders = await filled(store, full_frames(0, 12, 5))
            other = await ensure(store, ORDERS.topic_id.partition(1), 7)
            await append(store, other, [full_frame(7, 9)])
            await ensure(store, ORDERS.topic_id.partition(2), 0)
            sizes = sum(log.journals[0].bytes for log in (orders, other))

            counts = await Seal(store).run(lambda *step: told.append(step))
            assert counts == NOTHING | {
                "segments_made": 2,
                "records_sealed": 14,
                "bytes_sealed": sizes,
            }
            assert (orders.sealed_end_offset, other.sealed_end_offset) == (12, 9)
            files = parquet_files(tmp_path)
            assert len(files) == 2

            for _ in range(3):
                assert await seal(store) == NOTHING
            assert parquet_files(tmp_path) == files

            await append(store, orders, [full_frame(12, 13)])
            assert (await seal(store))["segments_made"] == 1
            assert [(s.base_offset, s.end_offset) for s in orders.segments] == [(0, 12), (12, 13)]
            assert records_of(await read_all(store.reader, orders, 0)) == records(0, 13)

    asyncio.run(run())
    assert told == [(0, 2, "orders/0"), (1, 2, "orders/1"), (2, 2, "")]


def test_appends_go_on_without_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, [full_frame(0, 5)])
            stopping = asyncio.Event()

            async def mine() -> None:
                """Always something is on its way, so that no moment is a quiet one."""
                waiting: list[asyncio.Future[None]] = []
                while not stopping.is_set():
                    begin = log.accepted_end_offset
                    waiting.append(store.writer.accept(log, full_frame(begin, begin + 5)))
                    if len(waiting) > 20:
                        await waiting.pop(0)
                await asyncio.gather(*waiting)

            mining = asyncio.ensure_future(mine())
            for _ in range(5):
                acknowledged = log.log_end_offset
                counts = await seal(store)
                assert counts["segments_made"] == 1
                assert log.sealed_end_offset >= acknowledged
            stopping.set()
            await mining
            assert len(log.segments) == 5
            assert_contiguous(await read_all(store.reader, log, 0), 0, log.log_end_offset)

    asyncio.run(run())


def test_a_damaged_journal_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "CHUNK_BYTES", 1)  # each frame is one

    async def run() -> None:
        async with running(tmp_path, memory_bytes_max=0) as store:
            log = await filled(store, full_frames(0, 20, 5))
            other = await ensure(store, ORDERS.topic_id.partition(1), 0)
            await append(store, other, full_frames(0, 10, 5))
            assert log.journals[0].index is not None
            chunk = log.journals[0].index.chunks[1]
            flip_bit(log.journals[0].path, 8 * (chunk.file_position + 100))
            counts = await seal(store)
            assert (counts["segments_made"], counts["journals_damaged"]) == (1, 1)
            assert other.sealed_end_offset == 10
            assert [(s.base_offset, s.end_offset) for s in log.segments] == [(10, 20)]
            assert str(store.backfill.wanted(ORDERS)) == "[5, 10)", "it is mined again"
            assert await seal(store) == NOTHING

    asyncio.run(run())


def test_a_disk_that_takes_nothing_fails_the_run_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "_RETRY_S", (0.05, 0.05))
    full = threading.Event()
    full.set()

    def seal_journal(*arguments: Any, **named: Any) -> object:
        if full.is_set():
            raise OSError(28, "No space left on device")
        return segments.seal_journal(*arguments, **named)

    monkeypatch.setattr(sealing, "seal_journal", seal_journal)

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            for _ in range(2):
                with pytest.raises(StoreUnwritable, match="No space left"):
                    await seal(store)
            full.clear()
            counts = await seal(store)
            assert counts["segments_made"] <= 1, "none if the service was faster"
            assert log.sealed_end_offset == 10
            assert len(log.segments) == 1

    asyncio.run(run())


def test_a_run_that_is_given_up_leaves_journals_that_are_sealed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def seal_journal(*arguments: Any, **named: Any) -> object:
        assert held.wait(120)
        return segments.seal_journal(*arguments, **named)

    async def run() -> None:
        store = LogStore.open(settings(tmp_path))
        try:
            async with ran(store):
                log = await filled(store, full_frames(0, 10, 5))
                with monkeypatch.context() as patch:
                    patch.setattr(sealing, "seal_journal", seal_journal)
                    sealed = asyncio.ensure_future(seal(store))
                    await until(lambda: log.active is None)
                    await append(store, log, [full_frame(10, 15)])
                    sealed.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await sealed
        finally:
            held.set()
            store.close()
        async with running(tmp_path) as store:
            log = store.all()[0]
            await seal(store)
            assert log.sealed_end_offset == 15
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 15)

    asyncio.run(run())
