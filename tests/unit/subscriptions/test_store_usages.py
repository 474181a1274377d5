"""What stores hold, over a log store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from cachesvc.clusters.sources import Sources
from cachesvc.errors import NotFound
from cachesvc.model import Mode, TopicId
from cachesvc.policy.incarnations import next_incarnation
from cachesvc.policy.retention import RetentionClock
from cachesvc.policy.size_limits import held_by
from cachesvc.serving.admin.retention import RetentionAdmin
from cachesvc.store import layout
from cachesvc.store.drops_port import DropCause, DropRecord
from cachesvc.store.ports import PositionCommit, SubscriptionChange, SubscriptionRecord
from cachesvc.subscriptions.retention import Retention, TopicSize
from cachesvc.subscriptions.store_levels import StoreLevel, StoreLevels
from cachesvc.subscriptions.store_usages import StoreUsages
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.v1 import retention_pb2 as pb
from tests.support.frames import full_frames
from tests.unit.clusters.lookups import FakeLookup, source
from tests.unit.log.running import append, ensure, roll, running

ORDERS, ITEMS = TopicId("main", "orders"), TopicId("main", "items")


def test_who_holds_what_and_who_has_still_to_read_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            logs = [
                await ensure(store, topic.partition(0), 0)
                for topic in (ORDERS, next_incarnation(ORDERS), ITEMS)
            ]
            for log, segments in zip(logs, (1, 2, 1), strict=True):
                for _ in range(segments):
                    base = log.log_end_offset
                    await append(store, log, full_frames(base, base + 100, 50))
                    await roll(store, log)
            await append(store, logs[2], full_frames(100, 110, 10))
            positions = {
                "far": {ORDERS.partition(0): 100},
                "near": {next_incarnation(ORDERS).partition(0): 150},
                "done": {next_incarnation(ORDERS).partition(0): 200},
            }
            for name, places in positions.items():
                record = SubscriptionRecord(name, "main", ("orders",), "", Mode.FULL, 1, False, 1)
                commit = PositionCommit(name, places, 2)
                change = SubscriptionChange(record)
                await store.catalogue.call(lambda port, c=change: port.put_subscriptions([c]))  # type: ignore[misc]
                await store.catalogue.call(lambda port, c=commit: port.commit_positions([c]))  # type: ignore[misc]
            levels = StoreLevels(store)
            levels.note("local", StoreLevel(1, 2, 3, "of too much"))
            size = TopicSize(5_000, None, 1 << 40)
            usages = StoreUsages(
                store,
                Retention(RetentionClock.MINED, 1e6, None, size=size),
                Subscriptions(store.catalogue, lambda: None),
                {"local": 1 << 30},
                levels,
                {"local": 77}.__getitem__,
            )
            (found,) = await usages.list()
            first, second = logs[1].segments
            sizes = {log: sum(map(held_by, log.segments)) for log in logs}
            assert found.segment_bytes == sum(sizes.values())
            assert found.journal_bytes == logs[2].journals[-1].bytes > 0
            assert found.warm_bytes == sum(
                e.bytes for log in logs for e in log.journals if e.sealed
            )
            assert (found.retired_bytes, found.bytes_max, found.full) == (0, 1 << 30, "of too much")
            orders, items = found.topics
            assert (orders.topic, orders.bytes) == (
                ("main", "orders"),
                sizes[logs[0]] + sizes[logs[1]],
            )
            assert (orders.records, items.records) == (300, 110)
            assert orders.oldest_mined_ms == logs[0].segments[0].oldest_mined_ms
            assert (orders.unread_by, orders.unread_bytes) == (
                "far",
                held_by(first) + held_by(second),
            )
            assert (items.unread_by, items.unread_bytes) == ("", 0)
            await store.expire(logs[0], logs[0].segments, 100)
            kept = layout.quarantine_path(store.path, store.path / "log/a.parquet", 5)
            kept.write_bytes(b"damaged")
            (found,) = await usages.list("local")
            assert found.quarantine_bytes == 7
            assert found.retired_bytes == sizes[logs[0]]

            drop = DropRecord(5, "main", "orders", DropCause.TOPIC_BYTES, "", 1, 100, 7, "too much")
            await store.catalogue.call(lambda port: port.drops.add([drop]))
            sources = Sources([source(FakeLookup(orders=1), "main")])
            admin = RetentionAdmin(store.catalogue, sources, usages)
            await _ask(admin)
            with pytest.raises(NotFound, match="no store 'cold'; there are: local"):
                await usages.list("cold")

    asyncio.run(run())


async def _ask(admin: RetentionAdmin) -> None:
    context = cast(Any, None)
    answer = await admin.ListStoreUsage(pb.ListStoreUsageRequest(), context)
    (store,) = answer.stores
    assert (store.store, store.bytes_max, store.full) == ("local", 1 << 30, "of too much")
    parts = store.segment_bytes, store.journal_bytes, store.warm_bytes, store.retired_bytes
    assert (store.snapshot_bytes, store.bytes) == (77, 77 + sum(parts))
    orders, items = store.topics
    assert (orders.topic, orders.unread_by, orders.is_protected) == ("orders", "far", True)
    assert (orders.bytes_max, orders.HasField("records_max")) == (5_000, False)
    assert (items.topic, items.unread_by) == ("items", "")
    drops = await admin.ListDrops(pb.ListDropsRequest(connection="main", topic="orders"), context)
    assert list(drops.drops) == [
        pb.Drop(
            at_ms=5,
            connection="main",
            topic="orders",
            cause=pb.DROP_CAUSE_TOPIC_BYTES,
            segments=1,
            records=100,
            bytes=7,
            detail="too much",
        )
    ]
    none = await admin.ListDrops(pb.ListDropsRequest(topic="items"), context)
    assert list(none.drops) == []
