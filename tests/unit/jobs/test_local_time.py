from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from cachesvc.jobs.local_time import load_times
from cachesvc.policy.model_refresh import DAILY_FROM_MODELS, next_refresh_ms

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3_600_000


def ms(text: str) -> int:
    """Milliseconds of a time that names its offset."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("now", "time_of_day", "previous", "following"),
    [
        ("2026-01-15T01:59:59+01:00", "02:00", "2026-01-14T02:00+01:00", "2026-01-15T02:00+01:00"),
        ("2026-01-15T02:00:00+01:00", "02:00", "2026-01-15T02:00+01:00", "2026-01-16T02:00+01:00"),
        ("2026-01-15T00:00:00+01:00", "00:00", "2026-01-15T00:00+01:00", "2026-01-16T00:00+01:00"),
        ("2026-01-15T23:59:59+01:00", "23:59", "2026-01-15T23:59+01:00", "2026-01-16T23:59+01:00"),
        # The clock goes forward from 02:00 to 03:00: half past two is left out.
        ("2026-03-29T01:30:00+01:00", "02:30", "2026-03-28T02:30+01:00", "2026-03-29T03:30+02:00"),
        ("2026-03-29T12:00:00+02:00", "02:30", "2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"),
        # The clock goes back from 03:00 to 02:00: half past two comes twice, and counts once.
        ("2026-10-25T02:15:00+02:00", "02:30", "2026-10-24T02:30+02:00", "2026-10-25T02:30+02:00"),
        ("2026-10-25T02:15:00+01:00", "02:30", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
        ("2026-10-25T02:45:00+01:00", "02:30", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
    ],
)
def test_around_the_present(now: str, time_of_day: str, previous: str, following: str) -> None:
    times = load_times(ms(now), time_of_day, BERLIN)
    assert (times.previous_ms, times.next_ms) == (ms(previous), ms(following))


@pytest.mark.parametrize("begin", ["2026-03-27T12:00+01:00", "2026-10-23T12:00+02:00"])
@pytest.mark.parametrize("time_of_day", ["00:00", "01:59", "02:00", "02:30", "03:00", "23:45"])
def test_once_a_date_over_a_change_of_the_clock(begin: str, time_of_day: str) -> None:
    """Asked every quarter of an hour for four days, as a service might be that sleeps."""
    refreshed = ms(begin)
    dates = []
    for now in range(ms(begin), ms(begin) + 96 * HOUR, HOUR // 4):
        times = load_times(now, time_of_day, BERLIN)
        if next_refresh_ms(DAILY_FROM_MODELS, refreshed, now, times, HOUR) <= now:
            refreshed = now
            dates.append(datetime.fromtimestamp(now / 1000, BERLIN).date())
    first = datetime.fromtimestamp(ms(begin) / 1000, BERLIN).date()
    first += timedelta(time_of_day < "12:00")
    assert dates == [first + timedelta(days) for days in range(4)]


def test_on_the_clock_of_this_machine() -> None:
    now = ms("2026-01-15T12:00:00+00:00")
    times = load_times(now, "02:30")
    assert times.previous_ms <= now < times.next_ms
    for moment in (times.previous_ms, times.next_ms):
        shown = datetime.fromtimestamp(moment / 1000).astimezone()
        assert (shown.hour, shown.minute) == (2, 30)
