"""Dead letters as records of a topic, in the cluster that the sink writes to."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from cachesvc.errors import CacheError
from cachesvc.mining.kafka.producing import (
    CODECS,
    NewTopic,
    Part,
    Producer,
    ProducerSettings,
    RecordsRefused,
    TargetTopics,
)
from cachesvc.mining.source import SourcePartition
from cachesvc.sync.config import TaskConfig
from cachesvc.sync.dead_letters import Limits
from cachesvc.sync.errors import InvalidTask, TargetFailed
from cachesvc.sync.runner.letters import Due, Exported, Letter
from cachesvc.sync.setting_errors import convert, setting_error
from cachesvc.sync.sink import Check
from cachesvc.sync.sinks.kafka.failures import as_target_errors
from cachesvc.sync.sinks.kafka.kept_letters import letter_columns
from cachesvc.sync.sinks.kafka.letter_log import LetterLog
from cachesvc.sync.sinks.kafka.naming import TopicNames
from cachesvc.sync.sinks.kafka.session import cluster_of, new_topic
from cachesvc.sync.sinks.kafka.settings import KafkaSettings
from cachesvc.sync.sinks.kafka.target import target_of

_TOPIC_S = 30.0
# A topic that is made here takes what was too large for the target's.
_RECORD_BYTES_MAX = 64 << 20
_BYTES_MAX = "max.message.bytes"


class LetterTopic:
    """Keeps what is refused in a topic; see ``Keeper``. Always written to all in-sync replicas.

    Args:
        topic: Its name.
        settings: Of the sink, whose cluster and security these are.
        config: The task's.
    """

    def __init__(self, topic: str, settings: KafkaSettings, config: TaskConfig) -> None:
        self._topic = topic
        self._settings = settings
        self._task = config.name
        self._limits = Limits(config.errors, f"they are kept in topic {topic}")
        self._target = target_of(settings)
        self._cluster = cluster_of(self._target, config.name)
        self._log = LetterLog(self._cluster, topic, config.name)
        self._producer: Producer | None = None

    async def open(self) -> None:
        """Makes the topic if it is missing; raises as ``Keeper.open`` does. Idempotent."""
        if self._producer is not None:
            return
        with as_target_errors():
            await TargetTopics(self._cluster, _TOPIC_S).ensure(self._topic, self._new_topic())
            producer = Producer(
                self._cluster,
                ProducerSettings(
                    codec=CODECS[self._target.compression],
                    delivery_timeout_s=self._settings.delivery_timeout_s,
                ),
            )
            await producer.begin_anew()
        self._producer = producer

    async def keep(self, letters: Sequence[Letter]) -> None:
        self._limits.check(letters, self._limits.refused + len(letters))
        await self._write(letters)
        self._limits.refused += len(letters)

    async def _write(self, letters: Sequence[Letter]) -> None:
        assert self._producer is not None, "opened first"
        part = Part(SourcePartition(self._topic, 0), letter_columns(self._task, letters))
        try:
            with as_target_errors():
                await self._producer.write([part])
        except RecordsRefused as error:
            raise TargetFailed(
                f"errors.dead_letter_topic: topic {self._topic} does not take a dead letter: "
                f"{error}; mend the topic's settings",
                reason="DEAD_LETTER_REFUSED",
            ) from error

    def count(self, records: int) -> None:
        self._limits.records += records

    async def close(self) -> None:
        self._producer = None
        await self._cluster.close()

    async def check(self) -> Check:
        """Whether the topic is there or can be made; writes nothing. Closes what it opened."""
        name = "dead letters"
        try:
            topics = TargetTopics(self._cluster, _TOPIC_S)
            if (await topics.find([self._topic])).get(self._topic) is not None:
                return Check(name, True, f"topic {self._topic} is there")
            await topics.try_to_create(self._topic, self._new_topic())
            return Check(name, True, f"topic {self._topic} is missing, and can be made")
        except CacheError as error:
            detail, _, hint = str(error).partition("; ")
            return Check(name, False, detail, hint or "see the broker's log")
        finally:
            await self._cluster.close()

    async def read(self) -> list[Letter]:
        """See ``LetterLog``. Closes what it opened, as the next two do not."""
        try:
            return await self._log.read()
        finally:
            await self._cluster.close()

    def due(self, wanted: Callable[[Letter], bool]) -> AsyncGenerator[Due, None]:
        """See ``LetterLog``."""
        return self._log.due(wanted)

    async def settle(self, offset: int, again: Sequence[Letter]) -> None:
        """See ``LetterQueue``."""
        if again:
            await self.open()
            await self._write(again)
        await self._log.settle(offset)

    async def export(self) -> Exported:
        """See ``LetterLog``."""
        return await self._log.export()

    async def remove(self, end: int) -> None:
        """See ``LetterLog``."""
        await self._log.remove(end)

    def _new_topic(self) -> NewTopic:
        made = new_topic(msgspec.structs.replace(self._settings, partitions=1), self._target)
        # What the target's topics are like, as compacted ones, is no place for letters.
        kept = {k: v for k, v in made.config.items() if k != "cleanup.policy"}
        return NewTopic(1, made.replicas, {**kept, _BYTES_MAX: str(_RECORD_BYTES_MAX)})


def letter_topic(config: TaskConfig, sink: Mapping[str, Any], origin: str) -> LetterTopic:
    """The keeper of a task with a sink of kind kafka.

    Raises:
        InvalidTask: The sink's settings are wrong, or it writes into the same topic.
    """
    path = "errors.dead_letter_topic"
    topic = config.errors.dead_letter_topic
    assert topic is not None, "asked for"
    table = {name: value for name, value in sink.items() if name != "kind"}
    settings = convert(table, KafkaSettings, origin, "sink")
    if TopicNames(settings.topic, config.source.connection).only == topic:
        raise setting_error(origin, path, f"{topic!r} is the topic that the sink writes to")
    if topic in config.source.topics:
        raise setting_error(origin, path, f"{topic!r} is a topic that the task reads")
    try:
        return LetterTopic(topic, settings, config)
    except InvalidTask as error:
        raise setting_error(origin, path, str(error)) from error
