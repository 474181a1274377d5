"""When files of what was retired are deleted, by the sweep and by retention itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.sweep import Sweep
from cachesvc.log.log_store import LogStore
from cachesvc.model import Segment
from cachesvc.policy.retention import RetentionClock
from cachesvc.store import layout
from cachesvc.store.quarantine import quarantined_bytes
from cachesvc.subscriptions.retention import Retention
from tests.support.frames import full_frames
from tests.unit.log.running import filled, roll, running

HOUR_MS = 3_600_000


def retired_files(store: LogStore, age_s: float, grace_s: float) -> RetiredFiles:
    return RetiredFiles(store, Retention(RetentionClock.MINED, age_s), grace_s)


async def retired(store: LogStore, at_ms: int) -> Segment:
    """A segment that was retired then, its file still there."""
    log = await filled(store, full_frames(0, 10, 5))
    await roll(store, log)
    (segment,) = log.segments
    await store.catalogue.call(lambda port: port.expire_segments([segment], {}, at_ms))
    log.install([segment], [])
    return segment


@pytest.mark.parametrize(
    ("age_s", "grace_s", "retired_ms_ago", "stays"),
    [
        (259_200, 600, 500_000, True),
        (259_200, 600, 600_000, False),
        # A retention of 40 s does not leave what has expired on the disk for minutes.
        (40, 600, 0, True),
        (40, 600, 10_000, False),
        (259_200, 0, 0, False),
        # The clock was set back meanwhile.
        (259_200, 600, -1_000, True),
        (259_200, 600, -1_000 * HOUR_MS, False),
    ],
)
def test_a_retired_file_goes_after_its_grace(
    tmp_path: Path, age_s: float, grace_s: float, retired_ms_ago: int, stays: bool
) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            segment = await retired(store, time.time_ns() // 1_000_000 - retired_ms_ago)
            path = tmp_path / segment.path
            removed, freed, left = await retired_files(store, age_s, grace_s).delete_due()
            assert path.exists() == stays
            gone = (0, 0, {segment.path}) if stays else (1, segment.bytes, set())
            assert (removed, freed, left) == gone
            assert set(await store.catalogue.call(lambda port: port.list_retired())) == left

    asyncio.run(run())


def test_one_that_somebody_else_has_deleted_is_forgotten(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            segment = await retired(store, 0)
            (tmp_path / segment.path).unlink()
            assert await retired_files(store, 259_200, 600).delete_due() == (0, 0, set())
            assert await store.catalogue.call(lambda port: port.list_retired()) == {}

    asyncio.run(run())


def test_the_sweep_leaves_what_is_live_and_what_has_its_grace(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path) as store:
            segment = await retired(store, time.time_ns() // 1_000_000)
            log = store.all()[0]
            log.advance_start(10)
            await filled(store, full_frames(10, 20, 5))
            await roll(store, log)
            orphan = (tmp_path / segment.path).with_name("orphan.parquet.tmp")
            orphan.write_bytes(b"left over")
            sweep = Sweep(store, retired_files(store, 259_200, 3_600), 600)
            counts = await sweep.run(lambda done, total, message: None)
            assert counts == {"files_deleted": 0, "bytes_freed": 0}
            await asyncio.sleep(1.1)  # what a file's time may lag behind
            sweep = Sweep(store, retired_files(store, 259_200, 0), 600)
            counts = await sweep.run(lambda done, total, message: None)
            assert counts == {"files_deleted": 2, "bytes_freed": segment.bytes + 9}
            assert (tmp_path / log.segments[0].path).exists()

    asyncio.run(run())


def test_damaged_files_go_when_they_are_old_and_stay_where_they_are_to(tmp_path: Path) -> None:
    now_ns = time.time_ns()

    def put(name: str, days: int) -> Path:
        path = layout.quarantine_path(tmp_path, tmp_path / name, now_ns - days * 86_400 * 10**9)
        path.write_bytes(b"damaged")
        return path

    async def swept(store: LogStore, age_s: float) -> int:
        sweep = Sweep(store, retired_files(store, 259_200, 3_600), 600, age_s)
        return (await sweep.run(lambda *_: None))["files_deleted"]

    async def run() -> None:
        async with running(tmp_path) as store:
            old = [put("log/main/orders/i1/partition=0/a.parquet", 31), put("catalogue.duckdb", 40)]
            fresh = put("journal/main/orders/i1/partition=0/0.journal", 29)
            assert quarantined_bytes(tmp_path) == 21
            assert await swept(store, 0) == 0
            assert await swept(store, 30 * 86_400) == 2
            assert fresh.exists() and not any(each.exists() for each in old)
            assert not (tmp_path / layout.QUARANTINE / "log").exists()
            assert quarantined_bytes(tmp_path) == 7

    asyncio.run(run())
