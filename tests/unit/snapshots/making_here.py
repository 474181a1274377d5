"""Snapshots made in the process of the test, which is faster than one of their own."""

from __future__ import annotations

import asyncio

from cachesvc.bounds import Bounds
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Snapshot
from cachesvc.snapshots.maker import Progress, SnapshotMaker
from cachesvc.snapshots.making import make_snapshot
from cachesvc.snapshots.order import Made, Order
from cachesvc.snapshots.shelf import Shelf

_BOUNDS = Bounds(64 << 20, 1 << 30, 1, 60.0)


class HereMaker(SnapshotMaker):
    """Makes snapshots in this process."""

    def __init__(self, store: LogStore, shelf: Shelf) -> None:
        super().__init__(store, shelf, _BOUNDS)

    async def made(self, log: PartitionLog) -> Snapshot:
        """The snapshot of all that is sealed."""
        made = await self.make(log, debezium=False, progress=lambda done, total: None)
        assert made is not None
        return made

    async def _run(self, order: Order, progress: Progress) -> Made:
        made = await asyncio.to_thread(make_snapshot, order, _BOUNDS, f"{order.store}/x", progress)
        file = made.file
        times = file.min_timestamp_ms, file.max_timestamp_ms
        return Made(file.path, file.record_count, file.bytes, *times, made.read_count)
