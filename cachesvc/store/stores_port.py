"""What a catalogue keeps of stores, as a port: those made over Admin, tests, what was moved where.

The contract of ``ports.Catalogue`` holds: every method is one transaction, and durable on return.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cachesvc.model import TopicId


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """A store that was made over Admin.

    Attributes:
        name: Unique in the service.
        settings_json: Its settings, without secrets.
        created_ms: When it was made.
        updated_ms: When its settings were last changed.
    """

    name: str
    settings_json: str
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class StoreTested:
    """What the last test of a store found; ``failed`` names the check, empty if all passed."""

    tested_ms: int
    failed: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Placement:
    """What lies in which store because somebody moved it there.

    Attributes:
        connection: Whose.
        topic: Which, in all incarnations; empty for all of the connection without their own.
        store: Where.
    """

    connection: str
    topic: str
    store: str


def placed(placements: Sequence[Placement], topic: TopicId) -> str:
    """The store that a topic was moved to, by itself or with its connection; empty if it was not.

    >>> both = [Placement("main", "", "cold"), Placement("main", "orders", "hot")]
    >>> placed(both, TopicId("main", "orders")), placed(both, TopicId("main", "items"))
    ('hot', 'cold')
    """
    found = {each.topic: each.store for each in placements if each.connection == topic.connection}
    return found.get(topic.topic, "") or found.get("", "")


class StoresKept(Protocol):
    """Stores, by name."""

    def list_made(self) -> list[StoreRecord]:
        """Those made over Admin, ordered by name."""

    def put(self, records: Sequence[StoreRecord]) -> None:
        """Enters some or changes them, at once; ``created_ms`` of those that are there stays."""

    def delete(self, name: str) -> None:
        """Forgets a store and its test; nothing happens if there is none."""

    def list_tests(self) -> dict[str, StoreTested]:
        """The last test of each store that was tested."""

    def put_test(self, name: str, tested: StoreTested) -> None:
        """Enters the last test of a store, whether it was made over Admin or not."""

    def list_placements(self) -> list[Placement]:
        """All of them, in order."""

    def place(self, placement: Placement, now_ms: int) -> None:
        """Enters one, or changes where it is; one of a connection replaces those of its topics."""

    def forget_placements(self, connection: str) -> None:
        """Forgets all of a connection."""
