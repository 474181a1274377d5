"""How ``cachesvc mining`` shows tasks, topics and transitions."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cachesvc.cli.render import Column, enum_name, show_facts, show_table
from cachesvc.units import show_bytes, show_count, show_time
from cachesvc.v1.mining_tasks_pb2 import (
    MinedTopic,
    MinedTopicState,
    MiningTask,
    MiningTaskState,
    MiningTransition,
    TopicPin,
)
from cachesvc.words import retention_of, start_of


@dataclass(frozen=True, slots=True)
class _Row:
    """A task and a topic of it; None for a task that has none."""

    task: MiningTask
    topic: MinedTopic | None


def show_tasks(tasks: Iterable[MiningTask]) -> None:
    """A table with a line for each topic, and for each task without any."""
    rows = [_Row(task, topic) for task in tasks for topic in task.topics or [None]]
    columns = [Column("task", lambda row: row.task.name), *_of_topics(lambda row: row.topic)]
    columns.insert(1, Column("state", lambda row: _task_state(row.task)))
    show_table(rows, columns, "nothing is mined; mining starts with a subscription")


def show_task(task: MiningTask) -> None:
    """A task's settings, and a table of its topics."""
    show_facts(
        [
            ("task", task.name),
            ("connection", task.connection),
            ("state", _task_state(task)),
            ("cause", task.cause or "-"),
            ("since", show_time(task.since_ms)),
            ("created", show_time(task.created_ms)),
            ("retention", retention_of(task)),
            ("start", start_of(task)),
            ("pinned", ", ".join(map(_pin, task.pins)) or "-"),
        ]
    )
    more = (
        Column("since", lambda topic: show_time(topic.since_ms)),
        Column("joined", lambda topic: show_time(topic.joined_ms)),
        Column("used", lambda topic: show_time(topic.used_ms)),
    )
    show_table(task.topics, [*_of_topics(lambda topic: topic), *more], "no topics")


def show_transitions(transitions: Iterable[MiningTransition]) -> None:
    """A table, in the order given."""
    show_table(transitions, _TRANSITION_COLUMNS, "no transitions")


def _of_topics(topic: Any) -> list[Column]:
    def cell(show: Any) -> Any:
        return lambda row: show(topic(row)) if topic(row) is not None else "-"

    return [
        Column("topic", cell(lambda t: t.topic)),
        Column("topic state", cell(_topic_state)),
        Column("reader", cell(lambda t: t.reader or "-")),
        Column("epoch", cell(lambda t: str(t.epoch or "-")), number=True),
        Column("records", cell(lambda t: show_count(t.records_mined)), number=True),
        Column("size", cell(lambda t: show_bytes(t.bytes_mined)), number=True),
        Column("bytes/s", cell(lambda t: show_bytes(round(t.bytes_per_second))), number=True),
        Column("rejected", cell(lambda t: show_count(t.records_rejected)), number=True),
        Column("mining lag", cell(lambda t: show_count(t.mining_lag_records)), number=True),
        Column("cause", cell(lambda t: t.error or t.cause or "-")),
    ]


def _task_state(task: MiningTask) -> str:
    return enum_name(MiningTaskState, task.state).removeprefix("TASK_")


def _topic_state(topic: MinedTopic) -> str:
    return enum_name(MinedTopicState, topic.topic_state).removeprefix("TOPIC_")


def _pin(pin: TopicPin) -> str:
    return f"{pin.topic} to {pin.reader}{' (strictly)' if pin.strict else ''}"


_TRANSITION_COLUMNS = (
    Column("time", lambda t: show_time(t.at_ms)),
    Column("connection", lambda t: t.connection),
    Column("topic", lambda t: t.topic or "-"),
    Column("from", lambda t: t.before),
    Column("to", lambda t: t.after),
    Column("cause", lambda t: t.cause),
)
