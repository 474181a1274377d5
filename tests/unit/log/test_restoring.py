"""A backup that is restored is the store as it was; a place that has something is left alone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.errors import CacheError, DamagedFile, NotFound, PreconditionFailed, StoreLocked
from cachesvc.jobs.backup import Backup
from cachesvc.log import restoring
from cachesvc.log.log_store import LogStore
from cachesvc.log.restoring import restore
from cachesvc.model import Mode, PartitionId
from cachesvc.store import layout
from cachesvc.store.ports import SubscriptionChange, SubscriptionRecord
from tests.support.frames import ORDERS, flip_bit, full_frames, records, records_of
from tests.unit.log.running import append, filled, read_all, roll, running, settings

COPIES = SubscriptionRecord("copies", "main", ("orders",), "", Mode.FULL, 3, False, 10)


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Two segments, a journal and a subscription; what came behind is not in it."""
    place = tmp_path / "mine" / "backup"

    async def run() -> None:
        async with running(tmp_path / "store") as store:
            log = await filled(store, full_frames(0, 10, 5))
            await roll(store, log)
            await append(store, log, full_frames(10, 20, 5))
            await roll(store, log)
            await append(store, log, full_frames(20, 30, 5))
            change = SubscriptionChange(COPIES, {ORDERS: 7})
            await store.catalogue.call(lambda port: port.put_subscriptions([change]))
            counts = await Backup(store, None, 0.0, 1).run_into(place, lambda *_: None)
            assert counts["files"] == 4
            await append(store, log, full_frames(30, 40, 5))
            await store.catalogue.call(lambda port: port.delete_subscription("copies"))

    asyncio.run(run())
    return place


def found(path: Path) -> tuple[object, dict[str, dict[PartitionId, int]]]:
    async def run() -> tuple[object, dict[str, dict[PartitionId, int]]]:
        async with running(path) as store:
            there = records_of(await read_all(store.reader, store.logs[ORDERS], 0))
            return there, await store.catalogue.call(lambda port: port.list_positions())

    return asyncio.run(run())


def files(path: Path) -> dict[str, bytes]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes()
        for each in path.rglob("*")
        if each.is_file() and each.name != layout.LOCK
    }


@pytest.mark.parametrize("made", [True, False])
def test_it_is_the_store_as_it_was_and_the_backup_stays(
    backup: Path, tmp_path: Path, made: bool
) -> None:
    place = tmp_path / "place"
    if made:
        place.mkdir()
    before = files(backup)
    told: list[tuple[int, int]] = []
    restored = restore(backup, place, lambda done, total, _: told.append((done, total)))
    assert (restored.segments, restored.subscriptions, restored.stores) == (2, 1, ())
    assert restored.files == len(files(place)) == 4
    assert told[-1][0] == told[-1][1] > 0
    assert files(backup) == before
    assert found(place) == (records(0, 30), {"copies": {ORDERS: 7}})
    # Of the second store a backup is made and restored again.
    assert restore(place, tmp_path / "again").segments == 2
    assert found(tmp_path / "again") == (records(0, 30), {"copies": {ORDERS: 7}})


def test_what_is_in_use_or_not_empty_is_left_alone(backup: Path, tmp_path: Path) -> None:
    store = LogStore.open(settings(tmp_path / "used"))
    try:
        with pytest.raises(StoreLocked):
            restore(backup, tmp_path / "used")
        with pytest.raises(StoreLocked):
            restore(tmp_path / "used", tmp_path / "place")
    finally:
        store.close()
    mine = tmp_path / "home"
    mine.mkdir()
    (mine / "letter").write_text("mine")
    for place in (mine, mine / "letter", tmp_path / "used"):
        with pytest.raises(PreconditionFailed, match="is not empty") as caught:
            restore(backup, place)
        assert caught.value.reason == "DIRECTORY_NOT_EMPTY"
    assert [path.name for path in mine.iterdir()] == ["letter"]
    with pytest.raises(NotFound, match="no backup"):
        restore(mine, tmp_path / "place")
    assert not (tmp_path / "place").exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip_footer(path: Path) -> None:
    flip_bit(path, 8 * len(path.read_bytes()) - 100)


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _flip_footer])
def test_a_backup_that_is_not_whole_becomes_no_store(
    backup: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    segment = sorted((backup / layout.LOG).rglob("*.parquet"))[1]
    damage(segment)
    with pytest.raises(DamagedFile, match=segment.name):
        restore(backup, tmp_path / "place")
    assert not files(tmp_path / "place")


def test_one_that_was_killed_is_no_store_and_may_be_begun_again(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_publish", die)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            restore(backup, place)
    with pytest.raises(CacheError, match="cachesvc store restore"):
        LogStore.open(settings(place))
    restore(backup, place)
    assert found(place) == (records(0, 30), {"copies": {ORDERS: 7}})


def test_a_backup_goes_to_an_empty_directory_alone(backup: Path, tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "store") as store:
            job = Backup(store, None, 0.0, 1)
            with pytest.raises(PreconditionFailed) as caught:
                await job.run_into(backup, lambda *_: None)
            assert caught.value.reason == "DIRECTORY_NOT_EMPTY"
            with pytest.raises(PreconditionFailed, match="in the store itself"):
                await job.run_into(tmp_path / "store" / "b", lambda *_: None)
            empty = tmp_path / "empty"
            empty.mkdir()
            await job.run_into(empty, lambda *_: None)

    before = files(backup)
    asyncio.run(run())
    assert files(backup) == before
    assert restore(tmp_path / "empty", tmp_path / "place").subscriptions == 0
