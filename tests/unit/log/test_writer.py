from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cachesvc.errors import PreconditionFailed, ShuttingDown
from cachesvc.log import writer
from cachesvc.log.log_store import LogStore
from cachesvc.policy.sealing import SealLimits
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile
from tests.support.frames import (
    ORDERS,
    assert_contiguous,
    frame,
    full_frame,
    full_frames,
    records,
    records_of,
)
from tests.unit.log.running import append, ensure, filled, ran, read_all, running, settings, until


def test_an_append_is_readable_once_it_is_done(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            done = store.writer.accept(log, full_frame(0, 5))
            assert (log.accepted_end_offset, log.log_end_offset) == (5, 0)
            assert not done.done()
            await done
            assert log.log_end_offset == 5
            assert records_of(await store.reader.read(log, 0)) == records(0, 5)

    asyncio.run(run())


@pytest.mark.parametrize("base", [0, 4, 6, 100])
def test_refuses_what_does_not_continue_the_log(tmp_path: Path, base: int) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, [full_frame(0, 5)])
            with pytest.raises(PreconditionFailed) as caught:
                store.writer.accept(log, full_frame(base, base + 5))
            assert caught.value.reason == "NOT_CONTIGUOUS"
            assert log.accepted_end_offset == 5

    asyncio.run(run())


def test_contiguity_counts_what_is_being_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            first = store.writer.accept(log, full_frame(0, 5))
            second = store.writer.accept(log, full_frame(5, 9))
            with pytest.raises(PreconditionFailed):
                store.writer.accept(log, full_frame(5, 9))
            await asyncio.gather(first, second)
            assert log.log_end_offset == 9

    asyncio.run(run())


def test_a_frame_that_covers_nothing_is_done_at_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, [full_frame(0, 5)])
            size = log.journals[0].bytes
            assert store.writer.accept(log, frame(5, 5)).done()
            await append(store, log, [full_frame(5, 6)])
            assert log.log_end_offset == 6
            assert log.journals[0].bytes == size + full_frame(5, 6).encoded_bytes

    asyncio.run(run())


def test_frames_of_many_partitions_are_published_in_their_order(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            logs = [await ensure(store, ORDERS.topic_id.partition(n), 0) for n in range(5)]
            published: list[tuple[int, int]] = []
            for log in logs:
                log.subscribe(
                    lambda log=log: published.append((log.id.partition, log.log_end_offset))  # type: ignore[misc]
                )
            waiting = [
                store.writer.accept(log, each) for each in full_frames(0, 60, 3) for log in logs
            ]
            await asyncio.gather(*waiting)
            for log in logs:
                mine = [end for number, end in published if number == log.id.partition]
                assert mine == list(range(3, 61, 3))
                assert_contiguous(await read_all(store.reader, log, 0), 0, 60)

    asyncio.run(run())


def test_what_gathers_while_the_disk_is_busy_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    real = JournalFile.append

    def counted(journal: JournalFile, frames: list[Frame]) -> None:
        calls.append(len(frames))
        real(journal, frames)

    monkeypatch.setattr(JournalFile, "append", counted)

    async def run() -> None:
        async with running(tmp_path) as store:
            await filled(store, full_frames(0, 300, 3))
        assert calls == [100]

    asyncio.run(run())


def test_a_full_journal_is_rolled_before_the_next_append(tmp_path: Path) -> None:
    async def run() -> None:
        limits = SealLimits(bytes_max=1 << 40, records_max=10, age_ms_max=1 << 40)
        async with running(tmp_path, seal=limits) as store:
            log = await ensure(store, ORDERS, 0)
            for each in full_frames(0, 30, 4):
                await append(store, log, [each])
            await until(lambda: log.sealed_end_offset == 24)
            assert [part.end_offset for part in log.segments] == [12, 24]
            assert [entry.base_offset for entry in log.journals] == [0, 12, 24]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)

    asyncio.run(run())


def test_an_old_journal_is_rolled_without_an_append(tmp_path: Path) -> None:
    async def run() -> None:
        limits = SealLimits(bytes_max=1 << 40, records_max=1 << 40, age_ms_max=1_000)
        async with running(tmp_path, seal=limits) as store:
            log = await filled(store, [full_frame(0, 5)])
            idle = await ensure(store, ORDERS.topic_id.partition(1), 0)
            (entry,) = log.journals
            store.writer.roll_due(entry.created_ms + 999)
            assert [active.file for active in log.journals if active.file]
            store.writer.roll_due(entry.created_ms + 1_000)
            assert not [active.file for active in log.journals if active.file]
            assert idle.empty
            await until(lambda: log.sealed_end_offset == 5)

    asyncio.run(run())


def test_what_was_accepted_before_the_end_is_written(tmp_path: Path) -> None:
    async def run() -> None:
        store = LogStore.open(settings(tmp_path))
        async with ran(store):
            log = await ensure(store, ORDERS, 0)
            waiting = [store.writer.accept(log, each) for each in full_frames(0, 50, 5)]
            store.writer.close()
            with pytest.raises(ShuttingDown):
                store.writer.accept(log, full_frame(50, 51))
        assert all(done.done() and not done.exception() for done in waiting)
        store.close()
        assert log.log_end_offset == 50

    asyncio.run(run())


def test_a_caller_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            store.writer.accept(log, full_frame(0, 5)).cancel()
            await append(store, log, [full_frame(5, 9)])
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 9)

    asyncio.run(run())


def test_journals_are_looked_at_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_LOOKED_AT_MIN", 2)
    limits = SealLimits(bytes_max=1 << 40, records_max=1 << 40, age_ms_max=1 << 32)

    async def run() -> None:
        async with running(tmp_path, seal=limits) as store:
            logs = [await ensure(store, ORDERS.topic_id.partition(n), 0) for n in range(5)]
            for log in logs:
                await store.writer.accept(log, full_frame(0, 5))
            begun = [log.journals[0].created_ms for log in logs]
            closed = []
            for _ in range(4):
                store.writer.roll_due(max(begun) + (1 << 32))
                closed.append(sum(log.active is None for log in logs))
            assert closed == [2, 4, 5, 5]

    asyncio.run(run())
