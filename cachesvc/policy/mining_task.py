"""The incarnation of a mining task and of each topic in it, as two tables.

A task is one connection mined into one store; it appears with the first subscription that needs
it. A topic is in its task as long as a subscription wants it, or an operator has stopped it.

Invariants: every state answers every event, with the next state or with a refusal; from every
state there is a way to every other (``LEFT`` included: the topic joins again when somebody wants
it). What an operator has stopped is started by an operator alone.

Whether a topic is being mined follows from both states (``is_mined``), and so does what subscribers
are told (``shown_state``).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from cachesvc.model import MiningState


class TaskState(Enum):
    """What a mining task does."""

    WAITING = "WAITING"
    """None of its topics is needed now."""
    RUNNING = "RUNNING"
    """It mines the topics that are needed."""
    FAILED = "FAILED"
    """It is to mine topics, and none of them can be mined. It goes on by itself where it can."""
    STOPPED = "STOPPED"
    """An operator stopped it: nothing is mined until an operator starts it."""


class TaskEvent(Enum):
    """What happens to a mining task."""

    NEEDED = "NEEDED"
    """At least one of its topics is to be mined, and can be as far as is known."""
    BROKEN = "BROKEN"
    """Topics are to be mined, and mining of each of them has failed."""
    UNNEEDED = "UNNEEDED"
    """None of its topics is to be mined."""
    START = "START"
    STOP = "STOP"
    EDIT = "EDIT"


class TopicState(Enum):
    """What becomes of a topic in its task."""

    LEFT = "LEFT"
    """It is not in the task: no subscription wants it."""
    STARTING = "STARTING"
    """It is to be mined, as soon as the task runs and a reader has taken it."""
    MINING = "MINING"
    UNREACHABLE = "UNREACHABLE"
    """Its reader cannot reach the broker and tries again."""
    BLOCKED = "BLOCKED"
    """A partition stopped at one record, while others go on."""
    FAILED = "FAILED"
    """A partition cannot go on by itself."""
    PAUSED_IDLE = "PAUSED_IDLE"
    """No subscription has used it for a while; it goes on when one does."""
    STOPPED = "STOPPED"
    """An operator stopped it: it is not mined until an operator starts it."""


class TopicEvent(Enum):
    """What happens to a topic of a task."""

    USED = "USED"
    """A subscription wants it and has used it of late."""
    IDLED = "IDLED"
    """Subscriptions want it, and none has used it for the time that a topic may be idle."""
    UNWANTED = "UNWANTED"
    """No subscription wants it."""
    START = "START"
    STOP = "STOP"
    TASK_STOPPED = "TASK_STOPPED"
    NO_READER = "NO_READER"
    """No reader has it."""
    TAKEN = "TAKEN"
    """Its reader has it and does not mine yet."""
    MINED = "MINED"
    SOURCE_LOST = "SOURCE_LOST"
    """Its reader cannot reach the broker."""
    HELD_UP = "HELD_UP"
    """Its reader reports a record at which a partition stops."""
    BROKE = "BROKE"
    """Its reader reports that a partition cannot go on."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that a state does not allow.

    Attributes:
        reason: Machine-readable, as in docs/errors.md.
        why: For the operator: what has to change.
    """

    reason: str
    why: str


_STOP_FIRST = Refused(
    reason="MINING_TASK_NOT_STOPPED", why="a mining task is edited while it is stopped; stop it"
)

_TASK: Mapping[TaskState, Mapping[TaskEvent, TaskState | Refused]] = {
    TaskState.WAITING: {
        TaskEvent.NEEDED: TaskState.RUNNING,
        TaskEvent.BROKEN: TaskState.FAILED,
        TaskEvent.UNNEEDED: TaskState.WAITING,
        TaskEvent.START: TaskState.WAITING,
        TaskEvent.STOP: TaskState.STOPPED,
        TaskEvent.EDIT: _STOP_FIRST,
    },
    TaskState.RUNNING: {
        TaskEvent.NEEDED: TaskState.RUNNING,
        TaskEvent.BROKEN: TaskState.FAILED,
        TaskEvent.UNNEEDED: TaskState.WAITING,
        TaskEvent.START: TaskState.RUNNING,
        TaskEvent.STOP: TaskState.STOPPED,
        TaskEvent.EDIT: _STOP_FIRST,
    },
    TaskState.FAILED: {
        TaskEvent.NEEDED: TaskState.RUNNING,
        TaskEvent.BROKEN: TaskState.FAILED,
        TaskEvent.UNNEEDED: TaskState.WAITING,
        TaskEvent.START: TaskState.FAILED,
        TaskEvent.STOP: TaskState.STOPPED,
        TaskEvent.EDIT: _STOP_FIRST,
    },
    TaskState.STOPPED: {
        TaskEvent.NEEDED: TaskState.STOPPED,
        TaskEvent.BROKEN: TaskState.STOPPED,
        TaskEvent.UNNEEDED: TaskState.STOPPED,
        TaskEvent.START: TaskState.WAITING,
        TaskEvent.STOP: TaskState.STOPPED,
        TaskEvent.EDIT: TaskState.STOPPED,
    },
}


def _unless_used(state: TopicState) -> Mapping[TopicEvent, TopicState]:
    """The row of a state that no reader has a say in."""
    return dict.fromkeys(TopicEvent, state)


_WHILE_MINED: Mapping[TopicEvent, TopicState] = {
    TopicEvent.IDLED: TopicState.PAUSED_IDLE,
    TopicEvent.UNWANTED: TopicState.LEFT,
    TopicEvent.STOP: TopicState.STOPPED,
    TopicEvent.TASK_STOPPED: TopicState.STARTING,
    TopicEvent.NO_READER: TopicState.STARTING,
    TopicEvent.TAKEN: TopicState.STARTING,
    TopicEvent.MINED: TopicState.MINING,
    TopicEvent.SOURCE_LOST: TopicState.UNREACHABLE,
    TopicEvent.HELD_UP: TopicState.BLOCKED,
    TopicEvent.BROKE: TopicState.FAILED,
}


def _mined_row(state: TopicState) -> Mapping[TopicEvent, TopicState]:
    return {**_WHILE_MINED, TopicEvent.USED: state, TopicEvent.START: state}


_TO_BE_MINED = (
    TopicState.STARTING,
    TopicState.MINING,
    TopicState.UNREACHABLE,
    TopicState.BLOCKED,
    TopicState.FAILED,
)
_TOPIC: Mapping[TopicState, Mapping[TopicEvent, TopicState]] = {
    **{state: _mined_row(state) for state in _TO_BE_MINED},
    TopicState.LEFT: {
        **_unless_used(TopicState.LEFT),
        TopicEvent.USED: TopicState.STARTING,
        TopicEvent.IDLED: TopicState.PAUSED_IDLE,
        TopicEvent.STOP: TopicState.STOPPED,
    },
    TopicState.PAUSED_IDLE: {
        **_unless_used(TopicState.PAUSED_IDLE),
        TopicEvent.USED: TopicState.STARTING,
        TopicEvent.START: TopicState.STARTING,
        TopicEvent.STOP: TopicState.STOPPED,
        TopicEvent.UNWANTED: TopicState.LEFT,
    },
    TopicState.STOPPED: {
        **_unless_used(TopicState.STOPPED),
        TopicEvent.START: TopicState.STARTING,
    },
}


def next_task_state(state: TaskState, event: TaskEvent) -> TaskState | Refused:
    """What a task does after an event; the same state where nothing changes."""
    return _TASK[state][event]


def next_topic_state(state: TopicState, event: TopicEvent) -> TopicState:
    """What becomes of a topic after an event; the same state where nothing changes."""
    return _TOPIC[state][event]


def is_mined(task: TaskState, topic: TopicState) -> bool:
    """Whether a reader is to have the topic."""
    return task is not TaskState.STOPPED and topic in _TO_BE_MINED


def use_event(used_ms: int | None, now_ms: int, idle_ms: int) -> TopicEvent:
    """What the subscriptions of a topic mean for it.

    Args:
        used_ms: When one of them last had a stream or committed; None if none wants the topic.
        now_ms: The present.
        idle_ms: How long a topic may go unused.
    """
    if used_ms is None:
        return TopicEvent.UNWANTED
    return TopicEvent.USED if now_ms - used_ms < idle_ms else TopicEvent.IDLED


def demand(topics: Collection[TopicState]) -> TaskEvent:
    """What the states of a task's topics mean for the task."""
    to_be_mined = [state for state in topics if state in _TO_BE_MINED]
    if not to_be_mined:
        return TaskEvent.UNNEEDED
    failed = all(state is TopicState.FAILED for state in to_be_mined)
    return TaskEvent.BROKEN if failed else TaskEvent.NEEDED


