"""G11 for what puts a store right: no room, or a disk that takes nothing, makes no damage worse.

What is dropped, swept, salvaged, rebuilt, found at a start or kept of a bucket is on a file system
that is really full, or one that becomes read-only. Whatever is tried fails with a reason or is
done, and succeeds once there is room.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from cachesvc.errors import CacheError
from cachesvc.jobs.expire import Expire
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.sweep import Sweep
from cachesvc.log.log_store import LogStore
from cachesvc.log.rebuilding import rebuild
from cachesvc.policy.retention import RetentionClock
from cachesvc.store import layout, parquet_file
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.memory_files import MemoryFiles
from cachesvc.store.s3_files import S3Files
from cachesvc.subscriptions.retention import Retention, TopicSize
from tests.faults import test_no_room_at_each_step as steps
from tests.faults.test_no_room_at_each_step import A_FRAME, NO_ROOM, RETENTION, SIZE
from tests.support.frames import ORDERS, Record, flip_bit, records_of
from tests.support.s3_server import S3Server
from tests.support.small_disk import disk
from tests.unit.log.running import read_all, settings

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ROW_GROUP = 10
Trouble = Callable[[], AbstractContextManager[None]]
Tried = Callable[[Path, Trouble, str], None]


async def _expires(own: Path, trouble: Trouble, words: str) -> None:
    """A commit to the catalogue, and files that go."""
    async with steps.opened(own / "store", MemoryFiles()) as store:
        await steps.history(store)
        size = Retention(RetentionClock.MINED, 1e6, size=TopicSize(records_max=2 * A_FRAME))
        expire = Expire(store, lambda: (), size, RetiredFiles(store, RETENTION, 0.0), 1.0)
        with trouble():
            failure = await _failure(expire.run(steps.nobody))
            assert words in failure or (words == NO_ROOM and not failure)
            await _is_whole(store)
        assert not await _failure(expire.run(steps.nobody))
        await _is_whole(store)
        assert store.logs[ORDERS].log_start_offset == 2 * A_FRAME
        assert len(_files(store)) == 1
    await _reopens(own)


async def _sweeps(own: Path, trouble: Trouble, words: str) -> None:
    """Files that go: on a full disk it is what makes room."""
    async with steps.opened(own / "store", MemoryFiles()) as store:
        await steps.history(store)
        await steps.STEPS["compact"](store, own)
        assert len(_files(store)) == 4
        sweep = Sweep(store, RetiredFiles(store, RETENTION, 0.0), 1.0)
        with trouble():
            failure = await _failure(sweep.run(steps.nobody))
            assert words in failure or (words == NO_ROOM and len(_files(store)) == 1)
            await _is_whole(store)
        assert not await _failure(sweep.run(steps.nobody))
        assert len(_files(store)) == 1
        await _is_whole(store)
    await _reopens(own)


async def _salvages(own: Path, trouble: Trouble, words: str) -> None:
    """What is whole of a damaged segment is written before that goes."""
    async with steps.opened(own / "store", MemoryFiles()) as store:
        await steps.history(store)
        log = store.logs[ORDERS]
        segment = log.segments[1]
        path = store.path / segment.path
        flip_bit(path, 8 * (path.stat().st_size // 2))
        damaged = path.read_bytes()
        with trouble():
            failure = await _failure(store.mend(log, segment.base_offset))
            assert words in failure
            assert path.read_bytes() == damaged
            assert log.segments[1] == segment
        assert not await _failure(store.mend(log, segment.base_offset))
        lost = _lost(store)
        assert len(lost) == ROW_GROUP
        await _is_whole(store)
    await _reopens(own, lost)


async def _starts(own: Path, trouble: Trouble, words: str) -> None:
    """After a kill: the end of a journal is torn, and the catalogue's log not taken in yet."""
    async with steps.opened(own / "before", MemoryFiles()) as store:
        await steps.history(store)
        await steps.STEPS["append"](store, own)
        shutil.copytree(store.path, own / "store", ignore=shutil.ignore_patterns("*copy*"))
    shutil.rmtree(own / "before")
    (journal,) = (own / "store").glob("journal/**/*.journal")
    os.truncate(journal, journal.stat().st_size - 100)
    with trouble():
        failure = _told(lambda: LogStore.open(settings(own / "store")).close())
        assert words in failure or (words == NO_ROOM and not failure)
    await _reopens(own)


