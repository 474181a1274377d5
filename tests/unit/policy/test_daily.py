from __future__ import annotations

import pytest

from cachesvc.policy.daily import next_daily_ms
from cachesvc.policy.model_refresh import LoadTimes

TIMES = LoadTimes(previous_ms=100, next_ms=200)


@pytest.mark.parametrize(
    ("last_ms", "expected"),
    [
        (None, 200),  # it never ran: nothing was missed
        (99, 150),  # missed, and done once
        (100, 200),
        (120, 200),  # by hand, or late
        (180, 200),  # the clock was set back
        (-(10**15), 150),
    ],
)
def test_once_a_day(last_ms: int | None, expected: int) -> None:
    assert next_daily_ms(last_ms, 150, TIMES) == expected
