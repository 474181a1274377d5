"""What a catalogue keeps of models, as a port of its own; see ``ports.Catalogue.models``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cachesvc.model import TopicId
from cachesvc.policy.models import Change, Model

MODEL_CHANGES_MAX = 100
"""The newest changes of each topic that a catalogue keeps."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A topic's model without its fields.

    Attributes:
        topic: Whose.
        field_count: Of the value itself as well.
        truncated: Whether fields were left out.
        records_seen: Records that were looked at.
        first_ms: Smallest timestamp of those.
        last_ms: Largest timestamp of those.
        refreshed_ms: When the refresh began that looked at records last.
        changed_ms: When the refresh began that changed a field last, or made the model.
    """

    topic: TopicId
    field_count: int
    truncated: bool
    records_seen: int
    first_ms: int
    last_ms: int
    refreshed_ms: int
    changed_ms: int


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A topic's model as it is stored.

    Attributes:
        summary: Everything but the fields; ``field_count`` is theirs.
        model: The fields.
        offsets: Per partition number the offset up to which records were looked at, or skipped.
    """

    summary: ModelSummary
    model: Model
    offsets: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Looked:
    """What of a topic was looked at.

    Attributes:
        refreshed_ms: When the refresh began that looked last.
        offsets: As in ``ModelRecord``.
    """

    refreshed_ms: int = 0
    offsets: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotedChange:
    """A change of a topic's model, and when the refresh began that noted it."""

    topic: TopicId
    noted_ms: int
    change: Change


class Models(Protocol):
    """Models of topics; every method is one transaction, see ``ports``."""

    def put(self, models: Sequence[ModelRecord], changes: Sequence[NotedChange]) -> None:
        """Enters or changes models and adds to their history, at once.

        All are of one connection. The newest ``MODEL_CHANGES_MAX`` changes of each topic are kept.
        """

    def get(self, topic: TopicId) -> ModelRecord | None:
        """The model of a topic, if there is one."""

    def page(self, connection: str, after: TopicId | None, limit: int) -> list[ModelSummary]:
        """A page of a connection's models, ordered by topic; the first, or behind ``after``."""

    def looked(self, connection: str) -> dict[TopicId, Looked]:
        """What was looked at of each topic that has a model."""

    def changes(self, topic: TopicId) -> list[NotedChange]:
        """The history of a topic, the newest first, then by path."""

    def counts(self) -> dict[str, int]:
        """How many models each connection has; connections without any are left out."""

    def note_refresh(self, connection: str, at_ms: int) -> None:
        """Notes when the last refresh of a connection began."""

    def refreshes(self) -> dict[str, int]:
        """When the last refresh of each connection began; those without any are left out."""