# What a reader says of a partition, the most urgent first, and what that is to the topic.
_REPORTS: Mapping[MiningState, TopicEvent] = {
    MiningState.FAILED: TopicEvent.BROKE,
    MiningState.BLOCKED: TopicEvent.HELD_UP,
    MiningState.SOURCE_UNREACHABLE: TopicEvent.SOURCE_LOST,
    MiningState.THROTTLED: TopicEvent.MINED,
    MiningState.MINING: TopicEvent.MINED,
    MiningState.STARTING: TopicEvent.TAKEN,
}


def report_event(partitions: Iterable[tuple[MiningState, str]]) -> tuple[TopicEvent, str]:
    """What the states of a topic's partitions mean for it, and why where a partition says so.

    A topic is as its partition which needs most attention.
    """
    reports: dict[MiningState, str] = {}
    for state, error in partitions:
        reports.setdefault(state, error)
    for state, event in _REPORTS.items():
        if state in reports:
            return event, reports[state]
    return TopicEvent.TAKEN, ""


def shown_state(task: TaskState, topic: TopicState) -> MiningState:
    """What subscribers of a topic that no reader has are told."""
    if TopicState.STOPPED is topic or (task is TaskState.STOPPED and topic is not TopicState.LEFT):
        return MiningState.STOPPED
    if topic is TopicState.PAUSED_IDLE:
        return MiningState.PAUSED
    return MiningState.IDLE if topic is TopicState.LEFT else MiningState.STARTING
