from __future__ import annotations

from dataclasses import replace

import pytest

from cachesvc.policy.caller_bounds import (
    CallerLimits,
    CallerUse,
    Refusal,
    TokenBucket,
    subscription_refusal,
)

LIMITS = CallerLimits(
    streams_max=2,
    calls_per_s_max=10,
    bytes_per_s_max=1_000,
    subscriptions_max=3,
    request_bytes_max=100,
)


def test_calls_over_the_rate_are_refused_until_there_is_one_again() -> None:
    use = CallerUse(LIMITS)
    assert [use.begin(0, 5.0, streams=False) for _ in range(10)] == [None] * 10
    refusal = use.begin(0, 5.0, streams=False)
    assert refusal is not None
    assert (refusal.limit, refusal.allowed) == ("calls_per_s_max", 10)
    assert refusal.retry_after_s == pytest.approx(0.1)
    assert use.begin(0, 5.09, streams=False) is not None, "a refused one does not count"
    assert use.begin(0, 5.11, streams=False) is None


def test_refusals_leave_at_the_rate_of_calls() -> None:
    use = CallerUse(LIMITS)
    for _ in range(10):
        assert use.begin(0, 0.0, streams=False) is None
    holds = [use.begin(0, 0.0, streams=False) for _ in range(300)]
    held_s = [refusal.hold_s for refusal in holds if refusal is not None]
    assert held_s[:10] == [0.0] * 10, "who is a little over it is told at once"
    assert held_s[10:13] == pytest.approx([0.1, 0.2, 0.3])
    assert held_s[120:] == [10.0] * 180
    refusal = use.begin(0, 0.05, streams=False)
    assert refusal is not None
    assert refusal.retry_after_s == pytest.approx(0.05), "and refused ones do not count as calls"
    assert use.begin(0, 0.11, streams=False) is None


def test_a_large_request_counts_as_several_calls() -> None:
    use = CallerUse(replace(LIMITS, bytes_per_s_max=None))
    for _ in range(2):
        assert use.begin(5 << 16, 0.0, streams=False) is None
    refusal = use.begin(5 << 16, 0.0, streams=False)
    assert refusal is not None
    assert refusal.retry_after_s == pytest.approx(0.3), "two are owed, and there has to be one"


def test_streams_are_refused_until_one_ends() -> None:
    use = CallerUse(LIMITS)
    assert use.begin(0, 0.0, streams=True) is None
    assert use.begin(0, 0.0, streams=True) is None
    assert use.begin(0, 0.0, streams=True) == Refusal("streams_max", 2, 5.0)
    assert use.begin(0, 0.0, streams=False) is None, "calls go on"
    assert use.streams == 2
    use.streams -= 1
    assert use.begin(0, 0.0, streams=True) is None


def test_bytes_over_the_rate_are_waited_for() -> None:
    use = CallerUse(LIMITS)
    assert use.sent(1_000, 0.0) == 0.0, "a burst"
    assert use.sent(500, 0.0) == pytest.approx(0.5)
    assert use.sent(0, 0.5) == 0.0
    assert use.sent(7_000, 0.5) == pytest.approx(7.0)
    refusal = use.begin(0, 0.5, streams=False)
    assert refusal is not None
    assert (refusal.limit, refusal.allowed) == ("bytes_per_s_max", 1_000)
    assert refusal.retry_after_s == pytest.approx(2.0)
    assert use.begin(0, 2.6, streams=False) is None
    free = CallerUse(replace(LIMITS, bytes_per_s_max=None))
    assert free.sent(1 << 60, 0.0) == 0.0
    assert free.begin(1 << 60, 0.0, streams=False) is None


def test_who_was_quiet_is_forgettable() -> None:
    use = CallerUse(LIMITS)
    assert use.is_forgettable(0.0)
    use.begin(100, 0.0, streams=True)
    assert not use.is_forgettable(60.0), "its stream is open"
    use.streams -= 1
    assert use.is_forgettable(60.0)
    use.begin(0, 60.0, streams=False)
    assert not use.is_forgettable(60.0)
    use.sent(500, 61.0)
    assert not use.is_forgettable(61.1)
    assert use.is_forgettable(62.0)
    use.held = 1
    assert not use.is_forgettable(90.0)


def test_subscriptions() -> None:
    assert subscription_refusal(LIMITS, 2) is None
    assert subscription_refusal(LIMITS, 3) == Refusal("subscriptions_max", 3, 60.0)


def test_a_clock_that_steps_back_gives_nothing() -> None:
    bucket = TokenBucket(1.0, 1.0)
    assert bucket.take(1, 100.0) == 0.0
    assert bucket.take(1, 50.0) == pytest.approx(1.0)
    assert bucket.take(1, 50.5) == pytest.approx(0.5)
