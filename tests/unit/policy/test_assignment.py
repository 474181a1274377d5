from __future__ import annotations

import pytest

from cachesvc.policy.assignment import assign


def by_reader(assignment: dict[str, str]) -> dict[str, str]:
    """`{"r1": "a b"}`: the topics of each reader, in order."""
    found: dict[str, list[str]] = {}
    for topic, reader in sorted(assignment.items()):
        found.setdefault(reader, []).append(topic)
    return {reader: " ".join(topics) for reader, topics in sorted(found.items())}


def equal(topics: str) -> dict[str, float]:
    return dict.fromkeys(topics.split(), 1.0)


def owned(**topics: str) -> dict[str, str]:
    """`owned(r1="a b")` is the current assignment `{"a": "r1", "b": "r1"}`."""
    return {topic: reader for reader, names in topics.items() for topic in names.split()}


@pytest.mark.parametrize(
    ("topics", "readers", "before", "after"),
    [
        ("", ["r1"], {}, {}),
        ("a b", [], owned(r1="a b"), {}),
        ("a b c", ["r1"], {}, {"r1": "a b c"}),
        ("a b c d", ["r1", "r2"], {}, {"r1": "a c", "r2": "b d"}),
        # What is assigned stays where it is.
        ("a b c d", ["r1", "r2"], owned(r1="a b", r2="c d"), {"r1": "a b", "r2": "c d"}),
        # A new topic goes to whoever has least.
        ("a b c d", ["r1", "r2"], owned(r1="a b", r2="c"), {"r1": "a b", "r2": "c d"}),
        # A topic that is no longer needed leaves.
        ("a c", ["r1", "r2"], owned(r1="a b", r2="c"), {"r1": "a", "r2": "c"}),
        # A reader that has left loses its topics to the others.
        ("a b c d", ["r1", "r3"], owned(r1="a", r2="b c", r3="d"), {"r1": "a b", "r3": "c d"}),
        # A reader that joins takes as few topics as make things even.
        ("a b c d", ["r1", "r2"], owned(r1="a b c d"), {"r1": "c d", "r2": "a b"}),
        ("a b c", ["r1", "r2"], owned(r1="a b", r2="c"), {"r1": "a b", "r2": "c"}),
        ("a b", ["r1", "r2", "r3"], owned(r3="a b"), {"r1": "a", "r3": "b"}),
    ],
)
def test_equal_topics(
    topics: str, readers: list[str], before: dict[str, str], after: dict[str, str]
) -> None:
    assert by_reader(assign(equal(topics), readers, before)) == after
    assert by_reader(assign(equal(topics), readers[::-1], before)) == after


def test_heavy_topics_are_spread_first() -> None:
    weights = {"a": 10.0, "b": 40.0, "c": 30.0, "d": 20.0}
    assert by_reader(assign(weights, ["r1", "r2"], {})) == {"r1": "a b", "r2": "c d"}


def test_a_topic_heavier_than_all_others_gets_a_reader_to_itself() -> None:
    weights = {"huge": 1_000.0, "a": 300.0, "b": 300.0}
    after = assign(weights, ["r1", "r2"], owned(r1="huge a b"))
    assert by_reader(after) == {"r1": "a b", "r2": "huge"}


def test_one_reader_with_one_huge_topic_does_not_keep_the_others_uneven() -> None:
    weights = {"huge": 30.0} | dict.fromkeys("abcdef", 4.0)
    after = assign(weights, ["r1", "r2", "r3"], owned(r1="huge", r2="a b c d e f"))
    assert by_reader(after) == {"r1": "huge", "r2": "d e f", "r3": "a b c"}


def test_small_differences_are_not_worth_a_move() -> None:
    weights = {"a": 100.0, "b": 100.0, "c": 10.0, "d": 5.0}
    before = owned(r1="a c d", r2="b")
    assert assign(weights, ["r1", "r2"], before) == before


@pytest.mark.parametrize(
    ("readers", "cut_off", "before", "after"),
    [
        ("r1 r2", "r1", owned(r1="a b", r2="c"), {"r2": "a b c"}),
        # Among those that are left, the load is even.
        ("r1 r2 r3", "r1", owned(r1="a b c d"), {"r2": "a c", "r3": "b d"}),
        # Where all are cut off, nothing moves.
        ("r1 r2", "r1 r2", owned(r1="a b", r2="c"), {"r1": "a b", "r2": "c"}),
    ],
)
def test_who_is_cut_off_from_the_brokers_gets_nothing_while_another_is_not(
    readers: str, cut_off: str, before: dict[str, str], after: dict[str, str]
) -> None:
    weights = dict.fromkeys(before, 1.0)
    assert by_reader(assign(weights, readers.split(), before, {}, cut_off.split())) == after


def test_the_order_is_that_of_the_topics() -> None:
    assert list(assign(equal("c a b"), ["r1", "r2"], {})) == ["c", "a", "b"]
