from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachesvc.errors import (
    DamagedFile,
    DataLoss,
    PreconditionFailed,
    ShuttingDown,
    StoreFormatUnsupported,
    StoreLocked,
)
from cachesvc.log.log_store import LogStore
from cachesvc.model import GapCause, TopicId, TopicIncarnation
from cachesvc.policy.incarnations import next_incarnation
from cachesvc.store import layout
from cachesvc.store.merging import merge_segments
from cachesvc.store.ports import TopicEntry
from tests.support.frames import (
    ORDERS,
    full_frame,
    full_frames,
    records,
    records_of,
    set_journal_version,
    write_journal,
)
from tests.unit.log.running import append, ensure, filled, read_all, roll, running, settings, until


def test_makes_its_directory(tmp_path: Path) -> None:
    store = LogStore.open(settings(tmp_path / "deep" / "store"))
    assert store.all() == []
    store.close()
    assert (tmp_path / "deep" / "store" / "catalogue.duckdb").exists()


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PreconditionFailed, match="name a directory that this user may write") as e:
        LogStore.open(settings(tmp_path / "file"))
    assert e.value.reason == "STORE_UNUSABLE"


def test_two_in_one_process_do_not_share_a_store(tmp_path: Path) -> None:
    store = LogStore.open(settings(tmp_path))
    with pytest.raises(StoreLocked, match=f"in use by process {os.getpid()}") as caught:
        LogStore.open(settings(tmp_path))
    assert caught.value.metadata == {"path": str(tmp_path), "pid": str(os.getpid())}
    store.close()
    LogStore.open(settings(tmp_path)).close()


