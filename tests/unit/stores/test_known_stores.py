"""Stores made over Admin: kept, exactly one default, and never removed while somebody uses them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cachesvc.app.stores import open_made
from cachesvc.errors import InvalidConfig, NotFound, PreconditionFailed
from cachesvc.log.log_store import LogStore
from cachesvc.model import TopicId
from cachesvc.settings.config import Config, StoreConfig
from cachesvc.settings.connection import ConnectionConfig
from cachesvc.settings.stores import StoreEntry, parse_store
from cachesvc.store.file_store import FileStore
from cachesvc.store.local_files import LocalFiles
from cachesvc.stores import KnownStores
from tests.support.frames import ORDERS, full_frames
from tests.unit.log.running import append, ensure, roll, running

MAIN = ConnectionConfig(name=ORDERS.connection, bootstrap_servers=("k:9092",))


def directory(name: str, tmp_path: Path, **settings: Any) -> StoreEntry:
    return StoreEntry(name=name, kind="directory", path=str(tmp_path / name), **settings)


def opened(entry: StoreEntry) -> FileStore:
    return LocalFiles(Path(entry.path))


@asynccontextmanager
async def known(
    tmp_path: Path,
    in_file: Sequence[StoreEntry] = (),
    connections: Sequence[ConnectionConfig] = (MAIN,),
) -> AsyncIterator[tuple[KnownStores, LogStore]]:
    config = Config(store=StoreConfig(path=str(tmp_path / "own")), stores=tuple(in_file))
    files = {entry.name: opened(entry) for entry in in_file}
    async with running(
        tmp_path / "own", stores=files, open_stores=open_made(config), warm_bytes_max=0
    ) as store:
        local = directory("local", tmp_path)
        stores = KnownStores(
            [local, *in_file],
            store,
            opened,
            opened,
            lambda: connections,
            {each.name: each for each in connections}.get,
        )
        await stores.load()
        store.stores.choose = stores.choose
        yield stores, store


async def sealed(store: LogStore, begin: int, end: int) -> None:
    log = await ensure(store, ORDERS, 0)
    await append(store, log, full_frames(begin, end, 5))
    await roll(store, log)


async def refused(call: Callable[[], Any]) -> PreconditionFailed:
    with pytest.raises(PreconditionFailed) as caught:
        await call()
    return caught.value


def test_one_that_was_made_takes_what_is_sealed_and_survives_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        async with known(tmp_path) as (stores, store):
            made = await stores.create(directory("cold", tmp_path, default=True))
            assert made.connections == (MAIN.name,)
            await sealed(store, 0, 10)
        async with known(tmp_path) as (stores, store):
            cold = await stores.state("cold")
            assert (cold.segments, cold.entry.default) == (1, True)
            assert cold.topics == (f"{ORDERS.connection}/{ORDERS.topic}",)
            assert cold.bytes == store.logs[ORDERS].segments[0].bytes > 0
            local = await stores.state("local")
            assert (local.segments, local.entry.default, local.connections) == (0, False, ())
            assert [each.entry.name for each in await stores.states()] == ["local", "cold"]

    asyncio.run(run())


def test_exactly_one_is_the_default(tmp_path: Path) -> None:
    async def defaults(stores: KnownStores) -> list[str]:
        return [each.entry.name for each in await stores.states() if each.entry.default]

    async def run() -> None:
        async with known(tmp_path) as (stores, _):
            assert await defaults(stores) == ["local"]
            await stores.create(directory("a", tmp_path, default=True))
            assert await defaults(stores) == ["a"]
            await stores.create(directory("b", tmp_path, default=True))
            assert await defaults(stores) == ["b"]
            await stores.update(directory("a", tmp_path, default=True))
        async with known(tmp_path) as (stores, _):
            assert await defaults(stores) == ["a"]
            await stores.delete("b")
            await stores.update(directory("a", tmp_path))
            assert await defaults(stores) == ["local"]

    asyncio.run(run())


def test_the_default_of_the_file_stays(tmp_path: Path) -> None:
    async def run() -> None:
        in_file = [directory("filed", tmp_path, default=True)]
        async with known(tmp_path, in_file) as (stores, _):
            error = await refused(lambda: stores.create(directory("b", tmp_path, default=True)))
            assert error.reason == "STORE_IN_FILE"
            assert stores.choose(ORDERS.topic_id) == "filed"
            for call in (
                lambda: stores.update(directory("filed", tmp_path)),
                lambda: stores.delete("filed"),
                lambda: stores.delete("local"),
            ):
                assert (await refused(call)).reason == "STORE_IN_FILE"
            error = await refused(lambda: stores.create(directory("filed", tmp_path)))
            assert error.reason == "STORE_EXISTS"

    asyncio.run(run())


def test_one_in_use_is_not_removed_and_the_error_names_who_uses_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with known(tmp_path) as (stores, store):
            await stores.create(directory("cold", tmp_path))
            await stores.place(ORDERS.connection, ORDERS.topic, "cold")
            await sealed(store, 0, 10)
            error = await refused(lambda: stores.delete("cold"))
            assert error.reason == "STORE_IN_USE"
            assert f"topics {ORDERS.connection}/{ORDERS.topic}" in str(error)
            elsewhere = StoreEntry(name="cold", kind="directory", path=str(tmp_path / "other"))
            error = await refused(lambda: stores.update(elsewhere))
            assert error.reason == "STORE_IN_USE"
            assert str(tmp_path / "cold") in str(error)
            await stores.place(ORDERS.connection, ORDERS.topic, "local")
            assert "topics" in str(await refused(lambda: stores.delete("cold"))), "files are there"

    asyncio.run(run())


def test_a_connection_that_names_it_uses_it(tmp_path: Path) -> None:
    async def run() -> None:
        uses = ConnectionConfig(name="main", bootstrap_servers=("k:9092",), store="cold")
        async with known(tmp_path, connections=[uses]) as (stores, _):
            with pytest.raises(InvalidConfig, match="cold"):
                stores.check(uses)
            await stores.create(directory("cold", tmp_path))
            stores.check(uses)
            assert stores.choose(TopicId("main", "any")) == "cold"
            assert "connections main" in str(await refused(lambda: stores.delete("cold")))

    asyncio.run(run())


def test_one_that_nobody_uses_is_removed_for_good(tmp_path: Path) -> None:
    async def run() -> None:
        async with known(tmp_path) as (stores, _):
            await stores.create(directory("cold", tmp_path))
            await stores.delete("cold")
            with pytest.raises(NotFound, match="there are: local"):
                await stores.state("cold")
        async with known(tmp_path) as (stores, _):
            assert [each.entry.name for each in await stores.states()] == ["local"]

    asyncio.run(run())


def test_a_topic_lies_where_it_was_moved_rather_than_where_its_connection_does(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        other = TopicId(ORDERS.connection, "other")
        async with known(tmp_path) as (stores, store):
            await stores.create(directory("cold", tmp_path))
            await stores.create(directory("warm", tmp_path))
            await sealed(store, 0, 10)
            found = await stores.place(ORDERS.connection, ORDERS.topic, "cold")
            assert found == store.logs[ORDERS].segments
            assert (stores.choose(ORDERS.topic_id), stores.choose(other)) == ("cold", "local")
            assert await stores.place(ORDERS.connection, "", "warm") == found
            assert (stores.choose(ORDERS.topic_id), stores.choose(other)) == ("warm", "warm")
        async with known(tmp_path) as (stores, _):
            assert stores.choose(ORDERS.topic_id) == "warm"
            await stores.forget(ORDERS.connection)
            assert stores.choose(ORDERS.topic_id) == "local"
            with pytest.raises(NotFound):
                await stores.place(ORDERS.connection, "", "nowhere")

    asyncio.run(run())


def test_the_last_test_is_remembered(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "file").write_text("no directory")
        wrong = StoreEntry(name="wrong", kind="directory", path=str(tmp_path / "file"))
        async with known(tmp_path) as (stores, _):
            await stores.create(directory("cold", tmp_path))
            await stores.create(wrong)
            checks = [check async for check in stores.test("cold")]
            assert {check.works for check in checks} == {True}
            checks = [check async for check in stores.test("wrong")]
            assert [check.name for check in checks if check.works is False] == ["list"]
        async with known(tmp_path) as (stores, _):
            cold, wrong_one = await stores.state("cold"), await stores.state("wrong")
            assert cold.tested is not None
            assert cold.tested.failed == ""
            assert wrong_one.tested is not None
            assert wrong_one.tested.failed == "list"

    asyncio.run(run())


def test_one_whose_credentials_are_missing_keeps_no_service_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = parse_store(
        {"name": "away", "kind": "s3", "bucket": "b", "endpoint": "http://127.0.0.1:1"}
        | {"access_key_env": "T_ACCESS", "secret_key_env": "T_SECRET", "retry_s": 0},
        "test",
    )

    async def run() -> None:
        async with known(tmp_path) as (stores, _):
            await stores.create(entry)
        async with known(tmp_path) as (stores, store):
            with pytest.raises(PreconditionFailed, match="T_ACCESS"):
                list(store.stores.files("away").list("log"))
            monkeypatch.setenv("T_ACCESS", "a")
            monkeypatch.setenv("T_SECRET", "s")
            with pytest.raises(PreconditionFailed, match="cannot be read"):
                list(store.stores.files("away").list("log"))
            assert (await stores.state("away")).entry == entry

    asyncio.run(run())
