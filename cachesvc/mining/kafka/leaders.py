"""Questions to several leaders at once, of which one that is silent holds up no other."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from cachesvc.errors import SourceUnreachable
from cachesvc.mining.kafka.cluster import Cluster

T = TypeVar("T")
_PATIENCE_S = 2.0
_PATIENCE_MAX_S = 10.0


class Leaders:
    """Asks the nodes of one cluster side by side. Belongs to one event loop.

    Args:
        cluster: Sends the questions.
        patience_s: How long a node's answer is waited for; twice as long, up to 10 s, after each
            time that it came later; what brokers throttle is added. A question goes on when nobody
            waits for it any more.
    """

    def __init__(self, cluster: Cluster, patience_s: float = _PATIENCE_S) -> None:
        self._cluster = cluster
        self._patience_s = patience_s
        self._patience: dict[int, float] = {}
        self._asking: set[asyncio.Task[Any]] = set()
        self._probes: dict[int, asyncio.Task[Any]] = {}

    async def ask(
        self, questions: Mapping[int, Callable[[], Coroutine[Any, Any, T]]]
    ) -> dict[int, T | SourceUnreachable]:
        """The answer of each node, or why there is none.

        A node that was silent the last time is asked, and not waited for: it has to show that it is
        back before anybody does.
        """
        silent = {node: error for node in questions if (error := self._cluster.silence(node))}
        for node in silent:
            self._probe(node, questions[node])
        asking = {node: self._begin(ask) for node, ask in questions.items() if node not in silent}
        if asking:
            await self._wait(asking)
        return {**silent, **{node: self._answer(node, task) for node, task in asking.items()}}

    async def _wait(self, asking: Mapping[int, "asyncio.Task[Any]"]) -> None:
        patience_s = max(self._patience.get(node, self._patience_s) for node in asking)
        began_s, told_s = time.monotonic(), self._cluster.throttled_s
        waiting = set(asking.values())
        while waiting:
            # A broker that throttles is not away.
            allowed_s = patience_s + self._cluster.throttled_s - told_s
            left_s = began_s + allowed_s - time.monotonic()
            if left_s <= 0:
                return
            _, waiting = await asyncio.wait(waiting, timeout=left_s)

    def _answer(
        self, node: int, task: "asyncio.Task[T | SourceUnreachable]"
    ) -> T | SourceUnreachable:
        if task.done():
            self._patience.pop(node, None)
            return task.result()
        longer_s = 2 * self._patience.get(node, self._patience_s)
        self._patience[node] = min(longer_s, _PATIENCE_MAX_S)
        return SourceUnreachable(f"{self._cluster.address(node)}: no answer yet")

    def _probe(self, node: int, ask: Callable[[], Coroutine[Any, Any, T]]) -> None:
        before = self._probes.get(node)
        if before is None or before.done():
            self._probes[node] = self._begin(ask)

    def _begin(
        self, ask: Callable[[], Coroutine[Any, Any, T]]
    ) -> "asyncio.Task[T | SourceUnreachable]":
        task = asyncio.create_task(_unless_away(ask))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        return task

    async def close(self) -> None:
        """Drops questions that are under way. Idempotent."""
        asking = list(self._asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _unless_away(ask: Callable[[], Coroutine[Any, Any, T]]) -> T | SourceUnreachable:
    try:
        return await ask()
    except SourceUnreachable as error:
        return error
