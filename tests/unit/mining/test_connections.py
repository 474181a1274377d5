"""Connections that come, change and go, and what runs for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import msgspec
import pytest

from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import (
    CacheError,
    NotFound,
    PreconditionFailed,
    ShuttingDown,
    SourceChanged,
)
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.mining.connection_work import ConnectionWork
from cachesvc.mining.connections import Connections
from cachesvc.mining.supervisor import ReaderProcess
from cachesvc.model import PartitionId
from cachesvc.policy.topics import topic_matcher
from cachesvc.settings.connection import ConnectionConfig, parse_connection
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import ConnectionRecord
from tests.unit.clusters.lookups import FakeLookup


class FakeReader:
    """A reader process that is none; ending takes a moment."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.runs = False
        self.killed = False

    async def run(self) -> None:
        self.runs = True
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.runs = False

    def replace(self) -> None:
        self.killed = True


class Stage:
    """Connections with fakes around them.

    Attributes:
        works: What was made to run, in order.
        users: Subscriptions by connection.
        dismissed: Connections whose readers have to join again.
        idle: Connections of which nothing is to be mined.
    """

    def __init__(self, *in_file: ConnectionConfig, port: MemoryCatalogue | None = None) -> None:
        self.port = port or MemoryCatalogue()
        self.thread = CatalogueThread(lambda: self.port)
        self.sources = Sources([])
        self.works: list[ConnectionWork] = []
        self.users: dict[str, list[str]] = {}
        self.dismissed: list[str] = []
        self.idle: set[str] = set()
        self.cached = [PartitionId("spare", "cached", 1, 3)]
        self.connections = Connections(
            in_file,
            self.thread,
            self.sources,
            self._work,
            lambda name: self.users.get(name, []),
            self.dismissed.append,
            lambda: self.cached,
            look_interval_s=60,
        )
        self.sources.subscribe(self._plan)

    def _plan(self) -> None:
        for source in self.sources.all():
            if source.name not in self.idle:
                self.connections.start_readers(source.name)

    def _work(self, config: ConnectionConfig) -> ConnectionWork:
        source = Source(
            config.name,
            config.bootstrap_servers,
            config.topic_expression,
            config.non_json_policy,
            FakeLookup(orders=2, items=1),
            topic_matcher(config.topic_expression),
        )
        reader = cast(ReaderProcess, FakeReader(100 + len(self.works)))
        self.works.append(ConnectionWork(source, [reader]))
        return self.works[-1]

    @property
    def running(self) -> list[str]:
        """The connections whose reader runs, with its pid."""
        readers = [(work.source.name, cast(FakeReader, work.readers[0])) for work in self.works]
        return [f"{name}:{reader.pid}" for name, reader in readers if reader.runs]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Connections]:
        await self.connections.load()
        running = asyncio.ensure_future(self.connections.run())
        await settle()
        try:
            yield self.connections
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            self.thread.close()


async def settle() -> None:
    """Lets tasks get on that wait for nothing."""
    for _ in range(10):
        await asyncio.sleep(0)


def connection(name: str, **settings: Any) -> ConnectionConfig:
    return parse_connection({"name": name, "bootstrap_servers": ["b:1"], **settings}, "test")


