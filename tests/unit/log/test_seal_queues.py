from __future__ import annotations

from pathlib import Path

from cachesvc.log.locations import JournalEntry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.seal_queues import SealQueues
from cachesvc.model import PartitionId, TopicId


def log(topic: str) -> PartitionLog:
    return PartitionLog(PartitionId("main", topic, 1, 0), 0)


def journal(begin: int) -> JournalEntry:
    return JournalEntry(Path(f"{begin}.journal"), begin, begin + 10, 100, 0)


class Choice:
    def __init__(self) -> None:
        self.of: dict[str, str] = {}

    def __call__(self, topic: TopicId) -> str:
        return self.of.get(topic.topic, "local")


def begins(queues: SealQueues, store: str) -> list[int]:
    """Takes all of a store out."""
    found = []
    while (first := queues.first(store)) is not None:
        found.append(first[1].base_offset)
        queues.done(store)
    return found


def test_each_store_has_its_queue_in_order() -> None:
    choice = Choice()
    choice.of["items"] = "cold"
    queues = SealQueues(choice)
    orders, items = log("orders"), log("items")
    assert [queues.add(orders, journal(0)), queues.add(items, journal(5))] == ["local", "cold"]
    queues.add(orders, journal(10))
    assert len(queues) == 3
    assert (queues.count("local"), queues.bytes("local")) == (2, 200)
    assert (queues.count("cold"), queues.bytes("cold")) == (1, 100)
    assert begins(queues, "local") == [0, 10]
    assert begins(queues, "cold") == [5]
    assert (len(queues), queues.bytes("local")) == (0, 0)


def test_journals_of_a_log_wait_for_one_store_in_order_whatever_is_chosen_meanwhile() -> None:
    choice = Choice()
    queues = SealQueues(choice)
    orders, items = log("orders"), log("items")
    queues.add(orders, journal(0))
    choice.of["orders"] = "cold"
    assert queues.add(orders, journal(10)) == "local", "one before it waits there"
    queues.add(items, journal(3))
    assert queues.sort_again("local") == {"cold"}
    assert queues.add(orders, journal(20)) == "cold"
    assert begins(queues, "local") == [3]
    assert begins(queues, "cold") == [0, 10, 20]
    choice.of["orders"] = "local"
    assert queues.add(orders, journal(30)) == "local"


def test_what_stays_is_not_sorted_away() -> None:
    queues = SealQueues(Choice())
    queues.add(log("orders"), journal(0))
    assert queues.sort_again("local") == set()
    assert queues.sort_again("unknown") == set()
    assert begins(queues, "local") == [0]
