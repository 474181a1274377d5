"""Rings of figures against lists of all there ever was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy.rings import Rings

SUBJECTS = ["a", "b", "c"]
FIGURES = st.tuples(st.integers(0, 9), st.integers(0, 9))


@given(
    st.lists(st.dictionaries(st.sampled_from(SUBJECTS), FIGURES), max_size=12), st.integers(1, 5)
)
def test_the_newest_moments_are_told(
    moments: list[dict[str, tuple[int, int]]], moments_max: int
) -> None:
    rings: Rings[str] = Rings(2, moments_max, len(SUBJECTS))
    for at_ms, found in enumerate(moments):
        before = {subject: list(rings.of(subject)) for subject in SUBJECTS}
        rings.begin()
        for subject, values in found.items():
            rings.put(subject, values)
        for subject in SUBJECTS:
            assert list(rings.of(subject)) == before[subject], "it is told at its end"
        rings.end(at_ms)
        kept = list(enumerate(moments[: at_ms + 1]))[-moments_max:]
        for subject in SUBJECTS:
            wanted = [(when, each.get(subject, (0, 0))) for when, each in kept]
            assert list(rings.of(subject)) == wanted
            since = [row for row in wanted if row[0] >= 3]
            assert list(rings.of(subject, since_ms=3)) == since


@given(st.lists(st.dictionaries(st.integers(0, 9), FIGURES), max_size=12), st.integers(0, 4))
def test_so_many_subjects_are_kept_at_most(
    moments: list[dict[int, tuple[int, int]]], subjects_max: int
) -> None:
    rings: Rings[int] = Rings(2, 3, subjects_max)
    for at_ms, found in enumerate(moments):
        rings.begin()
        for subject, values in found.items():
            rings.put(subject, values)
            assert len(rings) <= subjects_max
        rings.end(at_ms)
        last = {subject for each in moments[max(0, at_ms - 2) : at_ms + 1] for subject in each}
        if len(set().union(*moments[: at_ms + 1])) <= subjects_max:
            for subject in last:
                told = [values for _, values in rings.of(subject)]
                assert told == [
                    each.get(subject, (0, 0)) for each in moments[max(0, at_ms - 2) : at_ms + 1]
                ]
