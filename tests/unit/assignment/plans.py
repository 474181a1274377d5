"""Assignments that run within a test, over a cluster that is not there."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cachesvc.assignment.assignments import Assignments
from cachesvc.assignment.mining import Mining
from cachesvc.assignment.readers import JoinedReader
from cachesvc.clusters.matching import TopicMatching
from cachesvc.clusters.sources import Source, Sources
from cachesvc.log.log_store import LogStore
from cachesvc.model import Mode
from cachesvc.policy.topics import topic_matcher
from cachesvc.subscriptions.members import SharingBounds
from cachesvc.subscriptions.subscriptions import Subscriptions, SubscriptionSettings
from tests.unit.clusters.lookups import FakeLookup, source
from tests.unit.log.running import running, until

TIMEOUT_S = 1.0
IDLE_S = 3_600.0
SHARING = SharingBounds(release_s=0.4, stall_s=600)
STALLING = SharingBounds(release_s=0.4, stall_s=0.4)
PATIENT = SharingBounds(release_s=600, stall_s=600)
"""For what has to come by itself, before any bound."""


class Plan:
    """Assignments that run over a store, with what they look at."""

    def __init__(
        self,
        store: LogStore,
        lookup: FakeLookup,
        idle_s: float = IDLE_S,
        sharing: SharingBounds = SHARING,
    ) -> None:
        self.store = store
        self.lookup = lookup
        self.source: Source = source(lookup)
        self.spare: Source = source(FakeLookup(items=1), "spare")
        self.sources = Sources([self.source, self.spare], store.incarnations)
        self.subscriptions = Subscriptions(store.catalogue, self._plan_again, sharing)
        self.mining = Mining.open(store.catalogue, idle_s, 0.1)
        self.tasks, self.commands = self.mining.tasks, self.mining.commands
        self.assignments = Assignments(
            store,
            self.sources,
            lambda: self.subscriptions,
            TIMEOUT_S,
            TopicMatching(topic_matcher),
            self.mining,
        )
        self.silent: list[int] = []
        self.assignments.on_silent = self.silent.append

    def _plan_again(self) -> None:
        self.assignments.plan_again()

    async def want(
        self, *topics: str, name: str = "copies", expression: str = "", connection: str = "main"
    ) -> None:
        """Subscribes."""
        settings = SubscriptionSettings(name, connection, topics, expression, Mode.FULL)
        await self.subscriptions.open(settings)

    def join(self, name: str, pid: int = 1, connection: str = "main") -> JoinedReader:
        """A reader that is never silent, unless a test says so."""
        reader = self.assignments.join(name, connection, pid)
        reader.heard_s = math.inf
        return reader

    def owners(self) -> dict[str, str]:
        """The reader of each topic."""
        return {
            topic: reader.name for reader in self.assignments.readers() for topic in reader.assigned
        }

    async def settled(self, *topics: str) -> dict[str, str]:
        """The readers of topics, once just these are assigned."""
        await until(lambda: set(self.owners()) == set(topics))
        return self.owners()


@asynccontextmanager
async def planning(
    path: Path,
    lookup: FakeLookup,
    idle_s: float = IDLE_S,
    sharing: SharingBounds = SHARING,
) -> AsyncIterator[Plan]:
    async with running(path) as store:
        plan = Plan(store, lookup, idle_s, sharing)
        runs = [
            asyncio.ensure_future(plan.assignments.run()),
            asyncio.ensure_future(plan.subscriptions.run()),
            asyncio.ensure_future(plan.tasks.run()),
        ]
        try:
            yield plan
        finally:
            for run in runs:
                run.cancel()
            await asyncio.wait(runs)


def in_plan(
    path: Path,
    lookup: FakeLookup,
    test: Callable[[Plan], Awaitable[None]],
    idle_s: float = IDLE_S,
) -> None:
    async def run() -> None:
        async with planning(path, lookup, idle_s) as plan:
            await test(plan)

    asyncio.run(run())


def epoch_of(reader: JoinedReader, topic: str) -> int:
    return reader.assigned[topic].epoch
