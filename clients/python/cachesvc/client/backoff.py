"""How long to wait before the next attempt: exponential, capped, with full jitter.

Full jitter spreads clients that lost one service at one moment evenly over the whole wait; see
Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from random import Random


class Backoff:
    """Decides about waits; does not wait and asks no clock.

    Args:
        first_s: Upper bound of the first wait.
        max_s: Where the bound stops doubling.
        give_up_after_s: Time since the first failure after which there is no further attempt;
            None means never.
        random: Where jitter comes from.
    """

    def __init__(
        self, first_s: float, max_s: float, give_up_after_s: float | None, random: Random
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._give_up_after_s = give_up_after_s
        self._random = random
        self._bound_s = first_s
        self._failing_since_s: float | None = None

    @property
    def is_first(self) -> bool:
        """Whether nothing has failed since the start or the last success."""
        return self._failing_since_s is None

    def succeeded(self) -> None:
        """Takes note that things work: waits are short again."""
        self._bound_s = self._first_s
        self._failing_since_s = None

    def next_wait_s(self) -> float:
        """Seconds to wait before the next attempt, where somebody else decides about the end."""
        wait_s = self._random.uniform(0, self._bound_s)
        self._bound_s = min(2 * self._bound_s, self._max_s)
        return wait_s

    def failed(self, now_s: float) -> float | None:
        """Takes note of a failure.

        Args:
            now_s: A monotonic clock.

        Returns:
            Seconds to wait before the next attempt; None to give up.
        """
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        wait_s = self.next_wait_s()
        if self._give_up_after_s is None:
            return wait_s
        left_s = self._failing_since_s + self._give_up_after_s - now_s
        return min(wait_s, left_s) if left_s > 0 else None
