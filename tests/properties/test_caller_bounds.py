"""Whatever a caller does, it gets no more than its share, and the wait it was told is enough."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.caller_bounds import TokenBucket

RATES = st.floats(0.1, 1e6)
STEPS = st.lists(st.floats(0, 10), min_size=1, max_size=60)


@given(RATES, st.floats(1, 1e6), STEPS)
def test_no_more_than_a_burst_and_the_rate(per_s: float, burst: float, steps: list[float]) -> None:
    bucket = TokenBucket(per_s, burst)
    now_s, taken = 0.0, 0
    for step in steps:
        now_s += step
        for _ in range(3):
            wait_s = bucket.take(1, now_s)
            assert wait_s >= 0
            taken += wait_s == 0
        assert taken <= (burst + per_s * now_s) * (1 + 1e-9) + 1e-6


@given(RATES, STEPS)
def test_after_the_wait_there_is_one(per_s: float, steps: list[float]) -> None:
    bucket = TokenBucket(per_s, 1.0)
    now_s = 0.0
    for step in steps:
        now_s += step
        if wait_s := bucket.take(1, now_s):
            now_s = math.nextafter(now_s + wait_s * (1 + 1e-9) + 1e-6, math.inf)
            assert bucket.take(1, now_s) == 0.0


@given(RATES, st.lists(st.floats(0, 1e6), max_size=60))
def test_who_waits_as_told_gets_the_rate(per_s: float, amounts: list[float]) -> None:
    bucket = TokenBucket(per_s, per_s)
    now_s = sum_ = 0.0
    for amount in amounts:
        now_s += bucket.spend(amount, now_s)
        sum_ += amount
        assert sum_ <= (per_s + per_s * now_s) * (1 + 1e-6) + 1e-6
