"""Mining tasks: what is to be mined of each connection, what an operator has stopped, and why.

``policy.mining_task`` decides; this keeps the states, tells them to the catalogue and carries out
what operators ask for. What an operator asks for is durable when the call returns. What happens by
itself is written soon after, many changes at once: if it is lost, it happens again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cachesvc.assignment.mining_records import MiningRecords
from cachesvc.errors import NotFound
from cachesvc.model import FROM_EARLIEST, MiningStart, MiningState
from cachesvc.policy.mining_task import (
    Refused,
    TaskEvent,
    TaskState,
    TopicEvent,
    TopicState,
    demand,
    is_mined,
    next_task_state,
    next_topic_state,
    shown_state,
    use_event,
)
from cachesvc.store.mining_ports import (
    NO_OWN_RETENTION,
    MinedTopicRecord,
    MiningTaskRecord,
    MiningTransition,
    OwnRetention,
)

_LOOK_INTERVAL_S_MAX = 60.0
# How much later than stored a topic was used is of no interest, up to this, or a tenth of the time
# that it may be idle.
_USE_STORED_MS = 60_000


@dataclass(frozen=True, slots=True)
class Use:
    """How a topic is used: when last, and by which subscription."""

    used_ms: int
    subscription: str


@dataclass(slots=True)
class MiningTask:
    """A mining task as it is now; ``topics`` are those in it, by name."""

    record: MiningTaskRecord
    topics: dict[str, MinedTopicRecord] = field(default_factory=dict)


class MiningTasks:
    """All mining tasks of a store. Belongs to one event loop; ``run`` has to run.

    Args:
        records: Where they are durable.
        idle_topic_s: How long a topic may go unused before its mining is paused.
    """

    def __init__(self, records: MiningRecords, idle_topic_s: float) -> None:
        self._records = records
        self._idle_ms = int(idle_topic_s * 1000)
        self.on_change: Callable[[], None] = lambda: None
        """Called when what is to be mined may have changed."""
        tasks, topics = records.load()
        self._tasks = {record.connection: MiningTask(record) for record in tasks}
        for topic in topics:
            if topic.connection in self._tasks:
                self._tasks[topic.connection].topics[topic.topic] = topic

    @property
    def look_interval_s(self) -> float:
        """How often to look at least, so that topics turn idle in time."""
        return min(self._idle_ms / 1000 / 10, _LOOK_INTERVAL_S_MAX)

    # How things are

    def all(self) -> list[MiningTask]:
        """Every task, ordered by connection."""
        return [self._tasks[connection] for connection in sorted(self._tasks)]

    def get(self, connection: str) -> MiningTask:
        """The task of a connection.

        Raises:
            NotFound: It has none.
        """
        found = self._tasks.get(connection)
        if found is None:
            raise NotFound(
                f"connection {connection!r} has no mining task; the first subscription makes it",
                reason="UNKNOWN_MINING_TASK",
                metadata={"connection": connection},
            )
        return found

    def to_be_mined(self, connection: str) -> set[str]:
        """The topics of a connection that readers are to have."""
        task = self._tasks.get(connection)
        if task is None:
            return set()
        state = task.record.state
        return {name for name, topic in task.topics.items() if is_mined(state, topic.state)}

    def shown(self, connection: str, topic: str) -> tuple[MiningState, str]:
        """What subscribers of a topic that no reader has are told, and why."""
        task = self._tasks.get(connection)
        if task is None:
            return MiningState.IDLE, ""
        found = task.topics.get(topic)
        state = shown_state(task.record.state, found.state if found else TopicState.LEFT)
        if found is None or state not in (MiningState.STOPPED, MiningState.PAUSED):
            return state, ""
        by_topic = found.state in (TopicState.STOPPED, TopicState.PAUSED_IDLE)
        return state, found.cause if by_topic else task.record.cause

    def start_of(self, connection: str) -> MiningStart:
        """Where mining begins of topics that are not cached yet."""
        task = self._tasks.get(connection)
        return task.record.start if task else FROM_EARLIEST

    def retention(self, connection: str) -> OwnRetention:
        """What the task of a connection says of retention."""
        task = self._tasks.get(connection)
        return task.record.retention if task else NO_OWN_RETENTION

    # What happens by itself

    def look(self, connection: str, uses: Mapping[str, Use], now_ms: int) -> None:
        """Follows what subscriptions want and use; the first that wants anything makes the task."""
        task = self._tasks.get(connection)
        if task is None:
            if not uses:
                return
            task = self.enter(connection, now_ms)
        need = ""
        for topic in [*task.topics, *(name for name in uses if name not in task.topics)]:
            use, record = uses.get(topic), task.topics.get(topic)
            used_ms = None if use is None else max(use.used_ms, record.used_ms if record else 0)
            event = use_event(used_ms, now_ms, self._idle_ms)
            if use is None:
                cause = "no subscription wants it any more"
            elif event is TopicEvent.USED:
                cause = f"subscription {use.subscription!r} uses it"
                need = need or f"subscription {use.subscription!r} uses topic {topic!r}"
            else:
                cause = f"no subscription has used it for {self._idle_ms / 1000:g} s"
            self._happen(task, topic, event, cause, now_ms, used_ms)
        self._settle(task, need or "topics are needed", now_ms)

    def report(
        self, connection: str, reports: Mapping[str, tuple[TopicEvent, str]], now_ms: int
    ) -> None:
        """Follows what readers say, or that there is none; by topic, with the cause."""
        task = self._tasks.get(connection)
        if task is None:
            return
        for topic, (event, cause) in reports.items():
            if topic in task.topics:
                self._happen(task, topic, event, cause, now_ms)
        self._settle(task, "a topic can be mined", now_ms)

    def _happen(
        self,
        task: MiningTask,
        topic: str,
        event: TopicEvent,
        cause: str,
        now_ms: int,
        used_ms: int | None = None,
    ) -> None:
        connection = task.record.connection
        before = task.topics.get(topic) or outside(connection, topic, now_ms)
        after = next_topic_state(before.state, event)
        record = replace(before, used_ms=max(before.used_ms, used_ms or 0))
        if after is before.state:
            told_anew = after in (TopicState.BLOCKED, TopicState.FAILED) and _is_report(event)
            if told_anew and cause != before.cause:
                record = replace(record, cause=cause)
                self._records.note_topic(record)
            elif after is not TopicState.LEFT:
                self._note_use(record)
            if topic in task.topics:
                task.topics[topic] = record
            return
        record = replace(record, state=after, cause=cause, since_ms=now_ms)
        self.install(task, record)
        self._note(before, record)

    def _settle(self, task: MiningTask, need: str, now_ms: int) -> None:
        """Follows with the task's state what those of its topics mean for it."""
        event = demand([topic.state for topic in task.topics.values()])
        before = task.record
        after = next_task_state(before.state, event)
        if after is before.state or isinstance(after, Refused):
            return
        causes = {
            TaskEvent.UNNEEDED: "no topic is needed now",
            TaskEvent.BROKEN: "mining of every topic has failed",
        }
        task.record = replace(before, state=after, cause=causes.get(event, need), since_ms=now_ms)
        self._note_task(before, task.record)

    def followed(self, task: MiningTask, cause: str, now_ms: int) -> None:
        """Follows a change that an operator made to a task or a topic of it."""
        if task.record.state is TaskState.STOPPED:
            for topic in list(task.topics):
                self._happen(task, topic, TopicEvent.TASK_STOPPED, "its task was stopped", now_ms)
        self._settle(task, cause, now_ms)
        self.on_change()

    def enter(self, connection: str, now_ms: int) -> MiningTask:
        """The task of a connection; a new one waits."""
        task = self._tasks.get(connection)
        if task is None:
            record = MiningTaskRecord(connection, connection, TaskState.WAITING, "", now_ms, now_ms)
            task = self._tasks[connection] = MiningTask(record)
            self._records.note_task(record)
        return task

    def forget(self, connection: str) -> None:
        """Knows a task no more. Idempotent."""
        self._tasks.pop(connection, None)

    def install(self, task: MiningTask, record: MinedTopicRecord) -> None:
        """Has a topic in its task as the record says, or out of it."""
        if record.state is TopicState.LEFT:
            task.topics.pop(record.topic, None)
        else:
            task.topics[record.topic] = record

    async def run(self) -> None:
        """Writes what has changed by itself until cancelled."""
        await self._records.run()

    def _note(self, before: MinedTopicRecord, after: MinedTopicRecord) -> None:
        self._records.note_topic(after)
        self._records.note_transition(topic_transition(before, after))
        self.on_change()

    def _note_task(self, before: MiningTaskRecord, after: MiningTaskRecord) -> None:
        self._records.note_task(after)
        self._records.note_transition(task_transition(before, after))
        self.on_change()

    def _note_use(self, record: MinedTopicRecord) -> None:
        ahead_ms = record.used_ms - self._records.stored_use_ms(record)
        if ahead_ms > min(_USE_STORED_MS, self._idle_ms // 10):
            self._records.note_topic(record)


def outside(connection: str, topic: str, now_ms: int) -> MinedTopicRecord:
    """A topic that is not in its task."""
    return MinedTopicRecord(connection, topic, TopicState.LEFT, "", now_ms, now_ms, 0)


def topic_transition(before: MinedTopicRecord, after: MinedTopicRecord) -> MiningTransition:
    """From one state of a topic to another."""
    words = before.state.value, after.state.value
    return MiningTransition(after.connection, after.topic, after.since_ms, *words, after.cause)


def task_transition(before: MiningTaskRecord, after: MiningTaskRecord) -> MiningTransition:
    """From one state of a task to another."""
    words = before.state.value, after.state.value
    return MiningTransition(after.connection, "", after.since_ms, *words, after.cause)


def _is_report(event: TopicEvent) -> bool:
    return event in (TopicEvent.HELD_UP, TopicEvent.BROKE)
