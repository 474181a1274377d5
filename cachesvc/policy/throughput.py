"""How much of something comes, of late and today."""

from dataclasses import dataclass, field
from math import exp
from typing import Self

DAY_MS = 86_400_000


@dataclass(slots=True)
class Rate:
    """An amount per second in which what came ``window_s`` ago counts 1/e of what comes now.

    A steady flow is shown within 5 % after three windows, and forgotten as fast.
    """

    window_s: float
    _per_s: float = 0.0
    _at_s: float = 0.0

    def add(self, amount: float, now_s: float) -> None:
        """Counts what has come now; the clock is monotonic."""
        self._per_s = self.per_s(now_s) + amount / self.window_s
        self._at_s = max(self._at_s, now_s)

    def per_s(self, now_s: float) -> float:
        """The rate now."""
        return self._per_s * exp(-max(0.0, now_s - self._at_s) / self.window_s)


@dataclass(frozen=True, slots=True)
class Tally:
    """What was mined: records, their bytes as stored, and how many the JSON rule turned away."""

    records: int = 0
    bytes: int = 0
    rejects: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.records + other.records, self.bytes + other.bytes, self.rejects + other.rejects
        )

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(
            self.records - other.records, self.bytes - other.bytes, self.rejects - other.rejects
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """What was mined of a topic since its log began, and on one day of UTC.

    Attributes:
        total: Since its log began.
        day: Days since the epoch.
        of_day: On that day.
    """

    total: Tally = Tally()
    day: int = 0
    of_day: Tally = Tally()

    def add(self, tally: Tally, now_ms: int) -> Self:
        """With what has come now; a new day begins at zero, and none goes back."""
        day = max(self.day, now_ms // DAY_MS)
        of_day = self.of_day + tally if day == self.day else tally
        return type(self)(self.total + tally, day, of_day)

    def today(self, now_ms: int) -> Tally:
        """What was mined on the present day."""
        return self.of_day if now_ms // DAY_MS <= self.day else Tally()


@dataclass(slots=True)
class Meter:
    """Rates of records and bytes, over ten seconds and a minute."""

    records_10s: Rate = field(default_factory=lambda: Rate(10.0))
    bytes_10s: Rate = field(default_factory=lambda: Rate(10.0))
    records_60s: Rate = field(default_factory=lambda: Rate(60.0))
    bytes_60s: Rate = field(default_factory=lambda: Rate(60.0))

    def add(self, records: int, size: int, now_s: float) -> None:
        """Counts what has come now."""
        for rate in (self.records_10s, self.records_60s):
            rate.add(records, now_s)
        for rate in (self.bytes_10s, self.bytes_60s):
            rate.add(size, now_s)


@dataclass(slots=True)
class Flow:
    """How much has come so far, and how much of late.

    Attributes:
        records: All so far.
        bytes: All so far.
        window_s: As that of a ``Rate``, for both.
    """

    records: int = 0
    bytes: int = 0
    window_s: float = 10.0
    _records_per_s: float = 0.0
    _bytes_per_s: float = 0.0
    _at_s: float = 0.0

    def add(self, records: int, size: int, now_s: float) -> None:
        """Counts what has come now; the clock is monotonic."""
        self.records += records
        self.bytes += size
        records_per_s, bytes_per_s = self.per_s(now_s)
        self._records_per_s = records_per_s + records / self.window_s
        self._bytes_per_s = bytes_per_s + size / self.window_s
        self._at_s = max(self._at_s, now_s)

    def per_s(self, now_s: float) -> tuple[float, float]:
        """Records and bytes per second now."""
        left = exp(-max(0.0, now_s - self._at_s) / self.window_s)
        return self._records_per_s * left, self._bytes_per_s * left
