"""Retention against a list of records that know when they were really mined."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.model import Segment
from cachesvc.policy.compaction import MergeLimits, plan_compaction
from cachesvc.policy.mined_times import ClockReading, put_right
from cachesvc.policy.retention import RetentionClock, RetentionRule, plan_retention
from tests.unit.policy.notation import segment

MINUTE = 60_000
AGE = 100 * MINUTE
STEP_MAX = 30 * MINUTE
MERGED_BYTES_MAX = 20
TIMESTAMPS = st.sampled_from([-1, 0, 1, 10**12, 2**62])
RULES = st.builds(
    RetentionRule,
    st.sampled_from(RetentionClock),
    st.just(AGE),
    st.sampled_from([AGE // 2, AGE, 2 * AGE]),
)


@dataclass(frozen=True)
class Step:
    """Time passes, somebody may set the clock, records are mined, jobs run, a task commits."""

    passed_ms: int
    set_by_ms: int
    timestamps: list[int]
    merges: bool
    reads: int


STEPS = st.builds(
    Step,
    st.integers(1, STEP_MAX),
    st.just(0) | st.integers(MINUTE, 10**12) | st.integers(-(10**12), -MINUTE),
    st.lists(TIMESTAMPS, max_size=3),
    st.booleans(),
    st.integers(0, 4),
)


@dataclass
class Log:
    """A partition: what was really mined when, and what retention knows of it.

    Attributes:
        mined: When each record was mined by the steady clock; the index is its offset.
        segments: What is cached, in order.
        position: Up to where its only task has read.
    """

    mined: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    position: int = 0

    @property
    def start(self) -> int:
        return self.segments[0].base_offset if self.segments else len(self.mined)

    def mine(self, timestamps: list[int], now: ClockReading) -> None:
        for timestamp_ms in timestamps:
            base = len(self.mined)
            times = now.wall_ms, now.wall_ms
            self.segments.append(segment(base, base + 1, 1, newest_ms=timestamp_ms, mined_ms=times))
            self.mined.append(now.steady_ms)

    def merge(self, limits: MergeLimits) -> None:
        for plan in plan_compaction(self.segments, limits):
            first, last = plan.segments[0], plan.segments[-1]
            made = replace(
                first,
                end_offset=last.end_offset,
                bytes=plan.bytes,
                max_timestamp_ms=max(part.max_timestamp_ms for part in plan.segments),
                oldest_mined_ms=min(part.oldest_mined_ms for part in plan.segments),
                newest_mined_ms=max(part.newest_mined_ms for part in plan.segments),
            )
            at = self.segments.index(first)
            self.segments[at : at + len(plan.segments)] = [made]

    def expire(self, earlier: ClockReading, now: ClockReading, rule: RetentionRule) -> list[int]:
        """Runs the job; the offsets that went."""
        self.segments = [
            replace(
                each,
                oldest_mined_ms=put_right(each.oldest_mined_ms, earlier, now),
                newest_mined_ms=put_right(each.newest_mined_ms, earlier, now),
            )
            for each in self.segments
        ]
        before = self.start
        plan = plan_retention(self.segments, now.wall_ms, rule, lambda: self.position)
        assert list(plan.dropped) == self.segments[: len(plan.dropped)], "a prefix"
        self.segments = self.segments[len(plan.dropped) :]
        assert plan.log_start_offset in (None, plan.dropped[-1].end_offset if plan.dropped else 0)
        again = plan_retention(self.segments, now.wall_ms, rule, lambda: self.position)
        assert not again.dropped, "applied twice, it does nothing the second time"
        return list(range(before, self.start))


@given(st.lists(STEPS, max_size=25), RULES)
def test_nothing_goes_before_its_time_and_everything_soon_after(
    steps: list[Step], rule: RetentionRule
) -> None:
    log = Log()
    now = ClockReading(10**12, 0)
    set_back_ms = 0
    for step in steps:
        earlier = now
        log.mine(step.timestamps, now)
        now = ClockReading(
            now.wall_ms + step.passed_ms + step.set_by_ms, now.steady_ms + step.passed_ms
        )
        set_back_ms += max(0, -step.set_by_ms)
        if step.merges:
            log.merge(MergeLimits(MERGED_BYTES_MAX, rule.merged_span_ms))
        log.position = min(len(log.mined), max(log.position, log.start) + step.reads)
        for offset in log.expire(earlier, now, rule):
            age_ms = now.steady_ms - log.mined[offset]
            if rule.clock is RetentionClock.MINED:
                assert age_ms > rule.age_ms
            if offset >= log.position:
                assert age_ms > rule.unread_ms
        # What a clock that was set back takes longer is bounded by how far, and by another time.
        late_ms = min(set_back_ms, 25 * rule.unread_ms) + rule.merged_span_ms + STEP_MAX
        kept_ms = max(rule.age_ms, rule.unread_ms) + late_ms
        assert all(now.steady_ms - mined <= kept_ms for mined in log.mined[log.start :])


@given(st.lists(TIMESTAMPS, min_size=1, max_size=8), RULES)
def test_no_timestamp_keeps_anything_longer_than_its_mining_does(
    timestamps: list[int], rule: RetentionRule
) -> None:
    log = Log()
    log.mine(timestamps, ClockReading(10**12, 0))
    now = ClockReading(10**12 + max(rule.age_ms, rule.unread_ms) + 1, 0)
    assert log.expire(now, now, rule) == list(range(len(timestamps)))
