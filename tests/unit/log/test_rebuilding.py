"""A store whose catalogue is damaged or gone is rebuilt from the newest copy and the files."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cachesvc.errors import DamagedFile, PreconditionFailed, StoreLocked
from cachesvc.log.log_store import LogStore
from cachesvc.log.rebuilding import rebuild
from cachesvc.model import Mode, PartitionId, Snapshot
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store import layout
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.catalogues import forget_all_changes, open_copy
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.ports import PositionCommit, SubscriptionChange, SubscriptionRecord
from cachesvc.store.s3_files import S3Files
from tests.support.frames import ORDERS, flip_bit, full_frames, records, records_of
from tests.support.s3_server import S3Server
from tests.unit.log.running import append, filled, read_all, roll, running, settings
from tests.unit.snapshots.making_here import HereMaker

COPIES = SubscriptionRecord("copies", "main", ("orders",), "", Mode.FULL, 3, False, 10)


async def history(store: LogStore) -> None:
    """Two segments and a subscription, a copy of that; then another segment and a commit."""
    log = await filled(store, full_frames(0, 10, 5))
    await roll(store, log)
    await append(store, log, full_frames(10, 20, 5))
    await roll(store, log)
    await store.catalogue.call(
        lambda port: port.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 7})])
    )
    await store.copies.write()
    await append(store, log, full_frames(20, 30, 5))
    await roll(store, log)
    await append(store, log, full_frames(30, 35, 5))
    commit = PositionCommit("copies", {ORDERS: 20}, 11)
    await store.catalogue.call(lambda port: port.commit_positions([commit]))


def made(path: Path) -> None:
    async def run() -> None:
        async with running(path) as store:
            await history(store)

    asyncio.run(run())


def whole(path: Path) -> None:
    """The store opens, and has what was mined."""

    async def run() -> None:
        async with running(path) as store:
            log = store.logs[ORDERS]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 35)
            await append(store, log, full_frames(35, 40, 5))

    asyncio.run(run())


def _noise(path: Path) -> None:
    path.write_bytes(b"damaged" * 1_000)


def _delete(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [_noise, _delete])
def test_from_the_copy_and_what_came_since(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    made(tmp_path)
    damage(tmp_path / layout.CATALOGUE)
    with pytest.raises(DamagedFile, match="cachesvc store rebuild"):
        LogStore.open(settings(tmp_path))
    found = rebuild(tmp_path)
    assert found.copied_ms is not None
    assert found.changes >= 2 and found.changes_whole
    assert (found.segments, found.segments_found, found.segments_missing) == (3, 0, 0)
    assert (found.kept_as is not None) is (damage is _noise)
    whole(tmp_path)
    assert _subscription(tmp_path) == {"copies": {ORDERS: 20}}


@pytest.mark.parametrize("damage", [_noise, _delete])
def test_from_the_copy_and_the_files_alone(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    made(tmp_path)
    damage(tmp_path / layout.CATALOGUE)
    forget_all_changes(tmp_path)
    found = rebuild(tmp_path)
    assert (found.changes, found.changes_whole) == (0, False)
    assert (found.segments, found.segments_found, found.segments_missing) == (3, 1, 0)
    whole(tmp_path)
    assert _subscription(tmp_path) == {"copies": {ORDERS: 7}}


def _subscription(path: Path) -> dict[str, dict[PartitionId, int]]:
    """The positions that are stored."""
    store = LogStore.open(settings(path))
    port = store.catalogue
    positions = port.call_blocking(lambda each: each.list_positions())
    (kept,) = port.call_blocking(lambda each: each.list_subscriptions())
    assert kept.epoch > COPIES.epoch + 100, "whoever had a newer one cannot commit with it"
    assert replace(kept, epoch=COPIES.epoch, committed_ms=None) == COPIES
    store.close()
    return positions


def test_commits_after_the_copy_are_there_again(tmp_path: Path) -> None:
    killed = tmp_path / "killed"

    async def run() -> None:
        async with running(tmp_path / "store") as store:
            await history(store)
            shutil.copytree(store.path, killed)

    asyncio.run(run())
    (killed / layout.CATALOGUE).unlink()
    rebuild(killed)
    store = LogStore.open(settings(killed))
    positions = store.catalogue.call_blocking(lambda port: port.list_positions())
    store.close()
    assert positions == {"copies": {ORDERS: 20}}


def test_without_any_copy_the_log_is_there(tmp_path: Path) -> None:
    made(tmp_path)
    for name in (layout.CATALOGUE, *layout.CATALOGUE_COPIES):
        (tmp_path / name).unlink(missing_ok=True)
    forget_all_changes(tmp_path)
    found = rebuild(tmp_path)
    assert (found.copied_ms, found.segments, found.subscriptions) == (None, 3, 0)
    whole(tmp_path)


def test_a_damaged_copy_is_passed_over(tmp_path: Path) -> None:
    made(tmp_path)
    newest, before = (tmp_path / name for name in layout.CATALOGUE_COPIES)
    before.write_bytes(newest.read_bytes())
    _noise(newest)
    _noise(tmp_path / layout.CATALOGUE)
    assert rebuild(tmp_path).subscriptions == 1
    whole(tmp_path)


def test_any_flipped_bit_is_harmless_or_found(tmp_path: Path) -> None:
    made(tmp_path)
    path = tmp_path / layout.CATALOGUE
    bytes_before = path.read_bytes()
    for number in range(7, 8 * len(bytes_before), 8 * len(bytes_before) // 15):
        flip_bit(path, number)
        try:
            LogStore.open(settings(tmp_path)).close()
        except DamagedFile:
            rebuild(tmp_path)
        whole_again = LogStore.open(settings(tmp_path))
        try:
            log = whole_again.logs[ORDERS]
            assert (log.log_start_offset, log.log_end_offset) == (0, 35), number
        finally:
            whole_again.close()
        path.write_bytes(bytes_before)


def test_there_has_to_be_something_to_rebuild(tmp_path: Path) -> None:
    with pytest.raises(PreconditionFailed, match="no store"):
        rebuild(tmp_path / "none")
    store = LogStore.open(settings(tmp_path))
    with pytest.raises(StoreLocked):
        rebuild(tmp_path)
    store.close()
    with pytest.raises(PreconditionFailed, match="nothing to rebuild"):
        rebuild(tmp_path)


def test_a_copy_is_written_where_something_was_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            await history(store)
            newest, before = (tmp_path / name for name in layout.CATALOGUE_COPIES)
            written_ns = newest.stat().st_mtime_ns
            for _ in range(2):
                await store.copies.write()
                await store.catalogue.call(lambda port: port.list_positions())
            assert before.stat().st_mtime_ns == written_ns
            assert newest.stat().st_mtime_ns > written_ns

    asyncio.run(run())


def test_segments_of_other_stores_are_found_where_they_are(tmp_path: Path) -> None:
    cold, own = LocalFiles(tmp_path / "cold"), tmp_path / "own"

    async def run() -> None:
        async with running(own, stores={"cold": cold}, warm_bytes_max=0) as store:
            log = await filled(store, full_frames(0, 10, 5))
            await roll(store, log)
            store.stores.choose = lambda _: "cold"
            await append(store, log, full_frames(10, 20, 5))
            await roll(store, log)

    asyncio.run(run())
    for name in (layout.CATALOGUE, *layout.CATALOGUE_COPIES):
        (own / name).unlink(missing_ok=True)
    forget_all_changes(own)
    found = rebuild(own, lambda _: {"cold": cold, "foreign": LocalFiles(tmp_path / "foreign")})
    assert (found.segments, found.segments_found) == (2, 2)
    assert found.stores_away == ()
    store = LogStore.open(settings(own, stores={"cold": cold}))
    try:
        log = store.logs[ORDERS]
        assert [segment.store for segment in log.segments] == ["local", "cold"]
        assert (log.log_start_offset, log.log_end_offset) == (0, 20)
    finally:
        store.close()


def test_snapshots_in_a_bucket_are_found_there(tmp_path: Path, s3_server: S3Server) -> None:
    own = tmp_path / "own"
    cold = S3Files(s3_server.settings(secrets.token_hex(4)), BlockCache(tmp_path / "blocks", 0))

    async def run() -> list[Snapshot]:
        async with running(own, stores={"cold": cold}, warm_bytes_max=0) as store:
            store.stores.choose = lambda _: "cold"
            log = await filled(store, full_frames(0, 10, 5))
            await roll(store, log)
            maker = HereMaker(store, Shelf(store, list, 2))
            first = await maker.made(log)
            await append(store, log, full_frames(10, 20, 5))
            await roll(store, log)
            store.catalogue.call_blocking(
                lambda port: port.copy_to(own / layout.CATALOGUE_COPIES[0])
            )
            return [first, await maker.made(log)]

    def rebuilt() -> list[Snapshot]:
        (own / layout.CATALOGUE).unlink()
        rebuild(own, lambda _: {"cold": cold})
        with closing(open_copy(own / layout.CATALOGUE)) as port:
            return [_of_unknown_time(each) for each in port.snapshots.list()]

    made = [_of_unknown_time(each) for each in asyncio.run(run())]
    assert {each.file.store for each in made} == {"cold"}
    forget_all_changes(own)  # so that the first is known from the copy, and the second from there
    assert rebuilt() == made
    cold.delete(made[0].file.path)
    assert rebuilt() == made[1:]


def _of_unknown_time(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, file=replace(snapshot.file, created_ms=0))


def test_of_a_store_that_is_away_the_copy_tells(tmp_path: Path) -> None:
    cold, own = LocalFiles(tmp_path / "cold"), tmp_path / "own"

    async def run() -> None:
        async with running(own, stores={"cold": cold}, warm_bytes_max=0) as store:
            store.stores.choose = lambda _: "cold"
            log = await filled(store, full_frames(0, 10, 5))
            await roll(store, log)
            store.catalogue.call_blocking(
                lambda port: port.copy_to(own / layout.CATALOGUE_COPIES[0])
            )

    asyncio.run(run())
    (own / layout.CATALOGUE).unlink()
    (tmp_path / "cold").rename(tmp_path / "unmounted")
    found = rebuild(own, lambda _: {"cold": cold})
    assert (found.segments, found.segments_missing, found.stores_away) == (1, 0, ("cold",))
