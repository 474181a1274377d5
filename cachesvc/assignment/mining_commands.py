"""What operators ask of mining tasks. What they ask for is durable when the call returns."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from cachesvc.assignment.mining_records import MiningRecords
from cachesvc.assignment.mining_tasks import (
    MiningTask,
    MiningTasks,
    outside,
    task_transition,
    topic_transition,
)
from cachesvc.errors import InvalidRequest, PreconditionFailed
from cachesvc.model import MiningStart
from cachesvc.policy.mining_task import (
    Refused,
    TaskEvent,
    TopicEvent,
    next_task_state,
    next_topic_state,
)
from cachesvc.store.mining_ports import (
    NO_OWN_RETENTION,
    MiningTaskRecord,
    MiningTransition,
    OwnRetention,
)


class MiningCommands:
    """Stops, starts and edits tasks and topics. Belongs to the event loop of the tasks.

    Args:
        tasks: Whose states change.
        records: Where that is durable.
    """

    def __init__(self, tasks: MiningTasks, records: MiningRecords) -> None:
        self._tasks = tasks
        self._records = records
        self._one_at_a_time = asyncio.Lock()

    async def stop(self, connection: str) -> MiningTask:
        """Stops a task, durably; one that is not there yet is made. Idempotent."""
        return await _to_its_end(
            self._command(connection, TaskEvent.STOP, "an operator stopped the task")
        )

    async def start(self, connection: str) -> MiningTask:
        """Starts a task that was stopped. Idempotent.

        Raises:
            NotFound: There is no such task.
        """
        self._tasks.get(connection)
        return await _to_its_end(
            self._command(connection, TaskEvent.START, "an operator started the task")
        )

    async def edit(
        self,
        connection: str,
        *,
        name: str | None = None,
        retention: OwnRetention = NO_OWN_RETENTION,
        start: MiningStart | None = None,
    ) -> MiningTask:
        """Changes a task that is stopped; what is None stays, and 0 ends a retention of its own.

        Raises:
            NotFound: There is no such task.
            PreconditionFailed: It is not stopped (``MINING_TASK_NOT_STOPPED``).
            InvalidRequest: Another task has the name.
        """
        self._tasks.get(connection)

        def changed(record: MiningTaskRecord) -> MiningTaskRecord:
            others = [task.record for task in self._tasks.all() if task.record is not record]
            if any(other.name == name for other in others):
                raise InvalidRequest(f"name: {name!r} is the name of another mining task")
            return replace(
                record,
                name=record.name if name is None else name,
                start=record.start if start is None else start,
                retention=_edited(record.retention, retention),
            )

        return await _to_its_end(self._command(connection, TaskEvent.EDIT, "", changed))

    async def stop_topic(self, connection: str, topic: str) -> MiningTask:
        """Stops one topic, durably, whether or not it is needed now. Idempotent."""
        cause = "an operator stopped the topic"
        return await _to_its_end(self._command_topic(connection, topic, TopicEvent.STOP, cause))

    async def start_topic(self, connection: str, topic: str) -> MiningTask:
        """Starts one topic that was stopped or idle. Idempotent.

        Raises:
            NotFound: There is no such task.
        """
        self._tasks.get(connection)
        cause = "an operator started the topic"
        return await _to_its_end(self._command_topic(connection, topic, TopicEvent.START, cause))

    async def _command(
        self,
        connection: str,
        event: TaskEvent,
        cause: str,
        changed: Callable[[MiningTaskRecord], MiningTaskRecord] = lambda record: record,
    ) -> MiningTask:
        async with self._one_at_a_time:
            now_ms = _now_ms()
            task = self._tasks.enter(connection, now_ms)
            before = task.record
            after = next_task_state(before.state, event)
            if isinstance(after, Refused):
                raise PreconditionFailed(
                    f"mining task {before.name!r} is {before.state.value}: {after.why}",
                    reason=after.reason,
                    metadata={"connection": connection, "state": before.state.value},
                )
            record, transitions = changed(before), []
            if after is not before.state:
                record = replace(record, state=after, cause=cause, since_ms=now_ms)
                transitions = [task_transition(before, record)]
            if record != before:
                await self._records.put([record], [], transitions)
                task.record = record
        self._tasks.followed(task, cause, now_ms)
        return task

    async def _command_topic(
        self, connection: str, topic: str, event: TopicEvent, cause: str
    ) -> MiningTask:
        async with self._one_at_a_time:
            now_ms = _now_ms()
            task = self._tasks.enter(connection, now_ms)
            before = task.topics.get(topic) or outside(connection, topic, now_ms)
            after = next_topic_state(before.state, event)
            if after is not before.state:
                record = replace(before, state=after, cause=cause, since_ms=now_ms, used_ms=now_ms)
                await self._records.put([], [record], [topic_transition(before, record)])
                self._tasks.install(task, record)
        self._tasks.followed(task, cause, now_ms)
        return task

    async def history(self, connection: str, topic: str, limit: int) -> list[MiningTransition]:
        """Past transitions of a task, or of one of its topics, the newest first.

        Raises:
            NotFound: The connection has no task.
        """
        self._tasks.get(connection)
        return await self._records.history(connection, topic, limit)


def _edited(kept: OwnRetention, wanted: OwnRetention) -> OwnRetention:
    """What is None stays, and 0 leaves it to the service."""
    return OwnRetention(
        kept.age_s if wanted.age_s is None else wanted.age_s or None,
        kept.bytes_max if wanted.bytes_max is None else wanted.bytes_max or None,
        kept.records_max if wanted.records_max is None else wanted.records_max or None,
    )


async def _to_its_end(command: Coroutine[Any, Any, MiningTask]) -> MiningTask:
    """Whoever asked may go away in between: what is written is also followed."""
    return await asyncio.shield(asyncio.ensure_future(command))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
