from __future__ import annotations

from cachesvc.web.families import OTHER, Bounded, Kind, Rows


def test_the_first_names_have_series_of_their_own_for_good() -> None:
    bounded = Bounded(2)
    assert [bounded.label("main", name) for name in "abcab"] == ["a", "b", OTHER, "a", "b"]
    assert bounded.label("spare", "a") == OTHER
    assert bounded.label("main", "c") == OTHER


def test_what_falls_together_is_added_up_or_the_largest_counts() -> None:
    added, largest = Rows(), Rows(max)
    for rows in (added, largest):
        for labels, value in ((("x",), 1), (("y",), 5), (("x",), 3), (("x",), True)):
            rows.add(labels, value)
    assert added.family("a", Kind.GAUGE, "", ("l",)).rows == [(("x",), 5.0), (("y",), 5.0)]
    assert largest.family("a", Kind.GAUGE, "", ("l",)).rows == [(("x",), 3.0), (("y",), 5.0)]
