"""Recent rates: how much the last minutes count, and the ones before them hardly."""

from math import exp2

HALF_LIFE_S = 60.0
"""After this time what was counts half."""


def decayed_rate(rate: float, amount: float, elapsed_s: float) -> float:
    """A rate per second that follows what happens, smoothly.

    Args:
        rate: As it was.
        amount: What has come since.
        elapsed_s: How long that took; more than 0.
    """
    kept = exp2(-elapsed_s / HALF_LIFE_S)
    return rate * kept + amount / elapsed_s * (1.0 - kept)
