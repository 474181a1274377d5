"""The writer where the disk, or something that nobody foresaw, refuses."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.errors import PreconditionFailed, StoreUnwritable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.store import journal as journal_module
from cachesvc.store.frames import Frame
from cachesvc.store.journal import JournalFile
from cachesvc.store.open_files import OpenFiles
from tests.support.frames import (
    ORDERS,
    full_frame,
    records,
    records_of,
)
from tests.unit.log.running import append, ensure, filled, read_all, running


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


class FailingDisk:
    """A disk that is full while it is told to be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, target: object, name: str) -> None:
        self.full = False
        self.refused = 0
        real: Callable[..., object] = getattr(target, name)

        def perhaps(*arguments: object) -> object:
            if self.full:
                self.refused += 1
                no_space()
            return real(*arguments)

        monkeypatch.setattr(target, name, perhaps)


async def refused(store: LogStore, log: PartitionLog, frames: list[Frame]) -> list[str]:
    """The reasons for which appends failed."""
    waiting = [store.writer.accept(log, each) for each in frames]
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(error, PreconditionFailed) for error in found)
    return [error.reason for error in found if isinstance(error, PreconditionFailed)]


@pytest.mark.parametrize(
    ("target", "name"),
    [(os, "writev"), (journal_module, "write_all"), (JournalFile, "append")],
    ids=["writev", "write_all", "append"],
)
def test_a_full_disk_refuses_appends_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, name: str
) -> None:
    disk = FailingDisk(monkeypatch, target, name)

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, [full_frame(0, 5)])
            disk.full = True
            reasons = await refused(store, log, [full_frame(5, 8), full_frame(8, 9)])
            assert reasons == ["STORE_WRITE_FAILED"] * 2
            assert (log.log_end_offset, log.accepted_end_offset) == (5, 5)
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 5)
            disk.full = False
            await append(store, log, [full_frame(5, 12)])
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 12)
        async with running(tmp_path) as store:
            log = store.all()[0]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 12)

    asyncio.run(run())
    assert disk.refused


def test_a_journal_that_cannot_be_begun_is_begun_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingDisk(monkeypatch, journal_module, "write_all")

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            disk.full = True
            for _ in range(2):
                assert await refused(store, log, [full_frame(0, 5)]) == ["STORE_WRITE_FAILED"]
            assert log.empty
            disk.full = False
            await append(store, log, [full_frame(0, 5)])
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 5)

    asyncio.run(run())


def test_more_journals_than_descriptors(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, open_journals_max=2) as store:
            before = len(os.listdir("/proc/self/fd"))
            logs = [await ensure(store, ORDERS.topic_id.partition(n), 0) for n in range(9)]
            for base in range(0, 15, 5):
                for log in logs:
                    await append(store, log, [full_frame(base, base + 5)])
                assert len(os.listdir("/proc/self/fd")) <= before + 2
        async with running(tmp_path, open_journals_max=2) as store:
            for log in store.all():
                await append(store, log, [full_frame(15, 20)])
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)

    asyncio.run(run())


def test_says_which_limit_keeps_a_journal_from_being_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)

            def none_left(*_: object) -> int:
                raise OSError(errno.EMFILE, "Too many open files")

            with monkeypatch.context() as patch:
                patch.setattr(OpenFiles, "create", none_left)
                assert await refused(store, log, [full_frame(0, 5)]) == ["OUT_OF_DESCRIPTORS"]
                with pytest.raises(StoreUnwritable, match=r"its limit \(RLIMIT_NOFILE\) is [\d,]+"):
                    await store.writer.accept(log, full_frame(0, 5))
            await append(store, log, [full_frame(0, 5)])

    asyncio.run(run())


def test_appends_that_came_behind_a_failed_one_fail_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop_told = asyncio.Event()
    real = JournalFile.append

    async def run() -> None:
        loop = asyncio.get_running_loop()
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            other = await ensure(store, ORDERS.topic_id.partition(1), 0)
            behind: list[asyncio.Future[None]] = []

            def meanwhile() -> None:
                behind.append(store.writer.accept(log, full_frame(5, 9)))
                behind.append(store.writer.accept(other, full_frame(0, 3)))
                loop_told.set()

            def slow_and_full(journal: JournalFile, frames: list[Frame]) -> None:
                if frames[0].base_offset == 0 and journal.path.parent.name.endswith("0"):
                    asyncio.run_coroutine_threadsafe(call(), loop).result()
                    no_space()
                real(journal, frames)

            async def call() -> None:
                meanwhile()

            monkeypatch.setattr(JournalFile, "append", slow_and_full)
            assert await refused(store, log, [full_frame(0, 5)]) == ["STORE_WRITE_FAILED"]
            with pytest.raises(PreconditionFailed, match="No space left"):
                await behind[0]
            await behind[1]  # another partition's is not concerned
            assert (log.accepted_end_offset, other.log_end_offset) == (0, 3)
            monkeypatch.setattr(JournalFile, "append", real)
            await append(store, log, [full_frame(0, 5)])
            assert log.log_end_offset == 5

    asyncio.run(run())


def test_what_nobody_foresaw_of_one_partition_is_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = JournalFile.append

    def beyond_the_format(journal: JournalFile, frames: list[Frame]) -> None:
        if journal.path.parent.name.endswith("0"):
            raise OverflowError("a length does not fit")
        real(journal, frames)

    async def run() -> None:
        async with running(tmp_path) as store:
            bad = await ensure(store, ORDERS, 0)
            good = await ensure(store, ORDERS.topic_id.partition(1), 0)
            monkeypatch.setattr(JournalFile, "append", beyond_the_format)
            first = store.writer.accept(bad, full_frame(0, 5))
            second = store.writer.accept(good, full_frame(0, 5))
            with pytest.raises(PreconditionFailed) as refusal:
                await first
            await second
            assert refusal.value.reason == "APPEND_FAILED"
            assert (bad.accepted_end_offset, good.log_end_offset) == (0, 5)
            monkeypatch.setattr(JournalFile, "append", real)
            await append(store, bad, [full_frame(0, 5)])

    asyncio.run(run())


def test_one_partitions_disk_error_is_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = JournalFile.append

    def failing(journal: JournalFile, frames: list[Frame]) -> None:
        if journal.path.parent.name == "partition=0":
            no_space()
        real(journal, frames)

    monkeypatch.setattr(JournalFile, "append", failing)

    async def run() -> None:
        async with running(tmp_path) as store:
            bad = await ensure(store, ORDERS, 0)
            good = await ensure(store, ORDERS.topic_id.partition(1), 0)
            first = store.writer.accept(bad, full_frame(0, 5))
            second = store.writer.accept(good, full_frame(0, 5))
            await second
            with pytest.raises(PreconditionFailed):
                await first
            assert (bad.log_end_offset, good.log_end_offset) == (0, 5)

    asyncio.run(run())
