"""Connections that do not wait for answers are hung up on, and no others are looked at."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from cachesvc.serving import floods
from cachesvc.serving.floods import DISTRUSTED_S, SUSPECTED_S, Floods
from cachesvc.serving.own_connections import Address
from cachesvc.watching.calls import Calls
from tests.unit.log.running import until

CALLS_MAX = 10
PEER, ADDRESS = "ipv4:10.0.0.7:4711", ("10.0.0.7", 4711)
FLOOD = 40_000_000
"""Bytes that nothing explains."""


class Connections:
    """Those of a process that are made up: their bytes are what a test says."""

    def __init__(self) -> None:
        self.received: dict[Address, int] = {}
        self.searches: list[set[Address]] = []
        self.looks: Counter[Address] = Counter()
        self.hung_up: list[Address] = []

    def find_connections(self, peers: set[Address]) -> dict[Address, int]:
        self.searches.append(peers)
        return {each: each[1] for each in peers if each in self.received}

    def bytes_received(self, descriptor: int, peer: Address) -> int | None:
        self.looks[peer] += 1
        assert descriptor == peer[1]
        return self.received.get(peer)

    def hang_up(self, descriptor: int, peer: Address) -> bool:
        self.hung_up.append(peer)
        return self.received.pop(peer, None) is not None


class Stage:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.calls = Calls()
        self.connections = Connections()
        self.floods = Floods(CALLS_MAX, self.calls, self.connections, self._clock)

    def _clock(self) -> float:
        self.now_s += 0.001
        return self.now_s

    async def looked(self, address: Address = ADDRESS, times: int = 2) -> None:
        """Returns when a connection was looked at so often again."""
        wanted = self.connections.looks[address] + times
        await until(lambda: self.connections.looks[address] >= wanted)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floods, "LOOK_S", 0.001)


def run(body: Callable[[Stage], Awaitable[None]]) -> Stage:
    stage = Stage()

    async def within() -> None:
        await body(stage)

    asyncio.run(within())
    return stage


def test_a_connection_that_goes_on_while_it_is_refused_is_hung_up_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def body(stage: Stage) -> None:
        stage.connections.received[ADDRESS] = 5_000
        stage.floods.refused(PEER)
        await stage.looked()
        assert stage.connections.hung_up == []
        stage.connections.received[ADDRESS] += FLOOD
        await until(lambda: stage.calls.hung_up == 1)

    with caplog.at_level(logging.WARNING):
        stage = run(body)
    assert stage.connections.hung_up == [ADDRESS]
    told = [(each.__dict__["event"], each.__dict__["address"]) for each in caplog.records]
    assert told == [("flooding_connection", ADDRESS[0])]


def test_one_whose_calls_were_all_heard_is_not() -> None:
    async def body(stage: Stage) -> None:
        stage.connections.received[ADDRESS] = 0
        stage.floods.refused(PEER)
        await stage.looked()
        for _ in range(20):
            stage.floods.hear(PEER, FLOOD // 20)
        stage.connections.received[ADDRESS] = FLOOD
        await stage.looked()

    assert run(body).connections.hung_up == []


def test_one_that_is_not_refused_is_neither_looked_for_nor_looked_at() -> None:
    async def body(stage: Stage) -> None:
        stage.connections.received[ADDRESS] = FLOOD
        stage.floods.hear(PEER, 1)
        stage.floods.refused("unix:")
        await asyncio.sleep(0.02)

    stage = run(body)
    assert stage.connections.searches == []
    assert not stage.connections.looks


def test_nobody_looks_any_more_once_a_connection_was_not_refused_for_long() -> None:
    async def body(stage: Stage) -> None:
        stage.connections.received[ADDRESS] = 0
        stage.floods.refused(PEER)
        await stage.looked()
        stage.now_s += SUSPECTED_S - 1
        stage.floods.refused(PEER)
        stage.now_s += SUSPECTED_S - 1
        await stage.looked()
        stage.now_s += 2
        await until(lambda: len(asyncio.all_tasks()) == 1)
        stage.floods.refused(PEER)
        await stage.looked()

    assert run(body).connections.searches == [{ADDRESS}, {ADDRESS}]


def test_a_connection_that_has_ended_is_forgotten() -> None:
    async def body(stage: Stage) -> None:
        stage.floods.refused(PEER)
        await until(lambda: len(stage.connections.searches) == 1)
        stage.connections.received[ADDRESS] = 0
        await asyncio.sleep(0.02)
        stage.floods.refused(PEER)  # a new one with its port
        await stage.looked()
        del stage.connections.received[ADDRESS]
        await stage.looked(times=1)

    assert run(body).connections.searches == [{ADDRESS}, {ADDRESS}]


def test_others_of_its_address_are_trusted_less_for_a_while() -> None:
    between = 8_000_000  # more than distrusted ones may have, less than others

    async def sends(stage: Stage, number: int, size: int) -> Address:
        address = ("10.0.0.7", number)
        stage.connections.received[address] = 0
        stage.floods.refused(f"ipv4:10.0.0.7:{number}")
        await stage.looked(address)
        stage.connections.received[address] = size
        await stage.looked(address, 1)
        return address

    async def body(stage: Stage) -> None:
        hung_up = stage.connections.hung_up
        assert await sends(stage, 1, between) not in hung_up
        assert await sends(stage, 2, FLOOD) in hung_up
        assert await sends(stage, 3, between) in hung_up
        stage.now_s += DISTRUSTED_S
        assert await sends(stage, 4, between) not in hung_up

    run(body)


def test_no_more_connections_are_looked_at_than_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floods, "SUSPECTS_MAX", 3)

    async def body(stage: Stage) -> None:
        for number in range(10):
            stage.connections.received["10.0.0.7", number] = 0
            stage.floods.refused(f"ipv4:10.0.0.7:{number}")
        await stage.looked(("10.0.0.7", 0))

    assert sum(map(len, run(body).connections.searches)) == 3


def test_nothing_is_left_running_without_suspects() -> None:
    async def body(stage: Stage) -> None:
        stage.connections.received[ADDRESS] = 0
        stage.floods.refused(PEER)
        await stage.looked()
        del stage.connections.received[ADDRESS]
        await until(lambda: len(asyncio.all_tasks()) == 1)

    run(body)
