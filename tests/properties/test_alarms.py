"""Alarms over any history of conditions: raises and clears take turns, and neither comes early."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.alarms import AlarmKey, AlarmKind, Condition, Standing, Thresholds, judge

KEYS = [AlarmKey(AlarmKind.MINING_LAG, "main", topic) for topic in ("a", "b")]
LIMITS = Thresholds(0, 0.0, 0.0, 0.0, raise_after_ms=5, clear_after_ms=7)
BAD, NEARLY, GOOD = "bad", "nearly", "good"
STATES = st.fixed_dictionaries({key: st.sampled_from([BAD, NEARLY, GOOD]) for key in KEYS})
STEPS = st.lists(st.tuples(st.integers(0, 6), STATES), max_size=40)


@given(STEPS, st.booleans())
def test_raises_and_clears(steps: list[tuple[int, dict[AlarmKey, str]]], restarts: bool) -> None:
    now_ms = 1
    standing: dict[AlarmKey, Standing] = {}
    raised: set[AlarmKey] = set()
    bad_since: dict[AlarmKey, int | None] = dict.fromkeys(KEYS)
    gone_since: dict[AlarmKey, int | None] = dict.fromkeys(KEYS)
    for waited, states in steps:
        now_ms += waited
        conditions = {
            key: Condition(state, raises=state == BAD)
            for key, state in states.items()
            if state != GOOD
        }
        for key, state in states.items():
            bad_since[key] = (bad_since[key] or now_ms) if state == BAD else None
            gone_since[key] = (gone_since[key] or now_ms) if state == GOOD else None
        verdict = judge(conditions, standing, now_ms, LIMITS)
        standing = verdict.standing
        for key in verdict.raised:
            assert key not in raised
            since_ms = bad_since[key]
            assert since_ms is not None
            assert now_ms - since_ms >= LIMITS.raise_after_ms
            raised.add(key)
        for key in verdict.cleared:
            assert key in raised
            since_ms = gone_since[key]
            assert since_ms is not None
            assert now_ms - since_ms >= LIMITS.clear_after_ms
            raised.remove(key)
        assert {key for key, each in standing.items() if each.raised} == raised
        if restarts:  # what is only pending is forgotten, what stands is not
            standing = {
                key: Standing(each.message, True, None)
                for key, each in standing.items()
                if each.raised
            }
