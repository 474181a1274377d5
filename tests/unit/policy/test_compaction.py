from __future__ import annotations

from dataclasses import replace

import pytest

from cachesvc.model import PartitionId, Segment
from cachesvc.policy.compaction import CompactionPlan, MergeLimits, plan_compaction
from tests.unit.policy.notation import ORDERS, segment, sized

LIMITS = MergeLimits(100, 60)


def planned(sizes: list[int]) -> list[list[int]]:
    """The sizes of each planned group."""
    plans = plan_compaction(sized(*sizes), LIMITS)
    return [[segment.bytes for segment in plan.segments] for plan in plans]


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([], []),
        ([10], []),
        # Small neighbours become one.
        ([10, 10], [[10, 10]]),
        ([10, 10, 10, 10], [[10, 10, 10, 10]]),
        # As many as the target takes, then the next ones.
        ([30, 30, 30, 30, 30], [[30, 30, 30], [30, 30]]),
        ([49, 49, 49], [[49, 49]]),
        # Exactly the target still fits.
        ([40, 40, 20], [[40, 40, 20]]),
        ([40, 40, 21], [[40, 40]]),
        # From half the target on a segment is full, and small ones beside it stay beside it.
        ([50, 50], []),
        ([50, 10, 10, 50, 10, 10], [[10, 10], [10, 10]]),
        ([100, 10, 500], []),
        # It does not pay to rewrite a large one for little more.
        ([40, 10], []),
        ([40, 10, 9], [[10, 9]]),
        ([40, 10, 10], [[40, 10, 10]]),
        ([10, 40], []),
        ([4, 6, 40, 4, 6], [[4, 6, 40, 4, 6]]),
        ([45, 1, 1, 1], [[1, 1, 1]]),
        # Sizes that fall by a factor of three and more are at rest.
        ([45, 15, 5, 1], []),
        ([45, 15, 5, 3], [[45, 15, 5, 3]]),
    ],
)
def test_groups(sizes: list[int], groups: list[list[int]]) -> None:
    assert planned(sizes) == groups


def test_a_lone_segment_waits_and_is_rewritten_once() -> None:
    full, lone, young = (
        segment(0, 10, 70, mined_ms=(0, 10)),
        segment(11, 20, 5, mined_ms=(0, 20)),
        segment(21, 30, 5, mined_ms=(0, 30)),
    )
    merged = segment(31, 40, 5, mined_ms=(0, 1), level=1)

    def planned_before(before_ms: int | None) -> list[tuple[Segment, ...]]:
        limits = replace(LIMITS, lone_before_ms=before_ms)
        return [plan.segments for plan in plan_compaction([young, merged, lone, full], limits)]

    assert planned_before(None) == planned_before(10) == []
    assert planned_before(11) == [(full,)]
    assert planned_before(30) == [(full,), (lone,)]
    assert planned_before(31) == [(full,), (lone,), (young,)]


def test_a_hole_separates() -> None:
    before = [segment(0, 10, 5), segment(10, 20, 5), segment(21, 30, 5), segment(30, 40, 5)]
    plans = plan_compaction(before, LIMITS)
    assert [(plan.base_offset, plan.end_offset) for plan in plans] == [(0, 20), (21, 40)]


def test_partitions_and_incarnations_stay_apart() -> None:
    others = [PartitionId("main", "orders", 1, 1), PartitionId("main", "orders", 2, 0)]
    before = [segment(0, 10, 5), segment(10, 20, 5, partition=others[0])]
    before += [segment(10, 20, 5, partition=others[1])]
    assert plan_compaction(before, LIMITS) == []


@pytest.mark.parametrize(
    ("times", "groups"),
    [
        # What was mined within the span.
        ([(0, 10), (20, 60)], [(0, 20)]),
        ([(0, 10), (20, 61)], []),
        ([(0, 10), (20, 30), (55, 65), (70, 80)], [(0, 20), (20, 40)]),
        # Mined afterwards: the older range is the younger one.
        ([(500, 510), (0, 10), (20, 30)], [(10, 30)]),
        # By itself one may have more, from before there was a span.
        ([(0, 100), (90, 110)], []),
    ],
)
def test_what_was_mined_far_apart_stays_apart(
    times: list[tuple[int, int]], groups: list[tuple[int, int]]
) -> None:
    before = [segment(10 * n, 10 * n + 10, 5, mined_ms=each) for n, each in enumerate(times)]
    plans = plan_compaction(before, LIMITS)
    assert [(plan.base_offset, plan.end_offset) for plan in plans] == groups


def test_any_order_of_segments_gives_the_same_plans_in_order_of_offset() -> None:
    before = sized(30, 30, 30, 30, 30) + sized(10, 10, partition=PartitionId("a", "b", 1, 0))
    plans = plan_compaction(before, LIMITS)
    assert [(plan.partition.topic, plan.base_offset) for plan in plans] == [
        ("b", 0),
        ("orders", 0),
        ("orders", 30),
    ]
    assert plan_compaction(before[::-1], LIMITS) == plans


def test_what_a_plan_says_of_its_result() -> None:
    [plan] = plan_compaction([segment(10, 20, 7, level=2), segment(20, 27, 5)], LIMITS)
    assert (plan.partition, plan.base_offset, plan.end_offset) == (ORDERS, 10, 27)
    assert (plan.bytes, plan.level) == (12, 3)


@pytest.mark.parametrize("segments", [(), (segment(0, 10, 1, level=1),)], ids=["none", "merged"])
def test_what_is_no_plan(segments: tuple[Segment, ...]) -> None:
    with pytest.raises(ValueError, match="merges two segments or more"):
        CompactionPlan(segments)
