"""How long to wait before trying again."""

import random


class Backoff:
    """Delays that double up to a limit, each spread at random over its upper half.

    The spread keeps those that lost the same service, broker or store from coming back in step.

    Args:
        first_s: The first delay.
        limit_s: No delay is longer.
        chance: Returns a number in ``[0, 1)``.
    """

    def __init__(
        self, first_s: float = 0.1, limit_s: float = 10.0, chance: random.Random | None = None
    ) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._chance = chance or random.Random()
        self._next_s = first_s

    def next(self) -> float:
        """Seconds to wait now, after one more failure in a row."""
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, self._limit_s)
        return delay_s * (0.5 + self._chance.random() / 2)

    def reset(self) -> None:
        """It worked: begin with the first delay again."""
        self._next_s = self._first_s
