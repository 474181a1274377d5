"""A backup is a store with what there was at one moment, whatever happens while it is made."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from cachesvc.bounds import Bounds
from cachesvc.errors import PreconditionFailed
from cachesvc.jobs.backup import Backup
from cachesvc.log.log_store import LogStore
from cachesvc.model import Mode
from cachesvc.snapshots.maker import SnapshotMaker
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store import layout
from cachesvc.store.memory_files import MemoryFiles
from cachesvc.store.ports import SubscriptionChange, SubscriptionRecord
from tests.support.frames import ORDERS, full_frames, records, records_of
from tests.unit.log.running import append, filled, read_all, roll, running, settings

COPIES = SubscriptionRecord("copies", "main", ("orders",), "", Mode.FULL, 3, False, 10)


async def made(store: LogStore, directory: Path, kept: int = 3) -> dict[str, int]:
    async with asyncio.timeout(120):
        return dict(await Backup(store, directory, 0.0, kept).run(lambda *step: None))


async def history(store: LogStore) -> None:
    """A segment, a journal that takes appends, and a subscription."""
    log = await filled(store, full_frames(0, 10, 5))
    await roll(store, log)
    await append(store, log, full_frames(10, 20, 5))
    await store.catalogue.call(
        lambda port: port.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 7})])
    )


def only(directory: Path) -> Path:
    (found,) = directory.iterdir()
    return found


def check(path: Path) -> None:
    """What the store in a directory has is what there was."""

    async def run() -> None:
        async with running(path) as store:
            log = store.logs[ORDERS]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)
            await append(store, log, full_frames(20, 25, 5))
            kept = await store.catalogue.call(lambda port: port.list_positions())
            assert kept == {"copies": {ORDERS: 7}}

    asyncio.run(run())


def test_it_is_a_store_as_of_then(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "store") as store:
            await history(store)
            counts = await made(store, tmp_path / "backups")
            assert counts["files"] == 3
            # None of this is in it.
            log = store.logs[ORDERS]
            await append(store, log, full_frames(20, 40, 5))
            await roll(store, log)
            await store.catalogue.call(lambda port: port.delete_subscription("copies"))

    asyncio.run(run())
    check(only(tmp_path / "backups"))
    assert not list((tmp_path / "store" / layout.BACKUP).iterdir())


def test_on_another_file_system_it_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == layout.BACKUP:
            raise OSError(18, "Invalid cross-device link")
        return rename(path, target)

    async def run() -> None:
        async with running(tmp_path / "store") as store:
            await history(store)
            monkeypatch.setattr(Path, "rename", refuse)
            await made(store, tmp_path / "backups")
            monkeypatch.undo()
            (segment,) = store.logs[ORDERS].segments
            copy = only(tmp_path / "backups") / segment.path
            assert os.stat(copy).st_nlink == 1

    asyncio.run(run())
    check(only(tmp_path / "backups"))


def test_only_the_newest_stay_and_nothing_of_others_is_touched(tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    old = ["2020-01-01T00-00-00Z", "2021-01-01T00-00-00Z", "2022-01-01T00-00-00Z.unfinished"]
    for name in (*old, "mine"):
        (directory / name).mkdir(parents=True)

    async def run() -> None:
        async with running(tmp_path / "store") as store:
            await history(store)
            await made(store, directory, 2)

    asyncio.run(run())
    names = sorted(path.name for path in directory.iterdir())
    assert len(names) == 3
    assert old[1] in names
    assert "mine" in names


def test_what_lies_in_other_stores_is_copied_where_that_is_wanted(tmp_path: Path) -> None:
    files = MemoryFiles()
    directory = tmp_path / "backups"

    async def run() -> None:
        async with running(tmp_path / "store", warm_bytes_max=0, stores={"cold": files}) as store:
            store.stores.choose = lambda _: "cold"
            await history(store)
            (segment,) = store.logs[ORDERS].segments
            assert segment.store == "cold"
            bounds = Bounds(64 << 20, 1 << 30, 1, 60.0)
            shelf = Shelf(store, lambda: (), 1)
            made = await SnapshotMaker(store, shelf, bounds).make(
                store.logs[ORDERS], debezium=False, progress=lambda done, total: None
            )
            assert made is not None
            assert made.file.store == "cold"
            steps: list[str] = []
            backup = Backup(store, directory, 0.0, 1, other_stores=True)
            await backup.run(lambda done, total, what: steps.append(what))
            assert "fetching from store cold" in steps
            # The store that runs goes on as it did.
            assert store.logs[ORDERS].segments == [segment]
            retired = await store.catalogue.call(lambda port: port.list_retired())
            assert retired == {}
            files.delete(segment.path)
            with pytest.raises(PreconditionFailed, match="went while it was copied"):
                await backup.run(lambda *step: None)

    asyncio.run(run())
    (path,) = [each for each in directory.iterdir() if "unfinished" not in each.name]
    # There is no other store any more.
    check(path)

    async def look() -> None:
        async with running(path) as store:
            assert {each.store for each in store.logs[ORDERS].segments} == {"local"}
            assert await store.catalogue.call(lambda port: port.list_retired()) == {}
            (snapshot,) = Shelf(store, lambda: (), 1).all()
            assert snapshot.file.store == "local"
            assert (path / snapshot.file.path).stat().st_size == snapshot.file.bytes

    asyncio.run(look())


def test_it_needs_a_place(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            with pytest.raises(PreconditionFailed, match=r"jobs\.backup\.directory"):
                await Backup(store, None, 0.0, 1).run(lambda *step: None)
            (tmp_path / "file").write_text("")
            await history(store)
            with pytest.raises(PreconditionFailed, match="cannot be written"):
                await made(store, tmp_path / "file")

    asyncio.run(run())
    LogStore.open(settings(tmp_path)).close()
