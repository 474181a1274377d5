"""Members of a shared subscription, over a store and a cluster that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cachesvc.errors import CacheError
from cachesvc.model import TopicId
from cachesvc.serving.batches import Batches
from cachesvc.serving.convert import subscribe_call
from cachesvc.serving.subscribing import Subscribing
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.members import SharingBounds
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.watching.deliveries import Deliveries
from tests.support.frames import full_frame
from tests.unit.assignment.plans import SHARING, Plan, planning
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import until

ORDERS = TopicId("main", "orders")


class Worker:
    """A member's client: what it was told, and what follows from that."""

    def __init__(self) -> None:
        self.told: list[pb.SubscribeResponse] = []
        self.epochs: dict[int, int] = {}
        self.starts: dict[int, int] = {}
        self.revoked: dict[int, int] = {}
        self.rows: list[tuple[int, int]] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.serving: asyncio.Future[None]
        self.hurries = False
        self.holds_at = 0
        """With so many partitions it takes nothing any more; 0: it never stops."""

    async def write(self, event: bytes) -> None:
        await self.takes.wait()
        await asyncio.sleep(0)
        message = pb.SubscribeResponse.FromString(event)
        self.told.append(message)
        if message.HasField("ended") and self.hurries:
            self.serving.cancel()
            await asyncio.sleep(0)
        for at in (*message.started.positions, *message.partitions_assigned.positions):
            self.epochs[at.partition], self.starts[at.partition] = at.epoch, at.offset
            self.revoked.pop(at.partition, None)
        for at in message.partitions_revoked.positions:
            assert self.epochs.pop(at.partition) == at.epoch
            self.revoked[at.partition] = at.offset
        if self.holds_at and len(self.epochs) == self.holds_at:
            self.takes.clear()
        if message.HasField("batch"):
            number = message.batch.partition
            assert number in self.epochs, "nothing comes of what is not this member's"
            self.rows += [(number, record.offset) for record in message.batch.records]

    @property
    def has(self) -> list[int]:
        return sorted(self.epochs)

    def offsets(self, number: int) -> list[int]:
        return [offset for of, offset in self.rows if of == number]

    def heard(self, kind: str) -> list[Any]:
        return [getattr(each, kind) for each in self.told if each.WhichOneof("event") == kind]

    @property
    def failure(self) -> CacheError:
        error = self.serving.exception()
        assert isinstance(error, CacheError)
        return error


class Workers:
    """Subscribe calls to the services of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.lookup = plan, plan.lookup
        self.shelf = Shelf(plan.store, plan.subscriptions.all, 1)
        self._subscribing = Subscribing(
            plan.store,
            plan.sources,
            plan.subscriptions,
            plan.assignments,
            Batches(plan.store.reader, 1 << 20),
            self.shelf,
            0.05,
            Deliveries(),
        )

    @asynccontextmanager
    async def open(
        self, member: str = "", holds_at: int = 0, **request: Any
    ) -> AsyncIterator[Worker]:
        request = {
            "topics": ["orders"],
            "mode": pb.FULL_AND_INCREMENTAL,
            "encoding": pb.RECORDS,
            "sharing": pb.SHARED,
            "member": member,
            **request,
        }
        worker = Worker()
        worker.holds_at = holds_at
        call = subscribe_call(
            pb.SubscribeRequest(subscription="copies", connection="main", **request)
        )
        worker.serving = asyncio.ensure_future(self._subscribing.serve(call, worker.write))
        try:
            await until(lambda: bool(worker.told) or worker.serving.done())
            yield worker
        finally:
            worker.serving.cancel()
            await asyncio.gather(worker.serving, return_exceptions=True)

    async def mine(self, number: int, begin: int, end: int) -> None:
        log = self.plan.store.get(ORDERS.partition(number))
        assert log is not None
        await self.plan.store.writer.accept(log, full_frame(begin, end))

    async def mine_all(self, end: int, partitions: int = 4) -> None:
        await self.plan.assignments.create_logs(self.plan.source, ["orders"])
        for number in range(partitions):
            await self.mine(number, 0, end)
            self.lookup.ends["orders", number] = end

    async def commit(self, positions: Mapping[int, int], epochs: Mapping[int, int]) -> None:
        await self.plan.subscriptions.commit(
            "copies",
            self.plan.subscriptions.get("copies").record.epoch,
            {ORDERS.partition(n): offset for n, offset in positions.items()},
            {ORDERS.partition(n): epochs[n] for n in positions},
        )

    @property
    def stored(self) -> dict[int, int]:
        positions = self.plan.subscriptions.get("copies").positions
        return {partition.partition: offset for partition, offset in positions.items()}


def play(
    path: Path,
    test: Callable[[Workers], Awaitable[None]],
    partitions: int = 4,
    sharing: SharingBounds = SHARING,
) -> None:
    async def run() -> None:
        async with planning(path, FakeLookup(orders=partitions), sharing=sharing) as plan:
            plan.join("reader")
            await test(Workers(plan))

    asyncio.run(run())
