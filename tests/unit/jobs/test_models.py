"""The job `models` over a log store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cachesvc.jobs.models import LOAD_TIME, RefreshModels
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId, TopicId
from cachesvc.policy import model_refresh
from cachesvc.policy.models import ChangeKind, path_text
from cachesvc.policy.sealing import SealLimits
from cachesvc.store.model_port import ModelRecord, NotedChange
from tests.support.frames import NOW_MS, ORDERS, flip_bit, frame, record
from tests.unit.log.running import append, ensure, roll, running, until

SECOND = ORDERS.topic_id.partition(1)
OTHER = PartitionId("spare", "items", 1, 0)
HOUR = 3_600_000
SMALL = SealLimits(bytes_max=1 << 40, records_max=10, age_ms_max=1 << 40)


def job(store: LogStore, records_max: int = 10_000, **times: str) -> RefreshModels:
    return RefreshModels(store, 3_600, records_max, lambda name: times.get(name, LOAD_TIME))


async def refresh(store: LogStore, records_max: int = 10_000) -> Mapping[str, int]:
    return await job(store, records_max).run(lambda done, total, message: None)


async def mine(store: LogStore, log: PartitionLog, *values: Any) -> None:
    """Appends a record for each value, null for a tombstone, in a frame of its own."""
    end = log.log_end_offset
    frames = []
    for number, value in enumerate(values):
        text = None if value is None else json.dumps(value)
        frames.append(frame(end + number, end + number + 1, [record(end + number, text)]))
    await append(store, log, frames)


async def model(store: LogStore, topic: TopicId = ORDERS.topic_id) -> ModelRecord:
    found = await store.catalogue.call(lambda port: port.models.get(topic))
    assert found is not None
    return found


async def history(store: LogStore, topic: TopicId = ORDERS.topic_id) -> list[NotedChange]:
    return await store.catalogue.call(lambda port: port.models.changes(topic))


def fields(found: ModelRecord) -> set[str]:
    return {path_text(path) for path in found.model.fields}


def test_a_model_of_all_partitions(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as store:
            one, two = await ensure(store, ORDERS, 0), await ensure(store, SECOND, 100)
            await mine(store, one, {"id": 1, "tags": ["a"]}, None, {"id": 2})
            await mine(store, two, {"id": "x", "after": {"n": None}})
            counts = await refresh(store)
            found = await model(store)
            assert fields(found) == {"$", "$.id", "$.tags", "$.tags[*]", "$.after", "$.after.n"}
            assert found.summary.records_seen == 3
            assert (found.summary.first_ms, found.summary.last_ms) == (NOW_MS, NOW_MS + 100)
            assert found.offsets == {0: 3, 1: 101}
            assert await history(store) == []
            assert counts == {
                "models_refreshed": 1,
                "models_new": 1,
                "records_seen": 3,
                "changes": 0,
                "failures": 0,
            }

    asyncio.run(body())


def test_only_what_is_new_is_looked_at(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            await mine(store, log, *({"id": number} for number in range(20)))
            assert (await refresh(store))["records_seen"] == 20
            first = await model(store)
            assert (await refresh(store))["models_refreshed"] == 0
            assert await model(store) == first
            await mine(store, log, {"id": 1}, {"id": None, "name": "x"})
            assert (await refresh(store))["records_seen"] == 2
            found = await model(store)
            assert found.summary.records_seen == 22
            assert found.offsets == {0: 22}
            assert found.summary.changed_ms == found.summary.refreshed_ms
            noted = [(each.change.kind, each.change.path) for each in await history(store)]
            assert noted == [
                (ChangeKind.TYPE_ADDED, (".id",)),
                (ChangeKind.FIELD_ADDED, (".name",)),
            ]
            await mine(store, log, {"id": 1, "name": "y"})
            await refresh(store)
            assert (await model(store)).summary.changed_ms == found.summary.changed_ms

    asyncio.run(body())


def test_the_newest_of_many_are_looked_at(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as store:
            one, two = await ensure(store, ORDERS, 0), await ensure(store, SECOND, 0)
            for log in (one, two):
                await mine(store, log, *({f"f{number:03}": 1} for number in range(200)))
            assert (await refresh(store, records_max=20))["records_seen"] == 20
            newest = {f"$.f{number:03}" for number in range(190, 200)}
            found = await model(store)
            assert fields(found) == {"$", *newest}
            assert found.offsets == {0: 200, 1: 200}
            assert (await refresh(store, records_max=20))["records_seen"] == 0

    asyncio.run(body())


def test_records_in_segments_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, seal=SMALL, warm_bytes_max=0) as store:
            log = await ensure(store, ORDERS, 0)
            for number in range(4):
                await mine(store, log, *({"id": number, f"s{number}": 1} for _ in range(10)))
            store.writer.roll_due(0)
            await until(lambda: log.sealed_end_offset == 40)
        async with running(tmp_path) as store:
            assert (await refresh(store))["records_seen"] == 40
            assert fields(await model(store)) == {"$", "$.id", "$.s0", "$.s1", "$.s2", "$.s3"}
        async with running(tmp_path) as store:
            assert (await refresh(store))["models_refreshed"] == 0

    asyncio.run(body())


def test_a_damaged_file_fails_its_topic_alone_and_is_tried_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, memory_bytes_max=0, chunk_cache_bytes_max=0) as store:
            one, other = await ensure(store, ORDERS, 0), await ensure(store, OTHER, 0)
            await mine(store, one, {"id": 1})
            await mine(store, other, {"id": 1})
            path = one.journals[0].path
            good = path.read_bytes()
            flip_bit(path, len(good) * 8 - 64)
            counts = await refresh(store)
            assert (counts["failures"], counts["models_refreshed"]) == (1, 1)
            path.write_bytes(good)
            assert (await refresh(store))["models_refreshed"] == 1
            assert (await model(store)).summary.records_seen == 1

    asyncio.run(body())


def test_what_retention_took_is_left_out(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            await mine(store, log, {"old": 1}, {"new": 1})
            log.advance_start(1)
            assert (await refresh(store))["records_seen"] == 1
            assert fields(await model(store)) == {"$", "$.new"}

    asyncio.run(body())


def test_what_was_mined_afterwards_is_looked_at_once_it_is_sealed(tmp_path: Path) -> None:
    async def mine_older(store: LogStore, begin: int, end: int, name: str) -> None:
        store.ranges.reach(ORDERS, begin)
        store.backfill.want("somebody", ORDERS, begin)
        rows = [record(at, json.dumps({name: at})) for at in range(begin, end)]
        older = store.backfill.taking(ORDERS, begin, end)
        await append(store, older, [frame(begin, end, rows)])
        await roll(store, older)
        store.tend()

    async def body() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 100)
            await mine(store, log, *({"new": number} for number in range(10)))
            assert (await refresh(store))["records_seen"] == 10
            await mine_older(store, 20, 40, "below")
            assert (await refresh(store))["records_seen"] == 20
            assert (await refresh(store))["models_refreshed"] == 0
            await mine_older(store, 40, 100, "joined")
            assert len(store.ranges.of(ORDERS)) == 1
            await mine(store, log, {"new": 10})
            assert (await refresh(store, records_max=10))["records_seen"] == 11
            found = await model(store)
            assert found.offsets == {0: 111}
            assert fields(found) == {"$", "$.new", "$.below", "$.joined"}
            assert (await refresh(store))["models_refreshed"] == 0

    asyncio.run(body())


def test_older_ranges_of_a_topic_without_a_model_are_looked_at(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 100)
            await mine(store, log, {"new": 1})
            store.ranges.reach(ORDERS, 20)
            store.backfill.want("somebody", ORDERS, 20)
            older = store.backfill.taking(ORDERS, 20, 21)
            await append(store, older, [frame(20, 21, [record(20, '{"old":1}')])])
            await roll(store, older)
            assert (await refresh(store))["records_seen"] == 2
            assert fields(await model(store)) == {"$", "$.new", "$.old"}

    asyncio.run(body())


def test_tombstones_alone_make_no_model(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as store:
            log = await ensure(store, ORDERS, 0)
            await mine(store, log, None, None)
            assert (await refresh(store))["models_refreshed"] == 0
            await mine(store, log, {"id": 1})
            assert (await refresh(store))["models_new"] == 1

    asyncio.run(body())


def test_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections with few models by the hour, one with many at its time of day."""
    monkeypatch.setattr(model_refresh, "DAILY_FROM_MODELS", 2)

    async def body() -> None:
        async with running(tmp_path) as store:
            for partition in (ORDERS, TopicId("main", "items").partition(0), OTHER):
                await mine(store, await ensure(store, partition, 0), {"id": 1})
            # Not due within the hour, whatever the time of day is.
            models = job(store, main=_minutes_from_now(time.time_ns() // 1_000_000, 180))
            assert await models.next_run_ms(5 * HOUR) == 5 * HOUR, "never refreshed"
            await models.run(lambda done, total, message: None)
            refreshed = await store.catalogue.call(lambda port: port.models.refreshes())
            assert await models.next_run_ms(refreshed["spare"]) == refreshed["spare"] + HOUR
            # As if the last refresh of all was 90 minutes ago: only that of the hour is due.
            past = refreshed["main"] - 90 * HOUR // 60
            for name in ("main", "spare"):
                await store.catalogue.call(lambda port, n=name: port.models.note_refresh(n, past))  # type: ignore[misc]
            at_noon = job(store, main=_minutes_from_now(refreshed["main"], 30))
            for log in store.all():
                await mine(store, log, {"id": 2})
            counts = await at_noon.run_due(lambda done, total, message: None)
            assert counts["models_refreshed"] == 1
            assert (await model(store, OTHER.topic_id)).summary.records_seen == 2
            assert (await model(store)).summary.records_seen == 1
            missed = job(store, main=_minutes_from_now(refreshed["main"], -30))
            counts = await missed.run_due(lambda done, total, message: None)
            assert counts["models_refreshed"] == 2

    asyncio.run(body())


def _minutes_from_now(now_ms: int, minutes: int) -> str:
    moment = datetime.fromtimestamp(now_ms / 1000 + minutes * 60).astimezone()
    return f"{moment:%H:%M}"
