"""Which files are segments, as literal ranges before and after."""

from __future__ import annotations

import pytest

from cachesvc.model import Segment
from cachesvc.policy.coverage import Coverage
from cachesvc.policy.rebuilding import damaged_ranges, live_segments
from tests.support.frames import ORDERS
from tests.unit.policy.notation import ranges

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


@pytest.mark.parametrize(
    ("live", "broken", "gone", "expected"),
    [
        ("0-5 5-9", "", "", ""),
        # A footer that cannot be read, in the middle and at either end.
        ("0-5 7-9", "5-7", "", "5-7"),
        ("5-9", "0-5", "", "0-5"),
        ("0-5", "5-9", "", "5-9"),
        ("", "0-5 7-9", "", "0-5 7-9"),
        # One that was merged meanwhile.
        ("0-9", "0-5", "", ""),
        # One that is gone: expired, if all that is there lies behind it.
        ("0-5 7-9", "", "5-7", "5-7"),
        ("5-9", "", "0-5", ""),
        ("5-9", "0-3", "3-5", "0-3 3-5"),
        ("0-5", "", "5-9", ""),
        # What was never there is not damaged.
        ("0-5 8-9", "6-7", "", "6-7"),
    ],
)
def test_what_was_damaged(live: str, broken: str, gone: str, expected: str) -> None:
    segments = [of(str(part), part.begin, part.end) for part in ranges(live)]
    found = damaged_ranges(segments, ranges(broken), [*ranges(broken), *ranges(gone)])
    assert Coverage.of(found) == Coverage.of(ranges(expected))
