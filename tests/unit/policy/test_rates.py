from __future__ import annotations

import pytest

from cachesvc.policy.rates import HALF_LIFE_S, decayed_rate


def test_follows_a_steady_flow() -> None:
    rate = 0.0
    for _ in range(int(10 * HALF_LIFE_S)):
        rate = decayed_rate(rate, 1_000, 1.0)
    assert rate == pytest.approx(1_000, rel=0.01)


def test_what_was_counts_half_after_the_half_life() -> None:
    assert decayed_rate(1_000, 0, HALF_LIFE_S) == pytest.approx(500)
    assert decayed_rate(0, 1_000 * HALF_LIFE_S, HALF_LIFE_S) == pytest.approx(500)


def test_does_not_depend_on_how_often_one_looks() -> None:
    often = 80.0
    for _ in range(100):
        often = decayed_rate(often, 5, 0.1)
    assert often == pytest.approx(decayed_rate(80.0, 500, 10.0))
