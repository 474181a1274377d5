from __future__ import annotations

import pytest

from cachesvc.policy.throughput import DAY_MS, Counts, Flow, Meter, Rate, Tally


def flow(rate: Rate, per_s: float, begin_s: int, end_s: int) -> None:
    for tenth in range(begin_s * 10, end_s * 10):
        rate.add(per_s / 10, tenth / 10)


def test_a_steady_flow_is_shown_after_three_windows() -> None:
    rate = Rate(10.0)
    assert rate.per_s(5.0) == 0
    flow(rate, 1_000, 0, 30)
    assert rate.per_s(30.0) == pytest.approx(1_000, rel=0.06)
    flow(rate, 1_000, 30, 100)
    assert rate.per_s(100.0) == pytest.approx(1_000, rel=0.01)


def test_it_decays_and_never_goes_below_zero() -> None:
    rate = Rate(10.0)
    rate.add(1_000, 0.0)
    assert rate.per_s(0.0) == 100
    assert rate.per_s(10.0) == pytest.approx(36.8, rel=0.01)
    assert 0 <= rate.per_s(10_000.0) < 1e-9


def test_what_comes_counts_in_whatever_pieces() -> None:
    one, many = Rate(10.0), Rate(10.0)
    one.add(1_000, 1.0)
    for _ in range(10):
        many.add(100, 1.0)
    assert many.per_s(3.0) == pytest.approx(one.per_s(3.0))


def test_a_clock_that_goes_back_adds_nothing() -> None:
    rate = Rate(10.0)
    rate.add(100, 50.0)
    rate.add(100, 40.0)
    assert rate.per_s(50.0) == 20
    assert rate.per_s(40.0) == 20


def test_meter() -> None:
    meter = Meter()
    meter.add(60, 600, 0.0)
    rates = [meter.records_10s, meter.records_60s, meter.bytes_10s, meter.bytes_60s]
    assert [rate.per_s(0.0) for rate in rates] == [6, 1, 60, 10]


def test_a_flow_is_two_rates_and_their_totals() -> None:
    flow, records, sizes = Flow(), Rate(10.0), Rate(10.0)
    for at_s, count, size in ((1.0, 60, 600), (4.0, 5, 7_000), (2.0, 1, 1), (30.0, 2, 20)):
        flow.add(count, size, at_s)
        records.add(count, at_s)
        sizes.add(size, at_s)
        now_s = at_s + 3
        assert flow.per_s(now_s) == pytest.approx((records.per_s(now_s), sizes.per_s(now_s)))
    assert (flow.records, flow.bytes) == (68, 7_621)


def test_today_ends_at_midnight() -> None:
    counts = Counts().add(Tally(1, 10, 1), DAY_MS - 1).add(Tally(2, 20), DAY_MS - 1)
    assert counts.today(DAY_MS - 1) == Tally(3, 30, 1)
    assert counts.today(DAY_MS) == Tally()
    counts = counts.add(Tally(4, 40), DAY_MS)
    assert (counts.total, counts.today(DAY_MS)) == (Tally(7, 70, 1), Tally(4, 40))
    # A clock that is set back does not bring yesterday back.
    counts = counts.add(Tally(1, 1), DAY_MS - 1)
    assert counts.today(DAY_MS) == Tally(5, 41)
