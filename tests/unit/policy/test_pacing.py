from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.pacing import rest_s

SHARES = st.floats(0.01, 1)
SECONDS = st.floats(0, 100)


@pytest.mark.parametrize(
    ("tail_busy_s", "share", "rest"),
    [
        # Nothing new: no rest.
        (0.0, 0.25, 0.0),
        # New records take all the time they can get: a quarter of it is three parts of rest.
        (10.0, 0.25, 6.0),
        (7.5, 0.25, 6.0),
        # Half of what they could get, half of the rest.
        (3.75, 0.25, 3.0),
        (10.0, 0.5, 2.0),
        (10.0, 1.0, 0.0),
    ],
)
def test_older_work_rests_as_much_as_newer_work_is_pressed(
    tail_busy_s: float, share: float, rest: float
) -> None:
    assert rest_s(2.0, tail_busy_s, 10.0, share) == pytest.approx(rest)


@given(SECONDS, SECONDS, SECONDS, SHARES)
def test_the_share_is_kept_and_nobody_waits_for_ever(
    busy_s: float, tail_busy_s: float, elapsed_s: float, share: float
) -> None:
    rest = rest_s(busy_s, tail_busy_s, elapsed_s, share)
    assert 0 <= rest <= busy_s * (1 - share) / share + 1e-9
    if elapsed_s and tail_busy_s >= elapsed_s:
        assert busy_s * (1 - share) <= (rest + busy_s) * (1 - share) + 1e-9
        assert busy_s <= share * (busy_s + rest) + 1e-6
