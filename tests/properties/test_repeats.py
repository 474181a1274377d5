"""Every line is written or counted, however they come; memory is bounded."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.repeats import WINDOW_S, Key, Repeats

lines = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 9),
        st.floats(0, 2 * WINDOW_S),
    ),
    max_size=200,
)


@given(lines, st.integers(1, 5), st.integers(1, 8))
def test_every_line_is_written_or_counted(
    said: list[tuple[str, int, float]], lines_max: int, things_max: int
) -> None:
    repeats, now_s = Repeats(lines_max, things_max), 0.0
    written, counted = Counter[Key](), Counter[Key]()
    keys: set[Key] = set()
    in_window: dict[Key, list[float]] = {}
    for event, thing, passed_s in said:
        now_s += passed_s
        for key, count in repeats.ended(now_s):
            counted[key] += count
        key, is_written = repeats.admit(event, thing, now_s)
        keys.add(key)
        if is_written:
            written[key] += 1
            times = in_window.setdefault(key, [])
            times.append(now_s)
            recent = [at for at in times if at > now_s - WINDOW_S]
            assert len(recent) <= 2 * lines_max, "at the end of a window and the begin of the next"
        else:
            counted[key] += 0
    for key, count in repeats.ended(float("inf")):
        counted[key] += count
    assert written.total() + counted.total() == len(said)
    assert all(written[key] >= 1 for key in keys), "the first of its kind is always written"


@given(lines, st.integers(1, 4))
def test_no_more_is_remembered_than_may_be(
    said: list[tuple[str, int, float]], things_max: int
) -> None:
    repeats = Repeats(1, things_max)
    for event, thing, _ in said:
        repeats.admit(event, thing, 0.0)
    assert len(repeats._windows) <= 2 * things_max + 1
