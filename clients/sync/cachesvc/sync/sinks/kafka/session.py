"""An open target: a cluster, its topics as far as they were needed, and a producer."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

from cachesvc.client import Position, Positions
from cachesvc.errors import CacheError
from cachesvc.mining.kafka import KafkaSettings as ClusterSettings
from cachesvc.mining.kafka import security_of
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.producing import (
    CODECS,
    NewTopic,
    Part,
    Producer,
    ProducerSettings,
    TargetTopic,
    TargetTopics,
    read_committed,
)
from cachesvc.mining.source import SourcePartition
from cachesvc.policy.acknowledgement import acks_problem, most_of
from cachesvc.sync.errors import TargetFailed
from cachesvc.sync.sink import TaskContext
from cachesvc.sync.sinks.kafka.own_source import OwnSource
from cachesvc.sync.sinks.kafka.positions import (
    no_position_columns,
    position_columns,
    positions_of,
)
from cachesvc.sync.sinks.kafka.settings import KafkaSettings
from cachesvc.sync.sinks.kafka.target import Target

_TOPIC_S = 30.0
# Partitions may be added at any time.
_LOOK_S = 60.0
# Besides what a transaction of somebody else may take.
_POSITIONS_S = 30.0
_ABORT_S = 5.0
_CLEANUP, _MIN_IN_SYNC = "cleanup.policy", "min.insync.replicas"


class Session:
    """Belongs to one event loop; one call at a time.

    Args:
        target: Where.
        settings: How.
        context: The task's.
    """

    def __init__(self, target: Target, settings: KafkaSettings, context: TaskContext) -> None:
        self._target = target
        self._settings = settings
        self._context = context
        self.cluster = cluster_of(target, context.task)
        self._own_source = OwnSource(context.source, settings.allow_source_topics, self.cluster)
        self._topics = TargetTopics(self.cluster, _TOPIC_S)
        self._known: dict[str, TargetTopic] = {}
        self._looked_s: dict[str, float] = {}
        self._positions = SourcePartition(settings.positions_topic, 0)
        self._stored = Positions()
        self._producer: Producer | None = None
        self._in_transaction = False

    @property
    def producer(self) -> Producer:
        """Writes; made when the first topic is known, for that says how large batches may be."""
        if self._producer is None:
            self._producer = self._new_producer()
        return self._producer

    def _new_producer(self) -> Producer:
        settings = self._settings
        limits = [each.bytes_max for each in self._known.values() if each.bytes_max is not None]
        return Producer(
            self.cluster,
            ProducerSettings(
                acks=self._target.kafka_acks,
                codec=CODECS[self._target.compression],
                idempotent=self._target.idempotent,
                transactional_id=transactional_id(self._context.task)
                if settings.exactly_once
                else None,
                batch_bytes_max=min([settings.batch_bytes_max, *limits]),
                delivery_timeout_s=settings.delivery_timeout_s,
                transaction_timeout_s=settings.transaction_timeout_s,
            ),
        )

    async def topic(self, name: str) -> TargetTopic:
        """A topic that is written to: made if it is missing, checked if it is there.

        Raises:
            TargetFailed: It does not give what the acknowledgement promises, or the task reads it.
            CacheError: As for ``TargetTopics.ensure``.
        """
        known = self._known.get(name)
        now_s = time.monotonic()
        if known is None or now_s - self._looked_s[name] > _LOOK_S:
            known = await self._topics.ensure(name, new_topic(self._settings, self._target))
            await self._own_source.refuse(name)
            problem = acks_problem(self._target.acks, known.replicas, known.min_in_sync)
            if problem:
                raise TargetFailed(f"topic {name}: {problem}", reason="ACKS_NOT_MET")
            self._known[name], self._looked_s[name] = known, now_s
        return known

    async def refuse_own_source(self, names: Iterable[str]) -> None:
        """Looks at names of the target before anything is written.

        Raises:
            TargetFailed: The task reads one of them.
            CacheError: No broker answers.
        """
        for name in names:
            await self._own_source.refuse(name)

    async def take_over(self) -> Positions:
        """Fences every other producer of this task; how far the target has its changes.

        Raises:
            TargetFailed: The topic of positions is not what it has to be.
            CacheError: The cluster does not give it.
        """
        name = self._positions.topic
        new = new_topic(self._settings, self._target)
        config = {**new.config, _CLEANUP: "compact"}
        topic = await self._topics.ensure(name, NewTopic(1, new.replicas, config))
        if topic.partitions != 1:
            text = f"sink.positions_topic: {name} has {topic.partitions} partitions and has to "
            text += "have one, which keeps all positions in order; name another"
            raise TargetFailed(text, reason="POSITIONS_TOPIC_UNUSABLE")
        await self.producer.begin_anew()
        limit_s = self._settings.transaction_timeout_s + _POSITIONS_S
        records = await read_committed(self.cluster, self._positions, limit_s)
        self._stored = positions_of(self._context.task, self._context.connection, records)
        return self._stored

    async def write(self, parts: list[Part]) -> None:
        """Writes parts; raises as ``Producer.write``."""
        if parts:
            await self.producer.write(parts)

    async def write_with_positions(self, parts: list[Part], positions: Positions) -> None:
        """Writes parts and positions in one transaction; raises as ``Producer`` does."""
        moved = [each for key, each in positions.items() if self._stored.get(key) != each]
        await self._write_at_once([*parts, *self._position_parts(moved)])
        self._stored = self._stored.moved(*moved)

    async def forget(self) -> None:
        """Drops all positions of the task; raises as ``Producer`` does."""
        now_ms = time.time_ns() // 1_000_000
        columns = no_position_columns(self._context.task, self._stored.values(), now_ms)
        await self._write_at_once([Part(self._positions, columns)] if len(columns) else [])
        self._stored = Positions()

    async def _write_at_once(self, every: list[Part]) -> None:
        """Writes parts in one transaction."""
        if not every:
            return
        producer = self.producer
        self._in_transaction = True
        await producer.begin_transaction({part.partition for part in every})
        try:
            await producer.write(every)
        except Exception:
            await self._abort_soon()
            raise
        await producer.commit()
        self._in_transaction = False

    def _position_parts(self, positions: Iterable[Position]) -> list[Part]:
        context = self._context
        now_ms = time.time_ns() // 1_000_000
        columns = position_columns(context.task, context.connection, positions, now_ms)
        return [Part(self._positions, columns)] if len(columns) else []

    async def _abort_soon(self) -> None:
        """Aborts what is open, so that it holds up nobody who reads; the next one would do it."""
        self._in_transaction = False
        with suppress(TimeoutError, CacheError):
            async with asyncio.timeout(_ABORT_S):
                await self.producer.abort()

    async def close(self) -> None:
        """Aborts a transaction that is open, and closes all connections. Idempotent."""
        if self._in_transaction:
            await self._abort_soon()
        await self.cluster.close()


def cluster_of(target: Target, task: str) -> Cluster:
    """The cluster of a target; brokers log and meter the task by its name."""
    connection = target.connection
    return Cluster(
        ClusterSettings(
            bootstrap_servers=connection.bootstrap_servers,
            security=security_of(connection),
            client_id=f"cachesvc-sync-{task}",
        )
    )


def transactional_id(task: str) -> str:
    """Under which the cluster keeps a task's transactions."""
    return f"cachesvc-sync-{task}"


def new_topic(settings: KafkaSettings, target: Target) -> NewTopic:
    """What a topic is made like: with most of its replicas confirming, where that is asked for."""
    config = dict(settings.topic_config)
    if target.acks == "majority":
        config.setdefault(_MIN_IN_SYNC, str(most_of(settings.replicas)))
    return NewTopic(settings.partitions, settings.replicas, config)
