"""Sets of offsets: which part of a partition is known to be fully mined.

Invariant of ``Coverage``: its ranges are not empty, ascend, and neither overlap nor touch, so that
one set of offsets has exactly one form and equality is equality of sets.

    {[0, 5), [9, 12)} + [5, 9)  = {[0, 12)}
    {[0, 12)} - [5, 9)          = {[0, 5), [9, 12)}
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class OffsetRange:
    """The offsets ``[begin, end)``, ``0 <= begin <= end``; empty where both are the same."""

    begin: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end:
            raise ValueError(f"not a range of offsets: {self}")

    def __bool__(self) -> bool:
        return self.begin < self.end

    def __contains__(self, offset: int) -> bool:
        return self.begin <= offset < self.end

    def __str__(self) -> str:
        return f"[{self.begin}, {self.end})"


@dataclass(frozen=True, slots=True)
class Coverage:
    """An immutable set of offsets. ``Coverage()`` is the empty one, ``Coverage.of`` makes others.

    Attributes:
        ranges: Its maximal ranges, ascending.
    """

    ranges: tuple[OffsetRange, ...] = ()

    def __post_init__(self) -> None:
        ends = [-1, *(part.end for part in self.ranges)]
        if not all(part and end < part.begin for part, end in zip(self.ranges, ends, strict=False)):
            raise ValueError(f"ranges are empty, touch or do not ascend: {self}")

    @classmethod
    def of(cls, ranges: Iterable[OffsetRange]) -> Self:
        """The union of ranges that may be empty, overlap and come in any order."""
        joined: list[OffsetRange] = []
        for part in sorted(filter(None, ranges)):
            if joined and part.begin <= joined[-1].end:
                joined[-1] = OffsetRange(joined[-1].begin, max(joined[-1].end, part.end))
            else:
                joined.append(part)
        return cls(tuple(joined))

    def add(self, part: OffsetRange) -> Self:
        """This set and ``part``."""
        return self.of((*self.ranges, part))

    def subtract(self, part: OffsetRange) -> Self:
        """This set without ``part``."""
        return self.of(piece for mine in self.ranges for piece in _without(mine, part))

    def contains(self, part: OffsetRange) -> bool:
        """Whether every offset of ``part`` is in this set; always so for an empty one."""
        return not part or any(
            mine.begin <= part.begin and part.end <= mine.end for mine in self.ranges
        )

    def contiguous_end(self, base: int) -> int:
        """The end of what is covered without a gap from ``base`` on; ``base`` if nothing is."""
        return next((mine.end for mine in self.ranges if base in mine), base)

    def gaps(self, within: OffsetRange) -> tuple[OffsetRange, ...]:
        """What ``within`` has and this set has not, ascending."""
        missing = [within]
        for mine in self.ranges:
            missing[-1:] = _without(missing[-1], mine) if missing else ()
        return tuple(filter(None, missing))

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __contains__(self, offset: int) -> bool:
        return any(offset in mine for mine in self.ranges)

    def __str__(self) -> str:
        return "{" + ", ".join(map(str, self.ranges)) + "}"


def _without(whole: OffsetRange, part: OffsetRange) -> Iterator[OffsetRange]:
    """What is left of ``whole``: up to two ranges."""
    if not part or part.end <= whole.begin or whole.end <= part.begin:
        yield whole
        return
    if whole.begin < part.begin:
        yield OffsetRange(whole.begin, part.begin)
    if part.end < whole.end:
        yield OffsetRange(part.end, whole.end)
