"""What retention has dropped, as a catalogue keeps it; a part of ``ports.Catalogue``."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

DROPS_MAX = 10_000
"""The newest drops that a catalogue keeps."""


class DropCause(Enum):
    """Why records are no longer cached."""

    AGE = "AGE"
    """They have been there for as long as the retention says."""
    TOPIC_BYTES = "TOPIC_BYTES"
    """Their topic held more bytes than it may."""
    TOPIC_RECORDS = "TOPIC_RECORDS"
    """Their topic held more records than it may."""
    STORE_BYTES = "STORE_BYTES"
    """Their store held more bytes than its budget, and their topic most of it."""


@dataclass(frozen=True, slots=True)
class DropRecord:
    """What was dropped of a topic at one time for one cause.

    Attributes:
        at_ms: When.
        connection: The topic's.
        topic: Its name.
        cause: Why.
        store: The store that was over its budget; empty for other causes.
        segments: How many.
        records: In them.
        bytes: Of them.
        detail: How much was too much, for people.
    """

    at_ms: int
    connection: str
    topic: str
    cause: DropCause
    store: str
    segments: int
    records: int
    bytes: int
    detail: str


class Drops(Protocol):
    """Drops; every method is one transaction, see ``ports``."""

    def add(self, drops: Sequence[DropRecord]) -> None:
        """Appends to the history, at once; the newest ``DROPS_MAX`` are kept."""

    def list(self, connection: str, topic: str, limit: int) -> Sequence[DropRecord]:
        """Past drops of a topic, or of all for empty names, the newest first."""
