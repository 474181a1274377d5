from __future__ import annotations

import pytest

from cachesvc.policy.coverage import Coverage, OffsetRange
from tests.unit.policy.notation import cover, offsets, ranges, shown


@pytest.mark.parametrize(
    ("before", "added", "after"),
    [
        ("", "0-5", "0-5"),
        ("", "5-5", ""),
        ("0-5", "5-5", "0-5"),
        ("0-5", "5-9", "0-9"),
        ("5-9", "0-5", "0-9"),
        ("0-5", "6-9", "0-5 6-9"),
        ("6-9", "0-5", "0-5 6-9"),
        ("0-5 9-12", "5-9", "0-12"),
        ("0-5 9-12", "4-10", "0-12"),
        ("0-5 9-12 20-30", "3-25", "0-30"),
        ("3-4 6-7", "0-100", "0-100"),
        ("0-100", "3-4", "0-100"),
    ],
)
def test_add(before: str, added: str, after: str) -> None:
    assert cover(before).add(offsets(added)) == Coverage(tuple(ranges(after)))


@pytest.mark.parametrize(
    ("before", "taken", "after"),
    [
        ("", "0-5", ""),
        ("0-12", "5-9", "0-5 9-12"),
        ("0-12", "0-9", "9-12"),
        ("0-12", "9-12", "0-9"),
        ("0-12", "0-12", ""),
        ("0-12", "5-5", "0-12"),
        ("3-9", "0-100", ""),
        ("0-5 9-12", "5-9", "0-5 9-12"),
        ("0-5 9-12 20-30", "3-25", "0-3 25-30"),
    ],
)
def test_subtract(before: str, taken: str, after: str) -> None:
    assert cover(before).subtract(offsets(taken)) == Coverage(tuple(ranges(after)))


@pytest.mark.parametrize(
    ("covered", "within", "gaps"),
    [
        ("", "0-5", "0-5"),
        ("0-5", "0-5", ""),
        ("0-5", "3-3", ""),
        ("0-5 9-12", "0-12", "5-9"),
        ("0-5 9-12", "3-20", "5-9 12-20"),
        ("3-4 6-7", "0-10", "0-3 4-6 7-10"),
        ("0-5 9-12 30-40", "6-8", "6-8"),
        ("0-5 9-12 30-40", "10-11", ""),
    ],
)
def test_gaps(covered: str, within: str, gaps: str) -> None:
    assert shown(cover(covered).gaps(offsets(within))) == gaps


@pytest.mark.parametrize(
    ("covered", "base", "end"),
    [("", 7, 7), ("0-5", 0, 5), ("0-5", 3, 5), ("0-5", 5, 5), ("0-5 9-12", 9, 12), ("3-5", 0, 0)],
)
def test_contiguous_end(covered: str, base: int, end: int) -> None:
    assert cover(covered).contiguous_end(base) == end


def test_contains_ranges_and_offsets() -> None:
    covered = cover("0-5 9-12")
    assert covered.contains(offsets("0-5"))
    assert covered.contains(offsets("7-7"))
    assert not covered.contains(offsets("4-10"))
    assert [offset for offset in range(14) if offset in covered] == [0, 1, 2, 3, 4, 9, 10, 11]


def test_shows_itself() -> None:
    assert str(cover("0-5 9-12")) == "{[0, 5), [9, 12)}"
    assert str(Coverage()) == "{}"
    assert not Coverage()
    assert cover("0-1")


@pytest.mark.parametrize(("begin", "end"), [(-1, 4), (5, 4)])
def test_refuses_what_is_no_range(begin: int, end: int) -> None:
    with pytest.raises(ValueError, match="not a range of offsets"):
        OffsetRange(begin, end)


@pytest.mark.parametrize("text", ["0-0", "0-5 5-9", "5-9 0-4", "0-5 3-9"])
def test_refuses_ranges_that_are_not_in_their_one_form(text: str) -> None:
    with pytest.raises(ValueError, match="empty, touch or do not ascend"):
        Coverage(tuple(ranges(text)))
