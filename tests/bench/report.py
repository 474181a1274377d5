"""What a run of the benchmarks found: figures with their spread, checks, and what was left out.

Pure: values in, values out. How a report looks is in `rendering`.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Bound = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, smallest and largest of some runs."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value.

        Raises:
            ValueError: there is none.
        """
        if not values:
            raise ValueError("no values, no spread")
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach.

    A figure is judged as it was measured, not as it is printed: 0.604 is more than 0.6.

    Attributes:
        bound: Whether more or less is better.
        reach: The figure to reach.
        beyond: Where it gets interesting; None where nothing lies beyond.
    """

    bound: Bound
    reach: float
    beyond: float | None = None

    def is_reached(self, value: float) -> bool:
        """Say whether a figure is good enough."""
        return self._is_within(value, self.reach)

    def is_surpassed(self, value: float) -> bool:
        """Say whether a figure is what was hoped for beyond that."""
        return self.beyond is not None and self._is_within(value, self.beyond)

    def _is_within(self, value: float, limit: float) -> bool:
        return value >= limit if self.bound == "at least" else value <= limit


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two things that a figure compares, in absolute numbers.

    Attributes:
        name: What it is: cache, direct, 16 tasks, …
        unit: Of the values.
        values: One per run.
    """

    name: str
    unit: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A line of the table.

    Attributes:
        name: B1, B2, …; a letter behind it marks a variant.
        title: What it measures.
        sides: What was measured, in absolute numbers.
        values: One per run: the first side divided by the second, or absolute where `unit` is not
            empty.
        unit: Of an absolute figure; empty for a ratio.
        target: None for what is only told.
        notes: What a reader has to know about these numbers.
    """

    name: str
    title: str
    sides: tuple[Side, ...]
    values: tuple[float, ...]
    unit: str = ""
    target: Target | None = None
    notes: tuple[str, ...] = ()

    @property
    def spread(self) -> Spread:
        """Over the runs."""
        return Spread.of(self.values)

    @property
    def verdict(self) -> str:
        """Whether the median reaches the target, in a word or two."""
        if self.target is None:
            return "–"
        if self.target.is_surpassed(self.spread.median):
            return "yes, beyond"
        return "yes" if self.target.is_reached(self.spread.median) else "no"


def ratio(
    name: str,
    title: str,
    over: Side,
    under: Side,
    target: Target | None = None,
    notes: Sequence[str] = (),
) -> Figure:
    """Return the figure `over ÷ under`, run by run.

    Raises:
        ValueError: the sides differ in their number of runs.
    """
    values = tuple(a / b for a, b in zip(over.values, under.values, strict=True))
    return Figure(name, title, (over, under), values, target=target, notes=tuple(notes))


def absolute(
    name: str,
    title: str,
    side: Side,
    target: Target | None = None,
    notes: Sequence[str] = (),
) -> Figure:
    """Return a figure that is one side as it is."""
    return Figure(name, title, (side,), side.values, side.unit, target, tuple(notes))


@dataclass(frozen=True, slots=True)
class Check:
    """Whether something was as it had to be.

    Attributes:
        name: What was checked, with the figure and the run.
        passed: Whether it was.
        detail: What was wrong.
    """

    name: str
    passed: bool
    detail: str = ""


@dataclass(slots=True)
class Report:
    """Everything that is told at the end.

    Attributes:
        header: Versions, cores, data set: what the numbers depend on.
        figures: In the order of their names.
        checks: In the order in which they were made.
        left_out: Figure to the reason why it was not measured.
    """

    header: Mapping[str, str] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> list[Check]:
        """Checks that did not pass."""
        return [check for check in self.checks if not check.passed]

    @property
    def exit_code(self) -> int:
        """0 if every check passed; a figure that was not reached is no failure."""
        return 1 if self.failed else 0
