from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from cachesvc.alarms.facts import Observed
from cachesvc.alarms.size_shares import SizeShares
from cachesvc.assignment.mining import Mining
from cachesvc.clusters.sources import Sources
from cachesvc.model import MiningState, Mode, Snapshot
from cachesvc.policy.alarm_facts import (
    Facts,
    ForeignFacts,
    MiningFacts,
    RecoveryFacts,
    StoreFacts,
    TaskFacts,
    UnreadFacts,
)
from cachesvc.policy.cluster_identity import ForeignAddress
from cachesvc.policy.retention import RetentionClock
from cachesvc.policy.sealing import SealLimits
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store.ports import PositionCommit, SubscriptionChange, SubscriptionRecord
from cachesvc.subscriptions.retention import Retention, TopicSize
from cachesvc.subscriptions.store_levels import StoreLevel, StoreLevels
from cachesvc.subscriptions.subscriptions import Subscriptions
from tests.support.frames import NOW_MS, ORDERS, full_frames
from tests.unit.clusters.lookups import FakeLookup, source
from tests.unit.log.running import append, ensure, running, until

SMALL = SealLimits(bytes_max=1 << 40, records_max=10, age_ms_max=1 << 40)


def test_what_is_the_case(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, seal=SMALL) as store:
            log = await ensure(store, ORDERS, 0)
            for base in range(0, 30, 10):
                await append(store, log, full_frames(base, base + 10, 10))
            store.writer.roll_due(0)
            await until(lambda: log.sealed_end_offset == 30)
            await append(store, log, full_frames(30, 35, 5))
            log.source.high_watermark = 45
            positions = {"behind": 12, "in-journal": 31, "done": 35}
            for name, offset in positions.items():
                record = SubscriptionRecord(name, "main", ("orders",), "", Mode.FULL, 1, False, 1)
                commit = PositionCommit(name, {ORDERS: offset}, 2)
                change = SubscriptionChange(record)
                await store.catalogue.call(lambda port, c=change: port.put_subscriptions([c]))  # type: ignore[misc]
                await store.catalogue.call(lambda port, c=commit: port.commit_positions([c]))  # type: ignore[misc]
            here = source(FakeLookup(orders=1))
            size, levels = TopicSize(records_max=50), StoreLevels(store)
            mining = Mining.open(store.catalogue, 1e6, 1e6)
            mining.tasks.enter("main", NOW_MS)
            await mining.commands.stop("main")
            (task,) = mining.tasks.all()
            stopped = TaskFacts("main", stopped=True, failed=False, cause=task.record.cause)
            subscriptions = Subscriptions(store.catalogue, lambda: None)
            shelf = Shelf(store, subscriptions.all, 1)
            observed = Observed(
                store,
                Sources([here]),
                subscriptions,
                mining.tasks,
                Retention(RetentionClock.MINED, 100.0, None, size=size),
                levels,
                SizeShares(store),
                shelf,
            )
            now_ms = NOW_MS + 60_034
            # Retention judges a record by when its segment was mined, which has [10, 20).
            left_s = (log.segments[1].newest_mined_ms + 100_000 - now_ms) / 1000
            # Of the 50 records that stay, 20 are as new as the one at 12 or newer.
            unread = [UnreadFacts("behind", ORDERS, left_s, 100.0, 20 / 50)]
            found = observed.facts(now_ms)
            descriptors = found.descriptors
            assert descriptors is not None
            assert 0 < descriptors.in_use < descriptors.limit
            assert found == Facts([stopped], {}, [], unread, descriptors)

            levels.note("local", StoreLevel(9, 10, 8, "full"))
            assert observed.facts(now_ms).stores == {"local": StoreFacts(10, 8, "full")}
            log.source.state, log.source.error = MiningState.BLOCKED, "why"
            here.error = "no route"
            mined = MiningFacts(ORDERS, MiningState.BLOCKED, "why", 10, 60.0)
            found = observed.facts(now_ms)
            assert (found.unreachable, found.mining) == ({"main": "no route"}, [mined])
            assert found.unread == unread
            here.foreign = (ForeignAddress("k:1", "theirs"),)
            assert observed.facts(now_ms).foreign == {"main": ForeignFacts(here.foreign, "")}
            log.source.state = MiningState.IDLE
            log.advance_start(20)
            (lost,) = observed.facts(now_ms).unread
            assert lost.left_s < 0
            assert observed.facts(now_ms).recoveries == ()
            # Who is in the middle of a snapshot needs the log from its end on.
            snapshot = Snapshot(replace(log.segments[1], base_offset=0, end_offset=35), 0, 1)
            await shelf.publish(snapshot)
            await shelf.begin("behind", {ORDERS: snapshot}, recovers=True)
            found = observed.facts(now_ms)
            assert found.unread == []
            assert found.recoveries == (RecoveryFacts("behind", ORDERS, 35),)

    asyncio.run(body())
