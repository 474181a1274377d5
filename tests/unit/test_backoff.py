import random

from cachesvc.backoff import Backoff


class Always(random.Random):
    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


def test_delays_double_up_to_the_limit() -> None:
    backoff = Backoff(1.0, 5.0, Always(1.0))

    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_jitter_takes_away_half_at_most() -> None:
    backoff = Backoff(1.0, 5.0, Always(0.0))

    assert [backoff.next() for _ in range(4)] == [0.5, 1.0, 2.0, 2.5]


def test_reset_begins_anew() -> None:
    backoff = Backoff(1.0, 5.0, Always(1.0))
    backoff.next()
    backoff.next()

    backoff.reset()

    assert backoff.next() == 1.0
