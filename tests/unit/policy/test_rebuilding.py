"""Which files are segments, as literal ranges before and after."""

from __future__ import annotations

import pytest

from cachesvc.model import Segment
from cachesvc.policy.rebuilding import live_segments
from tests.support.frames import ORDERS

Range = tuple[int, int]


def of(path: str, base: int, end: int, created_ms: int = 0) -> Segment:
    return Segment(ORDERS, base, end, end - base, 1, 0, 0, created_ms, 0, path)


def named(ranges: list[Range]) -> list[Segment]:
    return [of(f"{base}-{end}", base, end) for base, end in ranges]


@pytest.mark.parametrize(
    ("known", "found", "retired", "live"),
    [
        ([], [], [], []),
        ([], [(0, 5), (5, 9)], [], [(0, 5), (5, 9)]),
        # Sealed since.
        ([(0, 5)], [(0, 5), (5, 9)], [], [(0, 5), (5, 9)]),
        # A merge, its sources still there.
        ([(0, 5), (5, 9)], [(0, 5), (5, 9), (0, 9)], [], [(0, 9)]),
        # A merge that was known, and so were its sources' ends.
        ([(0, 9)], [(0, 5), (5, 9), (0, 9)], [(0, 5), (5, 9)], [(0, 9)]),
        # The merge is gone; its sources are not.
        ([(9, 12)], [(0, 5), (5, 9), (9, 12)], [(0, 5)], [(5, 9), (9, 12)]),
        ([(0, 3), (9, 12)], [(0, 3), (3, 9), (9, 12)], [(3, 9)], [(0, 3), (3, 9), (9, 12)]),
        # What retention took is not missing.
        ([(5, 9)], [(0, 5), (5, 9)], [(0, 5)], [(5, 9)]),
        # Ranges with something missing between.
        ([], [(0, 5), (7, 9)], [], [(0, 5), (7, 9)]),
    ],
)
def test_live(
    known: list[Range], found: list[Range], retired: list[Range], live: list[Range]
) -> None:
    paths = {f"{base}-{end}" for base, end in retired}
    assert live_segments(named(known), named(found), paths) == named(live)


def test_of_the_same_range_the_newest() -> None:
    old, new = of("a", 0, 5, 1), of("b", 0, 5, 2)
    assert live_segments([], [old, new], ()) == [new]
    assert live_segments([old], [new], ()) == [new]
