from __future__ import annotations

from dataclasses import replace

import pytest

from cachesvc.cli.top.figures import Figures, quantile
from cachesvc.cli.top.sample import rest_s
from cachesvc.v1.watching_pb2 import Distribution
from tests.unit.cli.top.samples import at, figures, overview, reader, sample


def test_rates_are_those_between_the_samples() -> None:
    found = figures()
    assert found.subscriptions_per_s() == {"billing": 10.0, "audit": 0.0}
    cores = found.reader_per_s(lambda each: each.figures.cpu_s)
    assert cores == {("main", "main-1"): pytest.approx(0.5)}
    assert found.cores() == pytest.approx(0.25)


def test_one_sample_has_no_rates() -> None:
    found = Figures(sample())
    assert found.subscriptions_per_s() == {}
    assert found.reader_per_s(lambda each: each.figures.cpu_s) == {}
    assert found.cores() is None


def test_what_came_or_began_anew_has_no_rate() -> None:
    before, now = sample(100.0), sample(102.0)
    now = replace(now, subscriptions=[at(3), at(9, "new")], readers=[reader(1.0, 5, pid=4712)])
    found = Figures(before).followed_by(now)
    assert found.subscriptions_per_s() == {"billing": 0.0}, "it was reset, and has not moved back"
    assert found.reader_per_s(lambda each: each.figures.cpu_s) == {}


def test_a_service_that_was_started_anew_has_no_rate() -> None:
    before, now = sample(100.0), sample(102.0)
    assert before.overview is not None
    before.overview.started_ms -= 1
    assert Figures(before).followed_by(now).cores() is None


def test_ages_are_of_what_was_sent_in_between() -> None:
    older = replace(sample(100.0), overview=overview(counts=(50, 49, 1, 0)))
    newer = replace(sample(102.0), overview=overview(11.0, (50, 59, 1, 0)))
    found = Figures(older)
    assert found.ages_s((0.5,)) == pytest.approx([0.001])
    found = found.followed_by(newer)
    assert found.ages_s((0.5, 1.0)) == pytest.approx([0.0055, 0.01])
    quiet = replace(sample(104.0), overview=overview(12.0, (50, 59, 1, 0)))
    assert found.followed_by(quiet).ages_s((0.5,)) is None


def test_an_overview_that_stands_for_a_moment_is_compared_with_the_one_before() -> None:
    first, second = sample(100.0), replace(sample(102.0), overview=overview(36.0))
    again = replace(second, clock_s=102.5)
    found = Figures(first).followed_by(second).followed_by(again)
    assert found.cores() == pytest.approx(0.25)
    assert found.subscriptions_per_s() == {"billing": 0.0, "audit": 0.0}


def test_a_service_that_is_slow_is_asked_less_often() -> None:
    assert rest_s(replace(sample(), took_s=0.1), 2.0) == 2.0
    assert rest_s(replace(sample(), took_s=3.0), 2.0) == 12.0


def test_quantiles() -> None:
    found = Distribution(bounds_s=(1, 2, 4), counts=(10, 0, 10, 0))
    assert [quantile(found, share) for share in (0.25, 0.5, 0.75, 1.0)] == [0.5, 1.0, 3.0, 4.0]
    above = Distribution(bounds_s=(1, 2), counts=(0, 0, 5))
    assert quantile(above, 0.5) == 2, "as much as is known of what is above the last bound"
