"""Jobs once a day, in time zones that change their offset, by a clock in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from cachesvc.jobs.daily import Daily, TimeOfDay
from cachesvc.jobs.job import OwnSchedule, Progress
from cachesvc.jobs.scheduler import JobScheduler
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.ports import JobRunRecord

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # changes by half an hour
APIA = ZoneInfo("Pacific/Apia")  # had no 30 December 2011
QUARTER_MS = 900_000


class Plain:
    name = "plain"
    description = "does nothing"
    interval_s = 600.0

    async def run(self, progress: Progress) -> Mapping[str, int]:
        return {"ran": 1}


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def runs(begin: str, days: int, at: str, zone: tzinfo) -> list[datetime]:
    """When a job runs that is looked at every quarter of an hour, on the clock of its zone."""
    last_ms: int | None = ms(begin) - 1
    found = []

    async def last_run_ms(name: str) -> int | None:
        return last_ms

    async def body() -> None:
        nonlocal last_ms
        job = Daily(Plain(), TimeOfDay(at, zone), last_run_ms)
        for now_ms in range(ms(begin), ms(begin) + days * 96 * QUARTER_MS, QUARTER_MS):
            if await job.next_run_ms(now_ms) <= now_ms:
                last_ms = now_ms
                found.append(datetime.fromtimestamp(now_ms / 1000, zone))

    asyncio.run(body())
    return found


@pytest.mark.parametrize(
    ("begin", "at", "zone", "expected"),
    [
        ("2026-01-14T12:00+01:00", "03:00", BERLIN, ["15 03:00", "16 03:00", "17 03:00"]),
        # What is left out comes as far behind midnight as it would have been.
        ("2026-03-28T12:00+01:00", "02:30", BERLIN, ["29 03:30", "30 02:30", "31 02:30"]),
        # What comes twice counts once, the first time.
        ("2026-10-24T12:00+02:00", "02:30", BERLIN, ["25 02:30", "26 02:30", "27 02:30"]),
        ("2026-10-24T12:00+02:00", "03:00", BERLIN, ["25 03:00", "26 03:00", "27 03:00"]),
        ("2026-04-04T12:00+11:00", "01:45", LORD_HOWE, ["05 01:45", "06 01:45", "07 01:45"]),
        ("2026-10-03T12:00+10:30", "02:15", LORD_HOWE, ["04 02:45", "05 02:15", "06 02:15"]),
    ],
)
def test_once_a_date_over_changes_of_the_clock(
    begin: str, at: str, zone: tzinfo, expected: list[str]
) -> None:
    found = runs(begin, 3, at, zone)
    assert [f"{moment:%d %H:%M}" for moment in found] == expected
    assert all(moment.fold == 0 for moment in found)


def test_a_date_that_a_zone_leaves_out() -> None:
    dates = [moment.day for moment in runs("2011-12-28T12:00-10:00", 4, "03:00", APIA)]
    assert dates[0] == 29
    assert 30 not in dates
    assert 31 in dates


def test_each_zone_has_its_own_moment() -> None:
    (berlin,) = runs("2026-01-14T23:00+00:00", 1, "03:00", BERLIN)
    (utc,) = runs("2026-01-14T23:00+00:00", 1, "03:00", UTC)
    assert utc - berlin == timedelta(hours=1)
    assert str(TimeOfDay("03:00", BERLIN)) == "03:00 Europe/Berlin"
    assert str(TimeOfDay("03:00", None)) == "03:00"


@pytest.mark.parametrize(
    ("last_ago_h", "is_due"),
    [(None, False), (1, False), (25, True), (1_000, True), (-24, False)],
)
def test_what_was_missed_in_a_downtime_is_done_once(
    last_ago_h: float | None, *, is_due: bool
) -> None:
    async def body() -> None:
        catalogue = CatalogueThread(MemoryCatalogue)
        now_ms = time.time_ns() // 1_000_000
        if last_ago_h is not None:
            began_ms = now_ms - int(last_ago_h * 3_600_000)
            last = JobRunRecord("plain", began_ms, began_ms + 1, True)
            await catalogue.call(lambda port: port.add_job_run(last))

        async def last_run_ms(name: str) -> int | None:
            records = await catalogue.call(lambda port: port.list_job_runs(name, 1))
            return records[0].started_ms if records else None

        # Twelve hours from now, so that the last moment was twelve hours ago.
        at = datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(hours=12)
        job = Daily(Plain(), TimeOfDay(f"{at:%H:%M}", UTC), last_run_ms)
        assert isinstance(job, OwnSchedule)
        scheduler = JobScheduler(catalogue, [job])
        await scheduler.start()
        try:
            state = await scheduler.state("plain")
            assert state.daily_at == f"{at:%H:%M} UTC"
            assert state.next_run_ms is not None
            in_s = (state.next_run_ms - now_ms) / 1000
            assert abs(in_s - (60 if is_due else 12 * 3_600)) < 90
            # One by hand counts for the day.
            *_, done = [step async for step in scheduler.run_now("plain")]
            assert done.run is not None
            assert done.run.counts == {"ran": 1}
            state = await scheduler.state("plain")
            assert state.next_run_ms is not None
            assert state.next_run_ms - now_ms > 11 * 3_600_000
        finally:
            await scheduler.stop()
            catalogue.close()

    asyncio.run(body())
