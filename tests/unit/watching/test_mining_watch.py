from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from cachesvc.log.estimates import bytes_behind
from cachesvc.policy.throughput import Tally
from cachesvc.watching import mining_watch
from cachesvc.watching.mining_watch import MiningWatch
from tests.support.frames import NOW_MS, ORDERS, full_frames
from tests.unit.log.running import append, ensure, running

SECOND = ORDERS.topic_id.partition(1)


def test_counts_survive_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One moment of one day, however long it takes.
    now = SimpleNamespace(monotonic=lambda: 1_000.0, time_ns=lambda: NOW_MS * 1_000_000)
    monkeypatch.setattr(mining_watch, "time", now)

    async def body() -> None:
        async with running(tmp_path) as store:
            watch = MiningWatch(store.catalogue)
            store.writer.on_published = watch.published
            stored = asyncio.ensure_future(watch.run())
            log = await ensure(store, ORDERS, 0)
            frames = full_frames(0, 100, 10)
            await append(store, log, frames)
            size = sum(frame.encoded_bytes for frame in frames)
            found = watch.activity(ORDERS.topic_id, [log])
            assert found.total == found.today == Tally(100, size, 0)
            assert 9 < found.records_10s <= 10
            assert found.records_60s > 1.6
            assert found.bytes_10s > found.bytes_60s > 0
            stored.cancel()
            await asyncio.gather(stored, return_exceptions=True)
        async with running(tmp_path) as store:
            watch = MiningWatch(store.catalogue)
            found = watch.activity(ORDERS.topic_id, store.logs.of_topic(ORDERS.topic_id))
            assert found.total == found.today == Tally(100, size, 0)
            assert found.records_10s == 0

    asyncio.run(body())


def test_lag_and_times(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as store:
            watch = MiningWatch(store.catalogue)
            one, two = await ensure(store, ORDERS, 0), await ensure(store, SECOND, 0)
            found = watch.activity(ORDERS.topic_id, [one, two])
            assert (found.lag_records, found.lag_bytes, found.lag_s) == (None, 0, 0.0)
            assert (found.first_ms, found.last_ms) == (None, None)
            await append(store, one, full_frames(0, 100, 10))
            await append(store, two, full_frames(0, 20, 10))
            one.source.high_watermark, two.source.high_watermark = 150, 20
            found = watch.activity(ORDERS.topic_id, [one, two])
            assert found.lag_records == 50
            # Half as much again of what the first partition has.
            assert abs(found.lag_bytes - bytes_behind(one, 0) // 2) <= 1
            assert (found.first_ms, found.last_ms) == (NOW_MS, NOW_MS + 99)
            assert found.lag_s > 3_600, "the newest record is of another year"
            one.source.high_watermark = 100
            assert watch.activity(ORDERS.topic_id, [one, two]).lag_s == 0

    asyncio.run(body())
