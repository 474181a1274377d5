"""What a partition with little traffic leaves on disk, by a clock that is simulated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.model import Segment
from cachesvc.policy.compaction import MergeLimits, plan_compaction
from cachesvc.policy.retention import RetentionClock, RetentionRule
from cachesvc.policy.sealing import SealCause, SealLimits, should_seal
from cachesvc.settings.config import RetentionConfig, StoreConfig
from cachesvc.settings.jobs import CompactConfig
from tests.support.frames import ORDERS

DAY_S = 86_400
# As measured: a change event of 500 bytes alone in its append, and what of it a segment has beside
# what every segment has.
FRAME_BYTES, SEGMENT_BYTES, ROW_BYTES = 1_064, 2_700, 120


def limits(store: StoreConfig) -> SealLimits:
    return SealLimits(
        store.segment_bytes_max,
        store.segment_records_max,
        int(store.segment_age_s_max * 1000),
        store.segment_bytes_min,
        int(store.segment_age_s_min * 1000),
    )


def sealed(
    appends: Iterable[tuple[int, int]], until_s: int, within: SealLimits
) -> Iterator[tuple[int, int, int, SealCause]]:
    """When journals are sealed that get so many bytes at these seconds, which rise."""
    left = list(appends)[::-1]
    size = records = opened_s = 0
    for now_s in range(until_s):
        cause = should_seal(size, records, opened_s * 1000, now_s * 1000, within)
        if cause is not None:
            yield now_s, size, records, cause
            size = records = 0
        while left and left[-1][0] <= now_s:
            if not records:
                opened_s = now_s
            size += left.pop()[1]
            records += 1


def after_a_day(every_s: int) -> tuple[int, int]:
    """Segments that were made of a record every so often, and how many compaction left."""
    store, compact = StoreConfig(), CompactConfig()
    age_ms = int(RetentionConfig().age_s * 1000)
    rule = RetentionRule(RetentionClock.MINED, age_ms, age_ms)
    within = MergeLimits(compact.segment_bytes_target, rule.merged_span_ms)
    appends = [(at_s, FRAME_BYTES) for at_s in range(0, DAY_S, every_s)]
    made = list(sealed(appends, DAY_S, limits(store)))
    live: list[Segment] = []
    offset = 0
    sealed_s = 0
    waiting = made[::-1]
    for now_s in range(0, DAY_S, int(compact.interval_s)):
        while waiting and waiting[-1][0] <= now_s:
            at_s, _, records, _ = waiting.pop()
            size = SEGMENT_BYTES + ROW_BYTES * records
            live.append(segment(offset, offset + records, size, 0, (sealed_s, at_s)))
            offset, sealed_s = offset + records, at_s
        for plan in plan_compaction(live, within):
            mined_s = (
                min(part.oldest_mined_ms for part in plan.segments) // 1000,
                max(part.newest_mined_ms for part in plan.segments) // 1000,
            )
            merged = segment(plan.base_offset, plan.end_offset, plan.bytes, plan.level, mined_s)
            rest = [each for each in live if each not in plan.segments]
            live = sorted([*rest, merged], key=lambda each: each.base_offset)
    return len(made), len(live)


def segment(base: int, end: int, size: int, level: int, mined_s: tuple[int, int]) -> Segment:
    name = f"{base}-{end}.parquet"
    found = Segment(ORDERS, base, end, end - base, size, 0, 0, 0, level, name)
    oldest_s, newest_s = mined_s
    return replace(found, oldest_mined_ms=oldest_s * 1000, newest_mined_ms=newest_s * 1000)


@pytest.mark.parametrize(
    ("every_s", "made", "left"), [(3_600, 23, 2), (60, 23, 2), (5, 23, 2), (1, 87, 4)]
)
def test_what_a_record_now_and_then_leaves_after_a_day(every_s: int, made: int, left: int) -> None:
    assert after_a_day(every_s) == (made, left)


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 3_000)), max_size=200),
    st.integers(1, 5_000),
    st.integers(1, 2_000),
    st.integers(1, 10_000),
)
def test_small_journals_are_sealed_as_seldom_as_is_said(
    appends: list[tuple[int, int]], age_s: int, ripe_age_s: int, ripe_bytes: int
) -> None:
    within = SealLimits(1 << 40, 1 << 40, age_s * 1000, ripe_bytes, ripe_age_s * 1000)
    made = list(sealed(sorted(appends), 30_000, within))
    assert len(made) <= 30_000 / age_s + sum(size for _, size in appends) / ripe_bytes
    # And none waits longer than it may.
    assert sum(records for *_, records, _ in made) == len(appends)
    before_s = 0
    for now_s, size, _, cause in made:
        assert cause is SealCause.AGE
        assert size >= ripe_bytes or now_s - before_s >= age_s
        before_s = now_s
