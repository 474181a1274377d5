from __future__ import annotations

from random import Random

from cachesvc.client.backoff import Backoff


class Highest(Random):
    """Draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_the_bound_doubles_up_to_its_cap_and_falls_back_after_a_success() -> None:
    backoff = Backoff(0.1, 0.5, None, Highest())
    assert [backoff.failed(0) for _ in range(5)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    backoff.succeeded()
    assert backoff.failed(0) == 0.1


def test_waits_are_drawn_from_the_whole_range() -> None:
    backoff = Backoff(1.0, 1.0, None, Random(7))
    waits = [backoff.next_wait_s() for _ in range(1_000)]
    assert 0 <= min(waits) < 0.05
    assert 0.95 < max(waits) <= 1


def test_it_gives_up_after_a_time_without_success() -> None:
    backoff = Backoff(1.0, 8.0, 10.0, Highest())
    assert backoff.failed(100.0) == 1.0
    assert backoff.failed(101.0) == 2.0
    assert backoff.failed(109.0) == 1.0, "the last attempt is made when time is up"
    assert backoff.failed(110.0) is None
    backoff.succeeded()
    assert backoff.failed(200.0) == 1.0


def test_it_knows_the_first_failure() -> None:
    backoff = Backoff(1.0, 8.0, 10.0, Highest())
    known = [backoff.is_first]
    backoff.failed(0)
    known.append(backoff.is_first)
    backoff.succeeded()
    known.append(backoff.is_first)
    assert known == [True, False, True]