_HOLD = """
import fcntl, sys
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLD, str(tmp_path / layout.LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreLocked, match="in use by process unknown"):
            LogStore.open(settings(tmp_path))
        holder.kill()
        holder.wait()
    LogStore.open(settings(tmp_path)).close()


def test_a_store_that_cannot_be_opened_is_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / layout.journal_path(ORDERS, 0)
    write_journal(path, [full_frame(0, 5)]).close()
    set_journal_version(path, 2)
    data = path.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreFormatUnsupported):
            LogStore.open(settings(tmp_path))
    assert path.read_bytes() == data
    set_journal_version(path, 1)
    store = LogStore.open(settings(tmp_path))
    assert store.all()[0].log_end_offset == 5
    store.close()


def test_a_damaged_catalogue_stops_the_start_and_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / layout.CATALOGUE).write_bytes(b"damaged" * 1_000)
    for _ in range(2):
        with pytest.raises(DamagedFile):
            LogStore.open(settings(tmp_path))
    assert (tmp_path / layout.CATALOGUE).read_bytes() == b"damaged" * 1_000


def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(7, 20, 5), begin=7)
            await roll(store, log)
            await append(store, log, full_frames(20, 33, 5))
        for _ in range(2):
            async with running(tmp_path) as store:
                (log,) = store.all()
                assert (log.log_start_offset, log.log_end_offset) == (7, 33)
                assert records_of(await read_all(store.reader, log, 7)) == records(7, 33)

    asyncio.run(run())


def test_knows_its_partitions_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        other = TopicId("main", "payments")
        async with running(tmp_path) as store:
            for partition in (other.partition(0), ORDERS.topic_id.partition(1), ORDERS):
                await ensure(store, partition, 3)
            assert [log.id for log in store.all()] == [
                ORDERS,
                ORDERS.topic_id.partition(1),
                other.partition(0),
            ]
            assert [log.id for log in store.logs.of_topic(other)] == [other.partition(0)]
            assert store.get(ORDERS.topic_id.partition(9)) is None
            assert store.topic_id("main", "orders") == ORDERS.topic_id

    asyncio.run(run())


def test_entering_a_partition_twice_gives_the_same_log(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            first, second = await asyncio.gather(ensure(store, ORDERS, 3), ensure(store, ORDERS, 3))
            assert first is second
            assert await ensure(store, ORDERS, 99) is first
            assert first.log_start_offset == 3
        async with running(tmp_path) as store:
            assert store.all()[0].log_start_offset == 3

    asyncio.run(run())


def test_an_empty_log_may_move_to_where_the_source_begins(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            await store.changes.begin_at(log, 500)
            await append(store, log, [full_frame(500, 505)])
            assert log.log_start_offset == 500
        async with running(tmp_path) as store:
            (log,) = store.all()
            assert (log.log_start_offset, log.log_end_offset) == (500, 505)

    asyncio.run(run())


def test_retention_moves_the_log_start_for_good(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            await roll(store, log)
            await append(store, log, full_frames(10, 20, 5))
            await roll(store, log)
            gone = log.segments[0]
            await store.expire(log, [gone], 10)
            with pytest.raises(DataLoss):
                await store.reader.read(log, 9)
            assert [entry.base_offset for entry in log.journals] == [10]
            retired = await store.catalogue.call(lambda port: port.list_retired())
            assert list(retired) == [gone.path]
        async with running(tmp_path) as store:
            (log,) = store.all()
            assert log.log_start_offset == 10
            assert records_of(await read_all(store.reader, log, 10)) == records(10, 20)

    asyncio.run(run())


def test_retention_of_everything_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            await roll(store, log)
            await store.expire(log, list(log.segments), 10)
            assert (log.log_start_offset, log.log_end_offset) == (10, 10)
        async with running(tmp_path) as store:
            (log,) = store.all()
            assert (log.log_start_offset, log.log_end_offset) == (10, 10)
            await append(store, log, [full_frame(10, 12)])
            assert records_of(await read_all(store.reader, log, 10)) == records(10, 12)

    asyncio.run(run())


def test_a_merge_goes_unnoticed_by_readers(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path, warm_bytes_max=0, memory_bytes_max=0) as store:
            log = await ensure(store, ORDERS, 0)
            for end in (10, 20, 30):
                await append(store, log, full_frames(end - 10, end, 5))
                await roll(store, log)
            await until(lambda: not log.journals)
            before = await store.reader.read(log, 12)
            sources = log.segments[:2]
            merged = merge_segments(tmp_path, sources, 1, 0)
            assert await store.manifest.merge(log, sources, merged)
            for source in sources:
                (tmp_path / source.path).unlink()
            assert records_of(before) == records(10, 20)
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)
        async with running(tmp_path) as store:
            (log,) = store.all()
            assert len(log.segments) == 2
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)

    asyncio.run(run())


def test_only_logs_whose_incarnation_ends_now_are_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 10, 5))
            told: list[None] = []
            log.subscribe(lambda: told.append(None))
            second = TopicIncarnation(
                next_incarnation(log.id.topic_id), "", GapCause.TOPIC_RECREATED
            )
            for _ in range(3):
                await store.changes.create(TopicEntry([second]))
            assert log.ended_by is GapCause.TOPIC_RECREATED
            assert len(told) == 1

    asyncio.run(run())


def test_recovery_is_given_up_between_partitions_and_nothing_is_lost(tmp_path: Path) -> None:
    partitions = [ORDERS.topic_id.partition(number) for number in range(5)]

    async def fill() -> None:
        async with running(tmp_path) as store:
            for partition in partitions:
                await append(store, await ensure(store, partition, 0), full_frames(0, 10, 5))

    asyncio.run(fill())
    for looks in range(len(partitions) + 1):
        answers = iter([False] * looks + [True])
        with pytest.raises(ShuttingDown):
            LogStore.open(settings(tmp_path), lambda answers=answers: next(answers))  # type: ignore[misc]
        assert not list((tmp_path / "quarantine").rglob("*.journal*"))
    store = LogStore.open(settings(tmp_path))
    try:
        assert [log.log_end_offset for log in store.all()] == [10] * len(partitions)
    finally:
        store.close()