async def _rebuilds(own: Path, trouble: Trouble, words: str) -> None:
    """A catalogue is damaged; its copy is not."""
    async with steps.opened(own / "store", MemoryFiles()) as store:
        await steps.history(store)
        await store.copies.write()
    (own / "store" / layout.CATALOGUE).write_bytes(b"damaged" * 1_000)
    with trouble():
        assert words in _told(lambda: rebuild(own / "store"))
    rebuild(own / "store")
    await _reopens(own)


TRIED: Mapping[str, Callable[[Path, Trouble, str], Awaitable[None]]] = {
    "expire": _expires,
    "sweep": _sweeps,
    "salvage": _salvages,
    "start": _starts,
    "rebuild": _rebuilds,
}


def try_it(what: str, own: Path, trouble: Trouble, words: str) -> None:
    """One of ``TRIED``, in trouble and without."""
    with pytest.MonkeyPatch.context() as patch:
        # So that of a damaged segment something is whole.
        patch.setattr(parquet_file, "ROW_GROUP_ROWS", ROW_GROUP)
        asyncio.run(asyncio.wait_for(TRIED[what](own, trouble, words), 120))


async def _failure(work: Awaitable[object]) -> str:
    """With which words it fails; none if it is done."""
    try:
        await work
    except (CacheError, OSError) as error:
        return str(error)
    return ""


def _told(work: Callable[[], object]) -> str:
    """The same of what an operator is told at the command line."""
    try:
        work()
    except CacheError as error:
        return str(error)
    return ""


def _files(store: LogStore) -> list[Path]:
    return list(store.path.glob("log/**/*.parquet"))


def _lost(store: LogStore) -> list[int]:
    ranges = store.mending.damaged(ORDERS)
    return [offset for each in ranges for offset in range(each.begin, each.end)]


async def _is_whole(store: LogStore) -> None:
    """All that is covered can be read, and only what is known to be damaged is not covered."""
    seen: list[Record] = []
    for log in store.ranges.of(ORDERS):
        seen += records_of(await read_all(store.reader, log, log.log_start_offset))
    begin, lost = store.ranges.of(ORDERS)[0].log_start_offset, _lost(store)
    end = store.logs[ORDERS].log_end_offset
    assert seen == [row for row in steps.rows(begin, end) if row.offset not in lost]


async def _reopens(own: Path, lost: list[int] | None = None) -> None:
    """A start finds the same, and all goes on."""
    async with steps.opened(own / "store", MemoryFiles()) as store:
        assert _lost(store) == (lost or [])
        await _is_whole(store)
        assert store.logs[ORDERS].log_end_offset >= 4 * A_FRAME
        await steps.STEPS["append"](store, own)
        await _is_whole(store)
        kept = await store.catalogue.call(lambda port: port.list_positions())
        assert kept["task"] == {ORDERS: 7}


@pytest.mark.parametrize("what", TRIED)
def test_a_full_disk_makes_no_damage_worse(what: str, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", SIZE):
        own = tmp_path / "disk"
        try_it(what, own, lambda: steps.full(own, 0), NO_ROOM)


@pytest.mark.parametrize("what", TRIED)
def test_a_disk_that_becomes_read_only_makes_no_damage_worse(
    what: str, tmp_path: Path, read_only_library: Path
) -> None:
    """In a process of its own, with journals and catalogue open as the system leaves them."""
    steps.run_read_only(what, tmp_path, read_only_library)


def test_a_bucket_is_read_though_nothing_of_it_can_be_kept(
    tmp_path: Path, s3_server: S3Server
) -> None:
    """The cache of blocks is on a full disk; what is there later is what the bucket has."""

    async def run(own: Path, prefix: str) -> None:
        cache = BlockCache(own / "blocks", 1 << 20)
        async with steps.opened(own / "store", S3Files(s3_server.settings(prefix), cache)) as store:
            store.stores.choose = lambda _: "cold"
            await steps.history(store)
            for left in (0, 20_000, 200_000):
                with steps.full(own, left):
                    await _is_whole(store)
                    assert cache.bytes <= left
                    assert _size(own / "blocks") <= left
                    assert not [p for p in (own / "blocks").iterdir() if p.suffix != ".block"]
            await _is_whole(store)
            assert cache.bytes == _size(own / "blocks") > 0
            for path in (own / "blocks").iterdir():
                os.truncate(path, path.stat().st_size // 2)
            await _is_whole(store)

    with ExitStack() as stack:
        stack.enter_context(disk(tmp_path / "disk", SIZE))
        asyncio.run(asyncio.wait_for(run(tmp_path / "disk", os.urandom(4).hex()), 120))


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())
