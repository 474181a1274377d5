"""The part of the DuckDB catalogue that keeps mining tasks; ``mining_ports`` is the contract."""

from collections.abc import Sequence

import pyarrow as pa

from cachesvc.model import MiningStart, StartKind
from cachesvc.policy.mining_task import TaskState, TopicState
from cachesvc.store.execution import Tables
from cachesvc.store.mining_ports import (
    TRANSITIONS_MAX,
    MinedTopicRecord,
    MiningTaskRecord,
    MiningTransition,
    OwnRetention,
    TopicPin,
)

_TRANSITION_COLUMNS = ("connection", "topic", "at_ms", "before", "after", "cause")
_TRANSITION_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        *((name, pa.int64() if name == "at_ms" else pa.string()) for name in _TRANSITION_COLUMNS),
    ]
)
_TOPIC_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("connection", "topic", "state", "cause")),
        *((name, pa.int64()) for name in ("since_ms", "joined_ms", "used_ms")),
    ]
)


class MiningTables(Tables):
    """Statements on mining tasks, for a catalogue that can run statements."""

    def list_mining_tasks(self) -> list[MiningTaskRecord]:
        return [
            MiningTaskRecord(
                connection,
                name,
                TaskState(state),
                cause,
                since_ms,
                created_ms,
                start=MiningStart(StartKind(kind), start_ms),
                retention=OwnRetention(*(value or None for value in kept)),
            )
            for connection, name, state, cause, since_ms, created_ms, kind, start_ms, *kept in (
                self._run("list_mining_tasks")
            )
        ]

    def list_mined_topics(self) -> list[MinedTopicRecord]:
        return [
            MinedTopicRecord(connection, topic, TopicState(state), *facts)
            for connection, topic, state, *facts in self._run("list_mined_topics")
        ]

    def put_mining(
        self,
        tasks: Sequence[MiningTaskRecord],
        topics: Sequence[MinedTopicRecord],
        transitions: Sequence[MiningTransition],
    ) -> None:
        with self._transaction():
            for task in tasks:
                self._run(
                    "put_mining_task",
                    task.connection,
                    task.name,
                    task.state.value,
                    task.cause,
                    task.since_ms,
                    task.created_ms,
                    task.retention.age_s or 0.0,
                    task.start.kind.value,
                    task.start.timestamp_ms,
                    task.retention.bytes_max or 0,
                    task.retention.records_max or 0,
                )
            self._put_topics(topics)
            self._add_transitions(transitions)

    def _put_topics(self, topics: Sequence[MinedTopicRecord]) -> None:
        for topic in topics:
            if topic.state is TopicState.LEFT:
                self._run("delete_mined_topic", topic.connection, topic.topic)
        rows = [
            {
                "connection": topic.connection,
                "topic": topic.topic,
                "state": topic.state.value,
                "cause": topic.cause,
                "since_ms": topic.since_ms,
                "joined_ms": topic.joined_ms,
                "used_ms": topic.used_ms,
            }
            for topic in topics
            if topic.state is not TopicState.LEFT
        ]
        if rows:
            table = pa.Table.from_pylist(rows, schema=_TOPIC_SCHEMA)
            self._run_with("new_mined_topics", table, "put_mined_topics")

    def _add_transitions(self, transitions: Sequence[MiningTransition]) -> None:
        if not transitions:
            return
        last = int(self._run("last_mining_transition")[0][0])
        rows = [
            {"number": number, **{name: getattr(each, name) for name in _TRANSITION_COLUMNS}}
            for number, each in enumerate(transitions, last + 1)
        ]
        table = pa.Table.from_pylist(rows, schema=_TRANSITION_SCHEMA)
        self._run_with("new_mining_transitions", table, "add_mining_transitions")
        self._run("trim_mining_transitions", TRANSITIONS_MAX)

    def list_mining_transitions(
        self, connection: str, topic: str, limit: int
    ) -> list[MiningTransition]:
        rows = self._run("list_mining_transitions", connection, topic, limit)
        return [MiningTransition(*row) for row in rows]

    def forget_mining(self, connection: str) -> None:
        with self._transaction():
            self._run("forget_mining_task", connection)
            self._run("forget_mined_topics", connection)
            self._run("forget_mining_transitions", connection)
            self._run("forget_topic_pins", connection)

    def list_topic_pins(self) -> list[TopicPin]:
        return [TopicPin(*row) for row in self._run("list_topic_pins")]

    def put_topic_pin(self, pin: TopicPin) -> None:
        self._run("put_topic_pin", pin.connection, pin.topic, pin.reader, pin.strict)

    def delete_topic_pin(self, connection: str, topic: str) -> None:
        self._run("delete_topic_pin", connection, topic)
