"""What subscriptions want, worked out once for all that want the same."""

from __future__ import annotations

import pytest

from cachesvc.assignment.mining_tasks import Use
from cachesvc.assignment.uses import uses_of
from cachesvc.clusters.sources import Source
from cachesvc.model import Mode
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.subscriptions.subscriptions import Subscription
from tests.unit.clusters.lookups import FakeLookup, source


@pytest.fixture
def main() -> Source:
    made = source(FakeLookup(orders=1, items=1, other=1))
    made.topics = dict.fromkeys(("orders", "items", "other"), (0,))
    return made


def _one(
    name: str,
    *topics: str,
    expression: str = "",
    at_ms: int = 0,
    connected: bool = False,
    connection: str = "main",
) -> Subscription:
    record = SubscriptionRecord(
        name, connection, topics, expression, Mode.FULL, 1, False, 1, at_ms or None
    )
    return Subscription(record, connected=connected)


class _Matching:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, of: Source, expression: str) -> list[str]:
        self.asked.append(expression)
        return [name for name in of.topics if name != "orders"]


def test_the_last_use_counts(main: Source) -> None:
    subscriptions = [
        _one("old", "orders", "items", at_ms=5),
        _one("new", "orders", at_ms=9),
        _one("wild", expression=".*", at_ms=7),
        _one("elsewhere", "orders", at_ms=99, connection="spare"),
        _one("gone", "unknown", at_ms=99),
    ]
    for order in (subscriptions, subscriptions[::-1]):
        assert uses_of(main, order, _Matching(), 100) == {
            "orders": Use(9, "new"),
            "items": Use(7, "wild"),
            "other": Use(7, "wild"),
        }


def test_a_stream_uses_its_topics_now(main: Source) -> None:
    found = uses_of(
        main, [_one("a", "orders", connected=True), _one("b", "orders", at_ms=9)], _Matching(), 100
    )
    assert found == {"orders": Use(100, "a")}


def test_an_expression_is_matched_once_however_many_have_it(main: Source) -> None:
    matching = _Matching()
    subscriptions = [_one(f"task-{n}", expression=".*", at_ms=n + 1) for n in range(1_000)]
    found = uses_of(main, [*subscriptions, _one("x", expression="o.*")], matching, 5_000)
    assert matching.asked == ["o.*", ".*"]
    assert found == dict.fromkeys(("items", "other"), Use(1_000, "task-999"))
