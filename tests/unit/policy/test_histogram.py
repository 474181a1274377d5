from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.histogram import Histogram

BOUNDS = (0.5, 1.0, 2.0)
amounts = st.lists(st.sampled_from([0.0, 0.4, 0.5, 0.6, 1.0, 1.5, 2.0, 2.1, 99.0]))


@given(amounts)
def test_each_bound_counts_what_is_not_above_it(given_amounts: list[float]) -> None:
    histogram = Histogram(BOUNDS)
    for amount in given_amounts:
        histogram.add(amount)
    within = [sum(amount <= bound for amount in given_amounts) for bound in BOUNDS]
    assert histogram.cumulative() == [*within, len(given_amounts)]
    assert histogram.count == len(given_amounts)
    assert histogram.total == sum(given_amounts)
