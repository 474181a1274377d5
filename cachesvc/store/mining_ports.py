"""What mining tasks need of a catalogue: a part of ``ports.Catalogue``, with the same rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cachesvc.model import FROM_EARLIEST, MiningStart
from cachesvc.policy.mining_task import TaskState, TopicState

TRANSITIONS_MAX = 1_000
"""Past transitions of each mining task that a catalogue keeps."""


@dataclass(frozen=True, slots=True)
class OwnRetention:
    """What a mining task says of retention; None where the service's setting decides.

    Attributes:
        age_s: How long records stay, in seconds.
        bytes_max: Bytes of each topic that stay.
        records_max: Records of each topic that stay.
    """

    age_s: float | None = None
    bytes_max: int | None = None
    records_max: int | None = None


NO_OWN_RETENTION = OwnRetention()


@dataclass(frozen=True, slots=True)
class MiningTaskRecord:
    """A mining task; there is one for each connection.

    Attributes:
        connection: What it mines.
        name: The connection's, unless an operator changed it.
        state: What it does.
        cause: Why it is in this state.
        since_ms: Since when.
        created_ms: When it appeared.
        start: Where mining begins of topics that are not cached yet.
        retention: How much and how long records stay.
    """

    connection: str
    name: str
    state: TaskState
    cause: str
    since_ms: int
    created_ms: int
    start: MiningStart = FROM_EARLIEST
    retention: OwnRetention = NO_OWN_RETENTION


@dataclass(frozen=True, slots=True)
class MinedTopicRecord:
    """A topic of a mining task.

    Attributes:
        connection: The task's.
        topic: Its name.
        state: What becomes of it; with ``LEFT`` it is forgotten.
        cause: Why it is in this state.
        since_ms: Since when.
        joined_ms: When it joined the task.
        used_ms: When a subscription last had a stream on it or committed to it.
    """

    connection: str
    topic: str
    state: TopicState
    cause: str
    since_ms: int
    joined_ms: int
    used_ms: int


@dataclass(frozen=True, slots=True)
class MiningTransition:
    """A change of state of a task, or of a topic in it.

    Attributes:
        connection: The task's.
        topic: Empty for the task itself.
        at_ms: When.
        before: The state before, by its word.
        after: The state after, by its word.
        cause: Why.
    """

    connection: str
    topic: str
    at_ms: int
    before: str
    after: str
    cause: str


@dataclass(frozen=True, slots=True)
class TopicPin:
    """A topic that an operator gave to one reader.

    Attributes:
        connection: The topic's.
        topic: Its name.
        reader: The reader's name, joined or not.
        strict: Whether the topic waits while the reader is away.
    """

    connection: str
    topic: str
    reader: str
    strict: bool


class MiningCatalogue(Protocol):
    """Mining tasks, their topics, transitions and pins."""

    def list_mining_tasks(self) -> list[MiningTaskRecord]:
        """All tasks, ordered by connection."""

    def list_mined_topics(self) -> list[MinedTopicRecord]:
        """The topics of all tasks, ordered by connection and topic."""

    def put_mining(
        self,
        tasks: Sequence[MiningTaskRecord],
        topics: Sequence[MinedTopicRecord],
        transitions: Sequence[MiningTransition],
    ) -> None:
        """Enters or changes tasks and topics and appends transitions, at once.

        Topics that have left are forgotten. The newest ``TRANSITIONS_MAX`` of each task are kept.
        """

    def list_mining_transitions(
        self, connection: str, topic: str, limit: int
    ) -> list[MiningTransition]:
        """Past transitions of a task, with an empty ``topic`` of all its topics, newest first."""

    def forget_mining(self, connection: str) -> None:
        """Forgets a task with all that belongs to it, and the pins of its connection."""

    def list_topic_pins(self) -> list[TopicPin]:
        """All pins, ordered by connection and topic."""

    def put_topic_pin(self, pin: TopicPin) -> None:
        """Enters or changes a pin."""

    def delete_topic_pin(self, connection: str, topic: str) -> None:
        """Forgets a pin; nothing happens if there is none."""
