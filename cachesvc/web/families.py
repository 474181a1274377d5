"""Metric families as plain values, and the labels that keep their number within bounds."""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cachesvc.policy.histogram import Histogram

OTHER = "(other)"
"""Stands for all that are beyond the bound."""


class Kind(Enum):
    """What a metric is, to Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Family:
    """Samples of one metric.

    Attributes:
        name: By Prometheus's conventions; that of a counter without ``_total``.
        kind: What it is.
        help: What it says, in a sentence.
        labels: Names of the labels.
        rows: Values of the labels, and the sample.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    rows: Sequence[tuple[tuple[str, ...], float]] = ()


@dataclass(frozen=True, slots=True)
class HistogramFamily:
    """Histograms of one metric; as ``Family``, each row with bounds, cumulative counts and sum."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    rows: Sequence[tuple[tuple[str, ...], "HistogramSample"]] = ()


@dataclass(frozen=True, slots=True)
class HistogramSample:
    """A histogram at one moment."""

    bounds: tuple[float, ...]
    cumulative: tuple[int, ...]
    total: float

    @classmethod
    def of(cls, histogram: Histogram) -> "HistogramSample":
        """As it is now."""
        return cls(histogram.bounds, tuple(histogram.cumulative()), histogram.total)


Told = Iterator[Family | HistogramFamily | None]
"""Families one by one; None between them where others may have a turn."""


def counter(name: str, text: str, value: float) -> Family:
    """A counter without labels."""
    return Family(name, Kind.COUNTER, text, (), [((), value)])


def gauge(name: str, text: str, value: float) -> Family:
    """A gauge without labels."""
    return Family(name, Kind.GAUGE, text, (), [((), value)])


@dataclass(slots=True)
class Bounded:
    """Which names have series of their own: the first that come, and for good.

    A name that was once among the others stays there, so that no counter ever falls.

    Args:
        names_max: How many.
    """

    names_max: int
    _known: set[tuple[str, str]] = field(default_factory=set)

    def label(self, connection: str, name: str) -> str:
        """The name, or what stands for all others of its connection."""
        key = (connection, name)
        if key not in self._known:
            if len(self._known) >= self.names_max:
                return OTHER
            self._known.add(key)
        return name


class Rows:
    """Collects samples by labels; what falls together is added up, or the largest counts."""

    def __init__(self, together: Callable[[float, float], float] = operator.add) -> None:
        self._together = together
        self._rows: dict[tuple[str, ...], float] = {}

    def add(self, labels: tuple[str, ...], value: float) -> None:
        """Enters a sample."""
        before = self._rows.get(labels)
        self._rows[labels] = value if before is None else self._together(before, value)

    def family(self, name: str, kind: Kind, text: str, labels: tuple[str, ...]) -> Family:
        """All of them as a family."""
        return Family(name, kind, text, labels, list(self._rows.items()))
