"""How often something took how long, in a few fixed classes."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts amounts by upper bounds, as Prometheus means it: the last class has none.

    Args:
        bounds: Upper bounds of the classes, ascending; an amount counts in the first that is not
            below it.
    """

    __slots__ = ("_counts", "bounds", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        """The sum of all amounts."""

    def add(self, amount: float) -> None:
        """Counts an amount."""
        self._counts[bisect_left(self.bounds, amount)] += 1
        self.total += amount

    @property
    def count(self) -> int:
        """How many amounts were counted."""
        return sum(self._counts)

    @property
    def counts(self) -> list[int]:
        """How many amounts are in each class; the last is for what is above all bounds."""
        return list(self._counts)

    def cumulative(self) -> list[int]:
        """How many amounts are within each bound; behind the last bound comes the count of all."""
        return list(accumulate(self._counts))