def play(stage: Stage, scenario: Callable[[Connections], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with stage.run() as connections, asyncio.timeout(120):
            await scenario(connections)

    asyncio.run(run())


async def refused(change: Coroutine[Any, Any, Any], kind: type[CacheError]) -> CacheError:
    with pytest.raises(kind) as caught:
        await change
    return caught.value


MAIN, SPARE = connection("main"), connection("spare")


def test_those_of_the_file_run_and_are_read_only() -> None:
    stage = Stage(MAIN, SPARE)

    async def scenario(connections: Connections) -> None:
        assert stage.running == ["main:100", "spare:101"]
        assert [(each.config, each.in_file) for each in connections.all()] == [
            (MAIN, True),
            (SPARE, True),
        ]
        changed = connection("main", log_caching=False)
        for change in (connections.update(changed), connections.delete("main")):
            error = await refused(change, PreconditionFailed)
            assert error.reason == "CONNECTION_IN_FILE"
        assert (await refused(connections.create(changed), PreconditionFailed)).reason == (
            "CONNECTION_EXISTS"
        )
        assert stage.running == ["main:100", "spare:101"]
        assert stage.port.list_connections() == []

    play(stage, scenario)
    assert stage.running == []


def test_readers_start_when_something_is_to_be_mined_and_are_kept() -> None:
    stage = Stage(MAIN, SPARE)
    stage.idle = {"main", "spare"}

    async def scenario(connections: Connections) -> None:
        assert [each.source.known for each in connections.all()] == [True, True]
        assert stage.running == []
        await connections.create(connection("third"))
        await connections.update(connection("third", topic_expression="i.*"))
        for _ in range(2):
            connections.start_readers("spare")
            connections.start_readers("unknown")
            await settle()
            assert stage.running == ["spare:101", "third:103"]
        stage.idle.add("third")
        await connections.update(connection("third"))
        await settle()
        assert stage.running == ["spare:101", "third:104"], "kept over a change of settings"
        await connections.delete("third")
        stage.works[-1].start_readers()
        await settle()
        assert stage.running == ["spare:101"], "none of a connection that is gone"

    play(stage, scenario)
    assert stage.running == []
    stage.connections.start_readers("main")
    assert stage.running == []


def test_another_cluster_is_accepted_of_a_connection_of_the_file_too() -> None:
    stage = Stage(MAIN)

    async def scenario(connections: Connections) -> None:
        lookup = stage.works[0].source.lookup
        assert isinstance(lookup, FakeLookup)
        lookup.cluster = {"b:1": "ours"}
        await stage.sources.look(stage.works[0].source)
        lookup.cluster = {"b:1": "theirs"}
        with pytest.raises(SourceChanged):
            await stage.sources.look(stage.works[0].source)
        known, before = await connections.accept("main", "")
        assert (before, known.source.lookup.cluster_id) == ("ours", "theirs")
        assert known.source.error == ""
        await refused(connections.accept("other", ""), NotFound)
        assert (await refused(connections.accept("main", "x"), PreconditionFailed)).reason == (
            "CLUSTER_NOT_FOUND"
        )

    play(stage, scenario)


def test_addresses_may_lead_to_another_cluster_while_nothing_is_cached() -> None:
    stage = Stage()

    async def scenario(connections: Connections) -> None:
        async def moved(name: str) -> str:
            """What the connection means after its addresses were changed."""
            known = await connections.create(connection(name))
            lookup = known.source.lookup
            assert isinstance(lookup, FakeLookup)
            lookup.cluster = {"b:1": "ours"}
            await stage.sources.look(known.source)
            await connections.update(connection(name, topic_expression="i.*"))
            assert connections.get(name).source.lookup.cluster_id == "ours"
            changed = await connections.update(connection(name, bootstrap_servers=["c:1"]))
            return changed.source.lookup.cluster_id

        assert await moved("fresh") == ""
        assert await moved("spare") == "ours", "something of it is cached"

    play(stage, scenario)


def test_one_that_is_made_runs_and_survives() -> None:
    stage = Stage(MAIN)

    async def scenario(connections: Connections) -> None:
        made = await connections.create(SPARE)
        await settle()
        assert stage.running == ["main:100", "spare:101"]
        assert made.created_ms == made.updated_ms is not None
        assert stage.sources.get("spare").topics["cached"] == (3,), "what is cached is known"
        assert stage.sources.get("spare").topics["orders"] == (0, 1), "and what the cluster has"
        error = await refused(connections.create(SPARE), PreconditionFailed)
        assert error.reason == "CONNECTION_EXISTS"

    play(stage, scenario)
    (record,) = stage.port.list_connections()
    assert msgspec.json.decode(record.settings_json, type=ConnectionConfig) == SPARE
    again = Stage(MAIN, port=stage.port)

    async def scenario_again(connections: Connections) -> None:
        assert again.running == ["main:100", "spare:101"]
        assert connections.get("spare").config == SPARE
        assert connections.get("spare").created_ms == record.created_ms

    play(again, scenario_again)


def test_one_that_changes_is_restarted_alone() -> None:
    stage = Stage(MAIN)

    async def scenario(connections: Connections) -> None:
        first = await connections.create(SPARE)
        await settle()
        same = await connections.update(SPARE)
        assert same is first, "nothing to change"
        assert stage.running == ["main:100", "spare:101"]
        narrow = connection("spare", topic_expression="items|cached")
        changed = await connections.update(narrow)
        await settle()
        assert stage.running == ["main:100", "spare:102"]
        assert cast(FakeLookup, stage.works[1].source.lookup).calls[-1] == "close"
        assert changed.created_ms == first.created_ms
        assert set(stage.sources.get("spare").topics) == {"items", "cached"}
        assert stage.port.list_connections()[0].settings_json.count("items|cached") == 1
        assert set(stage.dismissed) == {"spare"}

    play(stage, scenario)


def test_one_that_is_deleted_ends_alone() -> None:
    stage = Stage(MAIN)

    async def scenario(connections: Connections) -> None:
        await connections.create(SPARE)
        stage.users["spare"] = ["billing", "copies"]
        error = await refused(connections.delete("spare"), PreconditionFailed)
        assert error.reason == "CONNECTION_IN_USE"
        assert error.metadata["subscriptions"] == "billing,copies"
        await settle()
        assert stage.running == ["main:100", "spare:101"]
        stage.users.clear()
        await connections.delete("spare")
        assert stage.running == ["main:100"]
        assert stage.port.list_connections() == []
        for call in (connections.delete("spare"), connections.update(SPARE)):
            assert (await refused(call, NotFound)).reason == "UNKNOWN_CONNECTION"
        with pytest.raises(NotFound):
            connections.get("")
        await connections.create(SPARE)
        await settle()
        assert stage.running == ["main:100", "spare:102"]

    play(stage, scenario)


def test_a_catalogue_that_cannot_be_written_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(MAIN)

    def fail(*_: object) -> None:
        raise PreconditionFailed("the disk is full", reason="STORE_WRITE_FAILED")

    async def scenario(connections: Connections) -> None:
        await connections.create(SPARE)
        await settle()
        monkeypatch.setattr(stage.port, "put_connection", fail)
        monkeypatch.setattr(stage.port, "delete_connection", fail)
        for change in (
            connections.create(connection("third")),
            connections.update(connection("spare", agent="x")),
            connections.delete("spare"),
        ):
            assert (await refused(change, PreconditionFailed)).reason == "STORE_WRITE_FAILED"
        assert [each.config for each in connections.all()] == [MAIN, SPARE]
        assert stage.sources.get("spare") is stage.works[1].source
        assert stage.running == ["main:100", "spare:101"]

    play(stage, scenario)


def test_a_caller_that_goes_away_does_not_undo_its_change() -> None:
    stage = Stage(MAIN)

    async def scenario(connections: Connections) -> None:
        change = asyncio.ensure_future(connections.create(SPARE))
        await asyncio.sleep(0)
        change.cancel()
        # Changes follow one another, so this one waits for the end of the one before.
        await connections.create(connection("third"))
        await settle()
        assert stage.running == ["main:100", "spare:101", "third:102"]

    play(stage, scenario)


def test_no_change_once_the_service_ends() -> None:
    stage = Stage(MAIN)

    async def run() -> None:
        async with stage.run() as connections:
            pass
        await refused(connections.create(SPARE), ShuttingDown)

    asyncio.run(run())
    assert stage.port.list_connections() == []


def test_the_file_wins_and_what_makes_no_sense_is_left_out() -> None:
    port = MemoryCatalogue()
    for name, settings in (
        ("main", msgspec.json.encode(connection("main", agent="other")).decode()),
        ("newer", '{"name": "newer", "bootstrap_servers": ["b:1"], "quantum": true}'),
        ("torn", "{"),
        ("good", '{"name": "good", "bootstrap_servers": ["b:1"]}'),
    ):
        port.put_connection(ConnectionRecord(name, settings, 1, 1))
    stage = Stage(MAIN, port=port)

    async def scenario(connections: Connections) -> None:
        assert [each.config.name for each in connections.all()] == ["good", "main"]
        assert connections.get("main").config == MAIN

    play(stage, scenario)
    assert len(port.list_connections()) == 4, "nothing is forgotten"


def test_a_silent_reader_is_replaced_by_its_pid() -> None:
    stage = Stage(MAIN, SPARE)

    async def scenario(connections: Connections) -> None:
        connections.replace_reader(101)
        killed = [cast(FakeReader, work.readers[0]).killed for work in stage.works]
        assert killed == [False, True]
        connections.kill_readers()
        assert all(cast(FakeReader, work.readers[0]).killed for work in stage.works)

    play(stage, scenario)
