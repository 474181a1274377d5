"""Leaders that are asked side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import pytest

from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.leaders import Leaders
from cachesvc.mining.kafka.refusals import LeftAlone
from tests.support import virtual_time
from tests.unit.log.running import until

NEVER_S = 60.0


class FakeCluster:
    def __init__(self) -> None:
        self.silent: dict[int, SourceUnreachable] = {}
        self.throttled_s = 0.0

    def silence(self, node: int) -> SourceUnreachable | None:
        return self.silent.get(node)

    def address(self, node: int) -> str:
        return f"h:{node}"


class Nodes:
    """Nodes that answer with their number, after a while."""

    def __init__(self, patience_s: float = 0.2) -> None:
        self.cluster = FakeCluster()
        self.leaders = Leaders(cast(Cluster, self.cluster), patience_s)
        self.delays_s: dict[int, float] = {}
        self.begun: list[int] = []
        self.answered: list[int] = []
        self.errors: dict[int, SourceUnreachable] = {}

    async def _answer(self, node: int) -> int:
        self.begun.append(node)
        await asyncio.sleep(self.delays_s.get(node, 0))
        if node in self.errors:
            raise self.errors[node]
        self.answered.append(node)
        return node

    async def ask(self, *nodes: int) -> dict[int, int | str]:
        async def answer(node: int) -> int:
            return await self._answer(node)

        found: dict[int, Any] = await self.leaders.ask({n: partial(answer, n) for n in nodes})
        return {n: a if isinstance(a, int) else str(a) for n, a in found.items()}


def play(test: Callable[[Nodes], Awaitable[None]], patience_s: float = 0.2) -> None:
    async def run() -> None:
        nodes = Nodes(patience_s)
        try:
            await test(nodes)
        finally:
            await nodes.leaders.close()

    virtual_time.run(run())


def test_all_are_asked_at_once_and_each_answers_for_itself() -> None:
    async def test(nodes: Nodes) -> None:
        nodes.delays_s = {1: 0.05, 2: 0.05}
        nodes.errors = {2: SourceUnreachable("h:2: gone")}
        assert await nodes.ask(1, 2, 3) == {1: 1, 2: "h:2: gone", 3: 3}
        assert nodes.begun == [1, 2, 3]
        assert await nodes.ask() == {}

    play(test, patience_s=NEVER_S)


def test_nobody_waits_for_one_that_was_silent() -> None:
    async def test(nodes: Nodes) -> None:
        nodes.delays_s = {1: NEVER_S}
        nodes.cluster.silent[1] = SourceUnreachable("h:1: no answer in time")
        for _ in range(3):
            assert await nodes.ask(1, 2) == {1: "h:1: no answer in time", 2: 2}
        assert nodes.begun.count(1) == 1, "it is asked once until that is over"
        assert await nodes.ask(1) == {1: "h:1: no answer in time"}

    play(test, patience_s=NEVER_S)


def test_patience_grows_with_a_slow_one() -> None:
    async def test(nodes: Nodes) -> None:
        nodes.delays_s = {1: 0.3}
        assert await nodes.ask(1, 2) == {1: "h:1: no answer yet", 2: 2}
        assert await nodes.ask(1) == {1: "h:1: no answer yet"}
        assert await nodes.ask(1) == {1: 1}
        assert 1 in nodes.answered

    play(test, patience_s=0.1)


def test_one_that_throttles_is_waited_for() -> None:
    async def test(nodes: Nodes) -> None:
        nodes.delays_s = {1: 0.4}
        asking = asyncio.ensure_future(nodes.ask(1))
        await asyncio.sleep(0.05)
        nodes.cluster.throttled_s = 5.0
        assert await asking == {1: 1}

    play(test, patience_s=0.2)


def test_a_question_goes_on_when_nobody_waits_for_it() -> None:
    async def test(nodes: Nodes) -> None:
        nodes.delays_s = {1: 0.1}
        assert await nodes.ask(1) == {1: "h:1: no answer yet"}
        await until(lambda: nodes.answered == [1])

    play(test, patience_s=0.01)


class TestLeftAlone:
    def test_a_failure_stands_for_a_while(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now_s = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now_s)
        brokers = LeftAlone(1.0, 4.0)
        brokers.check("h", 1)
        assert brokers.last("h", 1) is None
        error = ConnectionUnusable("wrong", reason="AUTHENTICATION_FAILED", metadata={"port": 1})
        brokers.note("h", 1, error)
        with pytest.raises(ConnectionUnusable, match="wrong") as raised:
            brokers.check("h", 1)
        assert raised.value.reason == "AUTHENTICATION_FAILED"
        now_s = 101.0
        brokers.check("h", 1)
        assert brokers.last("h", 1) is error, "until it has shown that it is over"
        for _ in range(5):
            brokers.note("h", 1, SourceUnreachable("silent"))
        now_s = 102.9
        with pytest.raises(SourceUnreachable, match="silent"):
            brokers.check("h", 1)
        now_s = 105.1
        brokers.check("h", 1)
        brokers.forget("h", 1)
        assert brokers.last("h", 1) is None
