from __future__ import annotations

import asyncio
import time
from pathlib import Path

from cachesvc.alarms.damage_facts import damage_facts, lost_facts
from cachesvc.model import GapCause, LostRange, Mode
from cachesvc.policy.alarm_facts import DamageFacts, LostFacts
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store.ports import PositionCommit, SubscriptionChange, SubscriptionRecord
from cachesvc.subscriptions.subscriptions import Subscriptions
from tests.support.frames import ORDERS, full_frames
from tests.unit.log.running import filled, running

MINUTE_MS = 60_000


def test_what_was_found_of_late_and_what_is_not_mended(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            await filled(store, full_frames(0, 20, 5))
            now_ms = time.time_ns() // 1_000_000
            assert list(damage_facts(store, now_ms)) == []
            for number in range(5):
                store.damages.note(ORDERS, f"f{number}", "torn")
            files = ("f0: torn", "f1: torn", "f2: torn", "and 2 more")
            assert list(damage_facts(store, now_ms)) == [DamageFacts(ORDERS, files, ())]
            later_ms = now_ms + 2 * MINUTE_MS
            assert list(damage_facts(store, later_ms)) == []
            store.mending.note(ORDERS, OffsetRange(3, 7))
            assert list(damage_facts(store, later_ms)) == [DamageFacts(ORDERS, (), ("[3, 7)",))]

    asyncio.run(run())


def test_what_is_lost_as_long_as_somebody_comes_to_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 20, 5))
            for name, offset in {"behind": 6, "through": 7}.items():
                record = SubscriptionRecord(name, "main", ("orders",), "", Mode.FULL, 1, False, 1)
                commit = PositionCommit(name, {ORDERS: offset}, 2)
                change = SubscriptionChange(record)
                await store.catalogue.call(lambda port, c=change: port.put_subscriptions([c]))  # type: ignore[misc]
                await store.catalogue.call(lambda port, c=commit: port.commit_positions([c]))  # type: ignore[misc]
            subscriptions = Subscriptions(store.catalogue, lambda: None)
            now_ms = time.time_ns() // 1_000_000
            log.lose(LostRange(10, 12, GapCause.SOURCE_RETENTION))
            assert list(lost_facts(store, subscriptions, now_ms)) == []
            log.lose(LostRange(3, 7, GapCause.STORE_DAMAGED))
            found = LostFacts(ORDERS, ("[3, 7)",), ("behind",))
            assert list(lost_facts(store, subscriptions, now_ms)) == [found]
            subscriptions.get("behind").positions[ORDERS] = 7
            assert list(lost_facts(store, subscriptions, now_ms)) == []
            store.damages.note(ORDERS, "f", "torn")
            found = LostFacts(ORDERS, ("[3, 7)",), ())
            assert list(lost_facts(store, subscriptions, now_ms)) == [found]
            assert list(lost_facts(store, subscriptions, now_ms + 2 * MINUTE_MS)) == []

    asyncio.run(run())
