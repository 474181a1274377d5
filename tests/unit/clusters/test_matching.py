from __future__ import annotations

from collections.abc import Callable

from cachesvc.clusters.matching import TopicMatching
from cachesvc.policy.topics import topic_matcher
from tests.unit.clusters.lookups import FakeLookup, source


def test_an_expression_is_matched_once_until_topics_change() -> None:
    made: list[str] = []

    def matcher(expression: str) -> Callable[[str], bool]:
        made.append(expression)
        return topic_matcher(expression)

    matching = TopicMatching(matcher)
    one, other = source(FakeLookup()), source(FakeLookup(), "spare")
    one.topics = {"orders": (0,), "items": (0,)}
    for _ in range(3):
        assert matching(one, "o.*") == ("orders",)
        assert matching(one, ".*") == ("orders", "items")
    assert made == ["o.*", ".*"]
    assert matching(other, "o.*") == ()
    one.topics = {**one.topics}  # as every look at the cluster does
    assert matching(one, "o.*") == ("orders",)
    assert made == ["o.*", ".*", "o.*"]
    one.topics["offers"] = (0,)  # as what is remembered of the cache does
    assert matching(one, "o.*") == ("orders", "offers")
    del one.topics["orders"]
    assert matching(one, "o.*") == ("offers",)


def test_expressions_that_nobody_uses_any_more_do_not_pile_up() -> None:
    made: list[str] = []

    def matcher(expression: str) -> Callable[[str], bool]:
        made.append(expression)
        return lambda name: name == expression

    matching = TopicMatching(matcher)
    known = source(FakeLookup())
    known.topics = {"t1": (0,)}
    for number in range(2_500):
        assert matching(known, f"t{number}") == (("t1",) if number == 1 else ())
    assert len(matching._matched[known.name].by_expression) <= 1_000
    assert len(made) == 2_500
