"""The broker read past the service, with the service's own code: connections, decoder, JSON rule.

Needs the extra ``kafka``; ``runner.auto_source`` loads this module when it is asked for.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import pyarrow as pa

from cachesvc.client import Batch, DataLoss, Positions, TopicPartition
from cachesvc.client.payload import ArrowPayload
from cachesvc.errors import CacheError, InvalidConfig
from cachesvc.mining.encode import Encoded, EncodedAppend, EncodingRules, encode_batch
from cachesvc.mining.kafka import KafkaCatalogue, KafkaSettings, KafkaSource, security_of
from cachesvc.mining.source import BatchPart, SourceBatch, SourcePartition
from cachesvc.settings.connection import ConnectionConfig, parse_connection
from cachesvc.store.record_schema import join_stream
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.sink import Check

_log = logging.getLogger("cachesvc.sync")

_AHEAD_BYTES = 8 << 20
_PARTITION_BYTES = 2 << 20
_BATCHES_READY_MAX = 4
_LOOK_EVERY_S = 0.5


class KafkaBrokers:
    """The broker of ``[source.kafka]``.

    Args:
        tree: The table.
        origin: For messages: where it comes from.
        task: The task's name; brokers meter this client under it.

    Raises:
        InvalidTask: A setting is wrong; the message names it by its path.
    """

    def __init__(self, tree: Mapping[str, Any], origin: str, task: str) -> None:
        try:
            self._connection = parse_connection({"name": "kafka", **tree}, origin, "source.kafka")
        except InvalidConfig as error:
            raise InvalidTask(str(error), metadata=error.metadata) from error
        self._task = task

    def open(self) -> "KafkaBroker":
        """See ``Brokers``."""
        return KafkaBroker(self._connection, self._task)

    async def check(self, topics: Sequence[str]) -> Check:
        """See ``Brokers``."""
        catalogue = KafkaCatalogue(_settings(self._connection, self._task))
        servers = ", ".join(self._connection.bootstrap_servers)
        try:
            found = await catalogue.list_topics()
        except CacheError as error:
            hint = "Mend source.kafka; `cachesvc connection test` tries a connection step by step."
            return Check("broker", False, f"{servers}: {error}", hint)
        finally:
            await catalogue.close()
        missing = [topic for topic in topics if topic not in found]
        if missing:
            hint = "Name the cluster that the service's connection has."
            return Check("broker", False, f"{servers}: has no {', '.join(missing)}", hint)
        return Check("broker", True, f"{servers}: {len(found)} topics")


def _settings(connection: ConnectionConfig, task: str) -> KafkaSettings:
    return KafkaSettings(
        bootstrap_servers=connection.bootstrap_servers,
        security=security_of(connection),
        client_id=f"cachesvc-sync-{task}",
        fetch_bytes_max=_AHEAD_BYTES,
        partition_bytes_max=_PARTITION_BYTES,
    )


class KafkaBroker:
    """A ``Broker`` of Kafka. Used in ``async with``.

    Args:
        connection: How to reach it, and its JSON policy.
        task: The task's name; brokers meter this client under it.
    """

    def __init__(self, connection: ConnectionConfig, task: str) -> None:
        self._rules = EncodingRules(connection.non_json_policy)
        self._source = KafkaSource(_settings(connection, task))
        self._task = task
        self._ready: asyncio.Queue[Batch] = asyncio.Queue(_BATCHES_READY_MAX)
        self._of: dict[SourcePartition, TopicPartition] = {}
        self._ends: dict[SourcePartition, int] = {}
        self._failed: asyncio.Future[Batch] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._told = ""

    async def __aenter__(self) -> Self:
        self._failed = asyncio.get_running_loop().create_future()
        self._tasks = [
            asyncio.create_task(work, name=f"cachesvc-sync-{self._task}-{name}")
            for name, work in (
                ("source", self._source.run()),
                ("pump", self._guarded(self._pump())),
                ("watch", self._guarded(self._watch())),
            )
        ]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        assert self._failed is not None
        if self._failed.done():
            self._failed.exception()
        else:
            self._failed.cancel()

    def read(self, positions: Positions, end: Positions) -> None:
        """See ``Broker``."""
        for key, position in positions.items():
            last = end.get(key)
            if end and (last is None or position.offset >= last.offset):
                continue
            partition = SourcePartition(*key)
            self._of[partition] = TopicPartition(*key, position.incarnation)
            if last is not None:
                self._ends[partition] = last.offset
            self._source.add(partition, position.offset)

    async def next(self) -> Batch:
        """See ``Broker``."""
        assert self._failed is not None, "used in async with"
        getting = asyncio.ensure_future(self._ready.get())
        try:
            await asyncio.wait({getting, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            return getting.result() if getting.done() else self._failed.result()
        finally:
            getting.cancel()

    async def _pump(self) -> None:
        while True:
            for batch in await self._source.poll():
                partition = batch.partition
                if partition not in self._of:
                    continue
                part = self._until_end(batch)
                done, failure = await asyncio.to_thread(_encoded, part, self._rules)
                for ready in self._batches(self._of[partition], done):
                    await self._ready.put(ready)
                if failure is not None:
                    raise failure
                self._heed_end(partition, done)

    def _until_end(self, batch: SourceBatch) -> SourceBatch:
        end = self._ends.get(batch.partition)
        return batch if end is None or batch.end_offset <= end else BatchPart.until(batch, end)

    def _heed_end(self, partition: SourcePartition, done: list[Encoded]) -> None:
        """Stops reading what has come to its end, or to a record that is not let by."""
        blocked = next((each for each in done if each.blocked_by is not None), None)
        if blocked is not None and blocked.blocked_by is not None:
            _log.warning(
                "task %s: %s stops at offset %s, which is no JSON object: %s",
                self._task,
                partition,
                blocked.blocked_offset,
                blocked.blocked_by.reason.value,
            )
        end = self._ends.get(partition)
        reached = max((each.end_offset for each in done), default=-1)
        if blocked is not None or (end is not None and reached >= end):
            self._source.remove(partition)
            self._of.pop(partition, None)

    def _batches(self, of: TopicPartition, done: Iterable[Encoded]) -> Iterator[Batch]:
        for append in (append for each in done for append in each.appends):
            if append.reject_count:
                _log.warning(
                    "task %s: %d records of %s/%d in offsets %d to %d (exclusive) are no JSON "
                    "objects and left out",
                    self._task,
                    append.reject_count,
                    of.topic,
                    of.partition,
                    append.base_offset,
                    append.end_offset,
                )
            yield _batch(of, append)

    async def _watch(self) -> None:
        """Looks for what does not go away by itself."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self._source.error != self._told:
                self._told = self._source.error
                if self._told:
                    _log.warning("task %s: the broker: %s", self._task, self._told)
            for partition in self._source.news():
                of = self._of.get(partition)
                if of is None:
                    continue
                problem = self._source.status(partition).problem
                if problem is not None and problem.reason.final:
                    raise DataLoss(
                        f"the broker cannot give {partition}: {problem}",
                        reason=problem.reason.value,
                        metadata={"topic": of.topic, "partition": str(of.partition)},
                    )

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            assert self._failed is not None
            if not self._failed.done():
                self._failed.set_exception(error)


def _encoded(batch: SourceBatch, rules: EncodingRules) -> tuple[list[Encoded], Exception | None]:
    return encode_batch(batch, rules)


def _batch(of: TopicPartition, append: EncodedAppend) -> Batch:
    stream = join_stream([append.payload] if append.payload else [])
    return Batch(
        of,
        append.first_offset if append.record_count else append.base_offset,
        append.end_offset,
        append.record_count,
        ArrowPayload(pa.py_buffer(stream)),
    )
