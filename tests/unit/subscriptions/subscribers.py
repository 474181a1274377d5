"""Subscriptions that run within a test, over a catalogue that a test can hold up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cachesvc.errors import CacheError
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import Mode
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import PositionCommit, SubscriptionChange
from cachesvc.subscriptions.subscriptions import (
    Subscriber,
    Subscription,
    Subscriptions,
    SubscriptionSettings,
)
from tests.support.frames import ORDERS

SECOND = ORDERS.topic_id.partition(1)


class SlowCatalogue(MemoryCatalogue):
    """A catalogue that tells its transactions, and fails when a test wants it to."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[list[PositionCommit]] = []
        self.puts: list[list[str]] = []
        self.error: Exception | None = None

    def commit_positions(self, commits: Sequence[PositionCommit]) -> None:
        if self.error is not None:
            raise self.error
        self.commits.append(list(commits))
        super().commit_positions(commits)

    def put_subscriptions(self, changes: Sequence[SubscriptionChange]) -> None:
        if self.error is not None:
            raise self.error
        self.puts.append([change.record.name for change in changes])
        super().put_subscriptions(changes)


class Setting:
    """Subscriptions that run, over a catalogue that outlives them."""

    def __init__(self, catalogue: SlowCatalogue | None = None) -> None:
        self.catalogue = catalogue or SlowCatalogue()
        self.changes = 0
        self.thread = CatalogueThread(lambda: self.catalogue)
        self.subscriptions = Subscriptions(self.thread, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def open(
        self, name: str = "copies", mode: Mode = Mode.INCREMENTAL, **changes: Any
    ) -> tuple[Subscription, Subscriber]:
        settings = {"connection": "main", "topics": ("orders",), "topic_expression": ""} | changes
        subscription, subscriber = await self.subscriptions.open(
            SubscriptionSettings(name=name, mode=mode, **settings)
        )
        subscriber.delivered.update({ORDERS: 1_000, SECOND: 1_000})
        return subscription, subscriber

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Keeps the catalogue's thread busy, so that what is asked of it meanwhile waits."""
        go = asyncio.Event()
        loop = asyncio.get_running_loop()
        hold = asyncio.ensure_future(
            self.thread.call(lambda _: asyncio.run_coroutine_threadsafe(go.wait(), loop).result())
        )
        await asyncio.sleep(0)
        try:
            yield
        finally:
            go.set()
            await hold


@asynccontextmanager
async def setting(catalogue: SlowCatalogue | None = None) -> AsyncIterator[Setting]:
    made = Setting(catalogue)
    run = asyncio.ensure_future(made.subscriptions.run())
    try:
        yield made
    finally:
        run.cancel()
        made.thread.close()


def in_setting(test: Callable[[Setting], Awaitable[None]]) -> None:
    async def run() -> None:
        async with setting() as made:
            await test(made)

    asyncio.run(run())


async def ended_with(subscriber: Subscriber) -> CacheError:
    return await asyncio.wait_for(subscriber.ended, 30)
