"""Compaction, carried out on values: what it must keep, and what it may cost."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.model import PartitionId, Segment
from cachesvc.policy.compaction import CompactionPlan, MergeLimits, plan_compaction
from cachesvc.policy.coverage import Coverage, OffsetRange
from tests.unit.policy.notation import segment

PARTITIONS = [PartitionId("main", "orders", 1, number) for number in range(2)]
TARGET = 1_000
SPAN = 50
LIMITS = MergeLimits(TARGET, SPAN)
GAIN = 1.5


@st.composite
def stores(draw: st.DrawFn, size_min: int = 0) -> list[Segment]:
    """Live segments of two partitions: disjoint ranges, some with holes between them."""
    found: list[Segment] = []
    for partition in PARTITIONS:
        base = draw(st.integers(0, 5))
        steps = st.tuples(
            st.sampled_from([0, 0, 0, 1]),
            st.integers(1, 5),
            st.integers(size_min, TARGET + 100),
            st.integers(-10, 40),
        )
        mined_ms = 0
        for hole, length, size, later_ms in draw(st.lists(steps, max_size=12)):
            end = base + hole + length
            times = mined_ms, mined_ms + abs(later_ms)
            found.append(segment(base + hole, end, size, partition=partition, mined_ms=times))
            mined_ms += later_ms
            base = end
    return draw(st.permutations(found))


def merged(plan: CompactionPlan) -> Segment:
    times = (
        min(part.oldest_mined_ms for part in plan.segments),
        max(part.newest_mined_ms for part in plan.segments),
    )
    made = segment(plan.base_offset, plan.end_offset, plan.bytes, level=plan.level, mined_ms=times)
    return replace(made, partition=plan.partition)


def applied(segments: list[Segment], plans: list[CompactionPlan]) -> list[Segment]:
    gone = {part for plan in plans for part in plan.segments}
    return [part for part in segments if part not in gone] + [merged(plan) for plan in plans]


def settled(segments: list[Segment], limits: MergeLimits = LIMITS) -> tuple[list[Segment], int]:
    """Segments at the fixed point, and the bytes written on the way."""
    written = 0
    while plans := plan_compaction(segments, limits):
        after = applied(segments, plans)
        assert (len(after), _sealed(after)) < (len(segments), _sealed(segments))
        segments, written = after, written + sum(plan.bytes for plan in plans)
    return segments, written


def _sealed(segments: list[Segment]) -> int:
    """How many are as sealing left them."""
    return sum(part.level == 0 for part in segments)


def covered(segments: list[Segment], partition: PartitionId) -> Coverage:
    return Coverage.of(
        OffsetRange(part.base_offset, part.end_offset)
        for part in segments
        if part.partition == partition
    )


@given(stores())
def test_a_plan_is_a_small_contiguous_group_of_one_partition(segments: list[Segment]) -> None:
    plans = plan_compaction(segments, LIMITS)
    chosen = [part for plan in plans for part in plan.segments]
    assert len(chosen) == len(set(chosen)), "plans are disjoint"
    assert chosen == sorted(chosen, key=lambda part: (part.partition, part.base_offset))
    for plan in plans:
        assert len(plan.segments) >= 2
        assert {part.partition for part in plan.segments} == {plan.partition}
        assert all(a.end_offset == b.base_offset for a, b in pairwise(plan.segments))
        assert plan.bytes <= TARGET
        assert all(part.bytes < TARGET / 2 for part in plan.segments)
        assert plan.bytes >= GAIN * max(part.bytes for part in plan.segments)
        made = merged(plan)
        assert made.newest_mined_ms - made.oldest_mined_ms <= SPAN


@given(stores())
def test_it_settles_and_keeps_every_offset_in_order(segments: list[Segment]) -> None:
    after, _ = settled(segments)
    assert plan_compaction(after, LIMITS) == []
    for partition in PARTITIONS:
        assert covered(after, partition) == covered(segments, partition)
        mine = sorted(
            (part for part in after if part.partition == partition),
            key=lambda part: part.base_offset,
        )
        assert all(a.end_offset <= b.base_offset for a, b in pairwise(mine)), "no overlap"
    assert sum(part.bytes for part in after) == sum(part.bytes for part in segments)


@given(stores(), st.integers(0, 100))
def test_lone_segments_are_rewritten_once_when_nothing_joins_them(
    segments: list[Segment], before_ms: int
) -> None:
    limits = replace(LIMITS, lone_before_ms=before_ms)
    plans = plan_compaction(segments, limits)
    groups = [plan for plan in plans if len(plan.segments) > 1]
    assert groups == plan_compaction(segments, LIMITS), "merging comes first"
    for plan in plans:
        if len(plan.segments) == 1:
            (lone,) = plan.segments
            assert lone.level == 0
            assert lone.newest_mined_ms < before_ms
    after, written = settled(segments, limits)
    assert all(part.level > 0 or part.newest_mined_ms >= before_ms for part in after)
    for partition in PARTITIONS:
        assert covered(after, partition) == covered(segments, partition)
    _, without = settled(segments)
    assert written <= without + sum(part.bytes for part in segments)


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=60),
    st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_what_is_rewritten_is_bounded_however_segments_trickle_in(
    sizes: list[int], plan_after: list[bool]
) -> None:
    segments: list[Segment] = []
    written = 0
    for number, size in enumerate(sizes):
        segments.append(segment(number, number + 1, size))
        if plan_after[number]:
            segments, more = settled(segments)
            written += more
    rewrites_max = sum(
        size * (math.floor(math.log(TARGET / size) / math.log(GAIN)) + 1) for size in sizes
    )
    assert written <= rewrites_max
    assert all(part.level <= math.log(TARGET / min(sizes), GAIN) + 1 for part in segments)


def test_equal_segments_leave_few_behind() -> None:
    segments: list[Segment] = []
    for number in range(400):
        segments, _ = settled([*segments, segment(number, number + 1, 10)])
        full = sum(part.bytes >= TARGET / 2 for part in segments)
        assert full >= (number + 1) * 10 // TARGET - 1
        assert len(segments) - full <= math.log2(TARGET / 10)


def test_a_trickle_leaves_few_segments_of_each_span_behind() -> None:
    """One segment every five minutes for nine days, spans of 18 hours: a quarter of three days."""
    five_minutes, span = 300_000, 18 * 3_600_000
    limits = MergeLimits(256 << 20, span)
    segments: list[Segment] = []
    for number in range(9 * 288):
        times = number * five_minutes, (number + 1) * five_minutes - 1
        segments.append(segment(number, number + 1, 3_000, mined_ms=times))
        segments = [part for part in segments if times[1] - part.newest_mined_ms <= 4 * span]
        while plans := plan_compaction(segments, limits):
            segments = sorted(applied(segments, plans), key=lambda part: part.base_offset)
        assert len(segments) <= 5 * math.log2(span / five_minutes)
        # Whatever is there, the oldest of it is at most a span older than the retention.
        assert times[1] - segments[0].oldest_mined_ms <= 5 * span
