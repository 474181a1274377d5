from __future__ import annotations

import pytest

from cachesvc.policy.mined_times import JUMP_MS_MIN, ClockReading, put_right

HOUR = 3_600_000
YEAR = 365 * 24 * HOUR
EARLIER = ClockReading(10 * YEAR, 5_000)


def after(passed_ms: int, set_by_ms: int = 0) -> ClockReading:
    """The clocks once some time has passed, and somebody has set one of them."""
    return ClockReading(EARLIER.wall_ms + passed_ms + set_by_ms, EARLIER.steady_ms + passed_ms)


@pytest.mark.parametrize("set_by_ms", [0, 1, -1, JUMP_MS_MIN - 1, -JUMP_MS_MIN])
def test_as_long_as_the_clock_is_about_right_nothing_in_the_past_changes(set_by_ms: int) -> None:
    now = after(HOUR, set_by_ms)
    for mined_ms in (0, 1, EARLIER.wall_ms - YEAR, EARLIER.wall_ms, now.wall_ms):
        assert put_right(mined_ms, EARLIER, now) == mined_ms


@pytest.mark.parametrize("set_by_ms", [JUMP_MS_MIN, HOUR, 56 * YEAR])
def test_set_forward_ages_stay_what_they_are(set_by_ms: int) -> None:
    now = after(HOUR, set_by_ms)
    for age_ms in (HOUR, 2 * HOUR, 9 * YEAR):
        mined_ms = EARLIER.wall_ms + HOUR - age_ms
        assert now.wall_ms - put_right(mined_ms, EARLIER, now) == age_ms


def test_set_forward_what_was_mined_by_the_clock_as_it_is_now_stays() -> None:
    now = after(HOUR, 10 * HOUR)
    for mined_ms in (now.wall_ms, now.wall_ms - HOUR + 1):
        assert put_right(mined_ms, EARLIER, now) == mined_ms


@pytest.mark.parametrize("set_by_ms", [-HOUR, -56 * YEAR])
def test_set_back_what_was_mined_in_the_future_counts_as_mined_now(set_by_ms: int) -> None:
    now = after(0, set_by_ms)
    assert put_right(EARLIER.wall_ms, EARLIER, now) == now.wall_ms
    assert put_right(now.wall_ms - 1, EARLIER, now) == now.wall_ms - 1


def test_a_machine_that_starts_in_1970_and_learns_the_time_keeps_what_it_has() -> None:
    begin = ClockReading(0, 0)
    now = ClockReading(56 * YEAR, HOUR)
    last_week = 56 * YEAR - 168 * HOUR
    assert put_right(last_week, begin, now) == last_week, "mined before it went down"
    assert now.wall_ms - put_right(HOUR - 10, begin, now) == 10, "mined since it is up"
