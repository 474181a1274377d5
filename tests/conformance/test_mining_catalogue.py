"""The contract of ``mining_ports.MiningCatalogue``, for each implementation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cachesvc.model import MiningStart, StartKind
from cachesvc.policy.mining_task import TaskState, TopicState
from cachesvc.store.mining_ports import (
    MinedTopicRecord,
    MiningTaskRecord,
    MiningTransition,
    OwnRetention,
    TopicPin,
)
from cachesvc.store.ports import Catalogue

MAIN = MiningTaskRecord("main", "main", TaskState.RUNNING, "subscription copies", 10, 5)
SPARE = MiningTaskRecord(
    "spare",
    "the other “one”",
    TaskState.STOPPED,
    "an operator stopped it",
    20,
    15,
    start=MiningStart(StartKind.TIMESTAMP, 2**62),
    retention=OwnRetention(86_400.5, 2**60, 2**59),
)
ORDERS = MinedTopicRecord("main", "orders", TopicState.MINING, "", 11, 6, 2**62)
ITEMS = MinedTopicRecord("main", "items", TopicState.STOPPED, "by an operator", 12, 7, 8)
OTHER = MinedTopicRecord("spare", "orders", TopicState.PAUSED_IDLE, "unused", 13, 7, 8)


def transition(at_ms: int, topic: str = "", connection: str = "main") -> MiningTransition:
    return MiningTransition(connection, topic, at_ms, "WAITING", "RUNNING", f"cause {at_ms}")


def test_a_new_one_is_empty(catalogue: Catalogue) -> None:
    assert catalogue.list_mining_tasks() == []
    assert catalogue.list_mined_topics() == []
    assert catalogue.list_mining_transitions("main", "", 10) == []
    assert catalogue.list_topic_pins() == []


def test_tasks_and_topics_are_listed_in_order(catalogue: Catalogue) -> None:
    catalogue.put_mining([SPARE, MAIN], [OTHER, ORDERS, ITEMS], [])
    assert catalogue.list_mining_tasks() == [MAIN, SPARE]
    assert catalogue.list_mined_topics() == [ITEMS, ORDERS, OTHER]


def test_they_change_again_and_again(catalogue: Catalogue) -> None:
    for number in range(4):
        own = OwnRetention(float(number) or None, number or None, 2 * number or None)
        task = replace(MAIN, name=f"n{number}", since_ms=number, retention=own)
        topic = replace(ORDERS, state=TopicState.FAILED, cause=f"c{number}", used_ms=number)
        for _ in range(2):
            catalogue.put_mining([task], [topic, ITEMS], [])
        assert catalogue.list_mining_tasks() == [task]
        assert catalogue.list_mined_topics() == [ITEMS, topic]


def test_topics_that_have_left_are_forgotten_and_may_join_again(catalogue: Catalogue) -> None:
    catalogue.put_mining([MAIN], [ORDERS, ITEMS], [])
    catalogue.put_mining([], [replace(ORDERS, state=TopicState.LEFT)], [])
    assert catalogue.list_mined_topics() == [ITEMS]
    catalogue.put_mining([], [replace(ORDERS, joined_ms=99)], [])
    assert catalogue.list_mined_topics() == [ITEMS, replace(ORDERS, joined_ms=99)]


def test_transitions_are_listed_newest_first_in_the_order_of_their_entry(
    catalogue: Catalogue,
) -> None:
    catalogue.put_mining([], [], [transition(5), transition(5, "orders"), transition(4)])
    catalogue.put_mining([], [], [transition(5, "items"), transition(9, connection="spare")])
    assert catalogue.list_mining_transitions("main", "", 10) == [
        transition(5, "items"),
        transition(4),
        transition(5, "orders"),
        transition(5),
    ]
    assert catalogue.list_mining_transitions("main", "orders", 10) == [transition(5, "orders")]
    assert catalogue.list_mining_transitions("main", "", 1) == [transition(5, "items")]
    assert catalogue.list_mining_transitions("other", "", 10) == []


def test_the_newest_transitions_of_each_task_are_kept(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mining_tables", "memory_mining"):
        monkeypatch.setattr(f"cachesvc.store.{module}.TRANSITIONS_MAX", 20)
    catalogue.put_mining([], [], [transition(0, connection="spare")])
    catalogue.put_mining([], [], [transition(number) for number in range(15)])
    catalogue.put_mining([], [], [transition(number) for number in range(15, 28)])
    kept = catalogue.list_mining_transitions("main", "", 1_000)
    assert [each.at_ms for each in kept] == list(range(27, 7, -1))
    assert len(catalogue.list_mining_transitions("spare", "", 10)) == 1


def test_pins_come_and_go(catalogue: Catalogue) -> None:
    pin = TopicPin("main", "orders", "one", strict=True)
    other = TopicPin("main", "items", "two", strict=False)
    catalogue.put_topic_pin(pin)
    catalogue.put_topic_pin(other)
    assert catalogue.list_topic_pins() == [other, pin]
    catalogue.put_topic_pin(replace(pin, reader="two", strict=False))
    assert catalogue.list_topic_pins() == [other, replace(pin, reader="two", strict=False)]
    for _ in range(2):
        catalogue.delete_topic_pin("main", "orders")
    assert catalogue.list_topic_pins() == [other]


def test_a_task_is_forgotten_with_all_that_belongs_to_it(catalogue: Catalogue) -> None:
    pin = TopicPin("main", "orders", "one", strict=True)
    other = TopicPin("spare", "orders", "one", strict=True)
    changes = [transition(1), transition(2, "orders"), transition(3, connection="spare")]
    catalogue.put_mining([MAIN, SPARE], [ORDERS, ITEMS, OTHER], changes)
    catalogue.put_topic_pin(pin)
    catalogue.put_topic_pin(other)
    for _ in range(2):
        catalogue.forget_mining("main")
    assert catalogue.list_mining_tasks() == [SPARE]
    assert catalogue.list_mined_topics() == [OTHER]
    assert catalogue.list_mining_transitions("main", "", 10) == []
    assert catalogue.list_mining_transitions("spare", "", 10) == changes[2:]
    assert catalogue.list_topic_pins() == [other]
    catalogue.put_mining([MAIN], [ORDERS], changes[:1])
    assert catalogue.list_mined_topics() == [ORDERS, OTHER]
