"""The durable side of mining tasks: what changes by itself is gathered and written soon after."""

import asyncio
import logging
from collections.abc import Sequence

from cachesvc.errors import PreconditionFailed
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.store.mining_ports import (
    TRANSITIONS_MAX,
    MinedTopicRecord,
    MiningTaskRecord,
    MiningTransition,
)

_log = logging.getLogger(__name__)
_RETRY_S = 1.0


class MiningRecords:
    """Writes records of tasks and topics, and transitions. ``run`` has to run.

    What is noted is written soon, many changes at once; if it is lost, it happens again. What is
    put is durable when the call returns, and wins over what was noted before.
    """

    def __init__(self, catalogue: CatalogueThread) -> None:
        self._catalogue = catalogue
        self._writing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tasks: dict[str, MiningTaskRecord] = {}
        self._topics: dict[tuple[str, str], MinedTopicRecord] = {}
        self._transitions: list[MiningTransition] = []
        self._used_ms: dict[tuple[str, str], int] = {}

    def load(self) -> tuple[list[MiningTaskRecord], list[MinedTopicRecord]]:
        """What is stored. Blocking; before everything else."""
        tasks = self._catalogue.call_blocking(lambda port: port.list_mining_tasks())
        topics = self._catalogue.call_blocking(lambda port: port.list_mined_topics())
        self._used_ms = {(topic.connection, topic.topic): topic.used_ms for topic in topics}
        return tasks, topics

    def stored_use_ms(self, topic: MinedTopicRecord) -> int:
        """When a topic was last used, as stored; 0 if it is not."""
        return self._used_ms.get((topic.connection, topic.topic), 0)

    def note_task(self, record: MiningTaskRecord) -> None:
        """Has a task written soon."""
        self._tasks[record.connection] = record
        self._wake.set()

    def note_topic(self, record: MinedTopicRecord) -> None:
        """Has a topic written soon."""
        self._used_ms[record.connection, record.topic] = record.used_ms
        self._topics[record.connection, record.topic] = record
        self._wake.set()

    def note_transition(self, transition: MiningTransition) -> None:
        """Has a transition written soon."""
        _tell(transition)
        self._transitions.append(transition)
        self._wake.set()

    async def put(
        self,
        tasks: Sequence[MiningTaskRecord],
        topics: Sequence[MinedTopicRecord],
        transitions: Sequence[MiningTransition],
    ) -> None:
        """Writes now.

        Raises:
            PreconditionFailed: It cannot be written; nothing was.
        """
        async with self._writing:
            await self._flush()
            await self._catalogue.call(lambda port: port.put_mining(tasks, topics, transitions))
            for task in tasks:
                self._tasks.pop(task.connection, None)
            for topic in topics:
                self._topics.pop((topic.connection, topic.topic), None)
        for transition in transitions:
            _tell(transition)

    async def forget(self, connection: str) -> None:
        """Forgets a task with all that belongs to it, and the pins of its connection.

        Raises:
            PreconditionFailed: It cannot be written; nothing was.
        """
        async with self._writing:
            await self._flush()
            await self._catalogue.call(lambda port: port.forget_mining(connection))
            self._tasks.pop(connection, None)
            for name in [name for name in self._topics if name[0] == connection]:
                del self._topics[name]
            self._transitions = [t for t in self._transitions if t.connection != connection]

    async def history(self, connection: str, topic: str, limit: int) -> list[MiningTransition]:
        """Past transitions of a task, with an empty topic of all of it, the newest first."""
        async with self._writing:
            await self._flush()
        return await self._catalogue.call(
            lambda port: port.list_mining_transitions(connection, topic, limit)
        )

    async def run(self) -> None:
        """Writes what is noted until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                async with self._writing:
                    await self._flush()
            except PreconditionFailed as error:
                _log.warning(
                    "states of mining tasks cannot be stored, trying again",
                    extra={"event": "mining_tasks_not_stored", "error": str(error)},
                )
                self._wake.set()
                await asyncio.sleep(_RETRY_S)

    async def _flush(self) -> None:
        tasks, self._tasks = self._tasks, {}
        topics, self._topics = self._topics, {}
        transitions, self._transitions = self._transitions, []
        if not (tasks or topics or transitions):
            return
        rows = list(tasks.values()), list(topics.values())
        try:
            await self._catalogue.call(lambda port: port.put_mining(*rows, transitions))
        except PreconditionFailed:
            self._tasks = {**tasks, **self._tasks}
            self._topics = {**topics, **self._topics}
            self._transitions = [*transitions, *self._transitions][-TRANSITIONS_MAX:]
            raise


def _tell(transition: MiningTransition) -> None:
    _log.info(
        "mining has changed",
        extra={
            "event": "mining_transition",
            "connection": transition.connection,
            "topic": transition.topic,
            "before": transition.before,
            "after": transition.after,
            "cause": transition.cause,
        },
    )
