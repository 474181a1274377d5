"""Whether a broker counts as one that holds its answers back by a quota, and what to say of it."""

_SHOWN_S = 10.0
_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


class Throttling:
    """What a broker told of its throttling. Times are seconds on one clock that never goes back.

    It counts as throttling until 10 s after the end of the last wait, and what is said of it names
    the longest wait of that time in rough steps, so that neither changes all the time.
    """

    def __init__(self) -> None:
        self._until_s = float("-inf")
        self._longest_s = 0.0

    def told(self, throttle_s: float, now_s: float) -> None:
        """The broker holds back answers for so long from now on."""
        if now_s > self._until_s:
            self._longest_s = 0.0
        self._longest_s = max(self._longest_s, throttle_s)
        self._until_s = max(self._until_s, now_s + throttle_s + _SHOWN_S)

    def describe(self, now_s: float) -> str:
        """What it does, for people; empty if it does not throttle."""
        if now_s > self._until_s:
            return ""
        step = next((step for step in _STEPS_S if self._longest_s <= step), None)
        how_long = f"for up to {step} s" if step else f"for more than {_STEPS_S[-1]} s"
        return f"a quota of the broker holds its answers back, {how_long} at a time"
