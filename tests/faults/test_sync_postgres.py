"""PostgreSQL killed while a sink writes into it: nothing lost, nothing twice, order kept."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest

from cachesvc.client import Positions
from cachesvc.sync import Sink, TargetUnavailable, TaskContext
from cachesvc.sync.sinks.postgres import POSTGRES
from cachesvc.sync.testing import changes, delivery, put
from tests.faults.killing import rounds
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.postgres, pytest.mark.faults, pytest.mark.timeout(600)]

ROUNDS = rounds(3)
_ROWS = 2_000
_KEYS = 5_000


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


def sink_of(dsn: str) -> Sink:
    given = {
        "conninfo": dsn,
        "password_env": "WAREHOUSE_PASSWORD",
        "table": "counted",
        "leave": ["times"],
        "statement_timeout_s": 5.0,
    }
    return POSTGRES.make(msgspec.convert(given, POSTGRES.settings), TaskContext("counting"))


class Source:
    """Numbers in order, each for one of some keys; goes on wherever it is told to."""

    def __init__(self) -> None:
        self.at = 0

    def rewind(self, kept: Positions | None) -> None:
        assert kept is not None
        self.at = kept["conformance", 0].offset if kept else 0

    async def pump(self, sink: Sink, end: int) -> None:
        """Writes up to a number; opens again as a runner does, from what the target has."""
        writes = [put(n, of=n % _KEYS) for n in range(self.at, min(end, self.at + _ROWS))]
        try:
            if writes:
                await sink.write(delivery(changes(writes)))
                self.at += len(writes)
        except TargetUnavailable:
            await asyncio.sleep(0.05)
            try:
                self.rewind(await sink.open())
            except TargetUnavailable:
                return


def _prepare(server: PostgresServer) -> None:
    """A table whose trigger counts every change of a row, so that none can come twice unseen."""
    server.run("drop table if exists counted, cachesvc_sync_positions")
    server.run(
        "create table counted (id int primary key, number int, times int not null default 1);"
    )
    server.run(
        "create or replace function again() returns trigger language plpgsql as $$ begin "
        "if new.number <= old.number then raise exception 'not in order'; end if; "
        "new.times = old.times + 1; return new; end $$;"
    )
    server.run(
        "create trigger again before update on counted for each row execute function again()"
    )


def _expect(server: PostgresServer, end: int) -> None:
    found = server.run("select id, number, times from counted order by id")
    numbers = {key: list(range(key, end, _KEYS)) for key in range(_KEYS)}
    assert found == [(key, of[-1], len(of)) for key, of in numbers.items()]


def test_killed_at_any_moment_it_has_every_change_once(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", PASSWORD)
    _prepare(server)
    dice = random.Random(7)
    source = Source()

    def kill() -> None:
        time.sleep(dice.uniform(0.01, 0.5))
        server.kill()
        server.start()

    async def story() -> int:
        sink = sink_of(server.dsn.replace("connect_timeout=10", "connect_timeout=2"))
        source.rewind(await sink.open())
        for _ in range(ROUNDS):
            killing = threading.Thread(target=kill)
            killing.start()
            while killing.is_alive():
                await source.pump(sink, 1 << 30)
            await asyncio.to_thread(killing.join)
        end = source.at + 3 * _KEYS
        while source.at < end:
            await source.pump(sink, end)
        await sink.close()
        return end

    _expect(server, asyncio.run(story()))


def test_connections_that_are_cut_lose_and_repeat_nothing(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any byte: in a copy, in a merge, before and after the commit's answer."""
    monkeypatch.setenv("WAREHOUSE_PASSWORD", PASSWORD)
    _prepare(server)
    dice = random.Random(11)
    source = Source()

    with TcpProxy() as proxy:
        proxy.forward_to(server.port)

        async def story() -> int:
            sink = sink_of(server.dsn.replace(f"port={server.port}", f"port={proxy.port}"))
            source.rewind(await sink.open())
            for _ in range(4 * ROUNDS):
                cut = asyncio.ensure_future(asyncio.sleep(dice.uniform(0.001, 0.1)))
                while not cut.done():
                    await source.pump(sink, 1 << 30)
                proxy.drop_connections()
            end = source.at + 2 * _KEYS
            while source.at < end:
                await source.pump(sink, end)
            await sink.close()
            return end

        _expect(server, asyncio.run(story()))
