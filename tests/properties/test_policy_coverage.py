"""Coverage against a set of integers as its model."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.coverage import Coverage, OffsetRange

OFFSET_MAX = 40


@st.composite
def offset_ranges(draw: st.DrawFn) -> OffsetRange:
    begin = draw(st.integers(0, OFFSET_MAX))
    return OffsetRange(begin, draw(st.integers(begin, OFFSET_MAX)))


range_lists = st.lists(offset_ranges(), max_size=12)


def members(parts: list[OffsetRange] | tuple[OffsetRange, ...]) -> set[int]:
    return {offset for part in parts for offset in range(part.begin, part.end)}


@given(range_lists)
def test_has_one_form(parts: list[OffsetRange]) -> None:
    covered = Coverage.of(parts)
    assert members(covered.ranges) == members(parts)
    assert all(covered.ranges)
    assert all(a.end < b.begin for a, b in pairwise(covered.ranges))


@given(range_lists, st.lists(st.tuples(st.booleans(), offset_ranges()), max_size=8))
def test_add_and_subtract(parts: list[OffsetRange], steps: list[tuple[bool, OffsetRange]]) -> None:
    covered, model = Coverage.of(parts), members(parts)
    for adding, part in steps:
        covered = covered.add(part) if adding else covered.subtract(part)
        model = model | members([part]) if adding else model - members([part])
        assert covered == Coverage.of(OffsetRange(offset, offset + 1) for offset in model)


@given(range_lists, offset_ranges(), st.integers(0, OFFSET_MAX))
def test_questions(parts: list[OffsetRange], within: OffsetRange, base: int) -> None:
    covered, model = Coverage.of(parts), members(parts)
    gaps = covered.gaps(within)
    assert members(gaps) == members([within]) - model
    assert all(a.end < b.begin for a, b in pairwise(gaps))
    assert covered.contains(within) == (members([within]) <= model)
    assert (base in covered) == (base in model)
    end = base
    while end in model:
        end += 1
    assert covered.contiguous_end(base) == end
