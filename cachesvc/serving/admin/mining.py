"""Mining tasks: looking at them, stopping, starting and editing them, and pinning topics."""

import math
from typing import Any

import grpc

from cachesvc.assignment.assignments import Assignments
from cachesvc.assignment.mining import Mining
from cachesvc.assignment.mining_tasks import MiningTask
from cachesvc.clusters.sources import Sources
from cachesvc.errors import InvalidRequest, NotFound
from cachesvc.log.log_store import LogStore
from cachesvc.model import MiningStart, StartKind
from cachesvc.policy.topics import check_topic_name
from cachesvc.serving.admin import mining_views
from cachesvc.serving.admin.limits import checked_limit, rows_seen
from cachesvc.serving.admin.topics import check_known
from cachesvc.serving.convert import timestamp
from cachesvc.serving.status import errors_as_status
from cachesvc.store.mining_ports import OwnRetention
from cachesvc.v1 import mining_tasks_pb2 as pb
from cachesvc.watching.mining_watch import MiningWatch

Context = grpc.aio.ServicerContext[Any, Any]
_HISTORY_DEFAULT = 100
_NAME_LENGTH_MAX = 128
_DAYS_MAX = 36_500
_DAY_S = 86_400
_SIZE_MAX = 1 << 60


class MiningAdmin:
    """The calls of ``cachesvc.v1.Admin`` about mining tasks; see the .proto for the contract.

    Args:
        store: The logs.
        sources: The connections.
        assignments: Who mines what.
        mining: What there is to see, and what may be done about it.
        watch: How much is mined.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        assignments: Assignments,
        mining: Mining,
        watch: MiningWatch,
    ) -> None:
        self._store = store
        self._sources = sources
        self._assignments = assignments
        self._tasks = mining.tasks
        self._commands = mining.commands
        self._pins = mining.pins
        self._blocked = mining.blocked
        self._watch = watch

    async def ListMiningTasks(
        self, request: pb.ListMiningTasksRequest, context: Context
    ) -> pb.ListMiningTasksResponse:
        async with errors_as_status(context):
            if request.connection:
                self._sources.resolve(request.connection)
            found = [
                self._view(task)
                for task in self._tasks.all()
                if request.connection in ("", task.record.connection)
            ]
            return pb.ListMiningTasksResponse(tasks=found)

    async def StartMiningTask(
        self, request: pb.StartMiningTaskRequest, context: Context
    ) -> pb.StartMiningTaskResponse:
        async with errors_as_status(context):
            task = await self._commands.start(self._connection(request.connection))
            return pb.StartMiningTaskResponse(task=self._view(task))

    async def StopMiningTask(
        self, request: pb.StopMiningTaskRequest, context: Context
    ) -> pb.StopMiningTaskResponse:
        async with errors_as_status(context):
            task = await self._commands.stop(self._connection(request.connection))
            return pb.StopMiningTaskResponse(task=self._view(task))

    async def EditMiningTask(
        self, request: pb.EditMiningTaskRequest, context: Context
    ) -> pb.EditMiningTaskResponse:
        async with errors_as_status(context):
            connection = self._connection(request.connection)
            name = _name("name", request.name) if request.HasField("name") else None
            days = request.retention_days if request.HasField("retention_days") else None
            task = await self._commands.edit(
                connection,
                name=name,
                retention=OwnRetention(
                    None if days is None else _days(days) * _DAY_S,
                    _size(request, "retention_bytes"),
                    _size(request, "retention_records"),
                ),
                start=_start(request.start) if request.HasField("start") else None,
            )
            return pb.EditMiningTaskResponse(task=self._view(task))

    async def StartMinedTopic(
        self, request: pb.StartMinedTopicRequest, context: Context
    ) -> pb.StartMinedTopicResponse:
        async with errors_as_status(context):
            connection = self._connection(request.connection)
            self._check_topic(connection, request.topic)
            task = await self._commands.start_topic(connection, request.topic)
            return pb.StartMinedTopicResponse(task=self._view(task))

    async def StopMinedTopic(
        self, request: pb.StopMinedTopicRequest, context: Context
    ) -> pb.StopMinedTopicResponse:
        async with errors_as_status(context):
            connection = self._connection(request.connection)
            self._check_topic(connection, request.topic)
            task = await self._commands.stop_topic(connection, request.topic)
            return pb.StopMinedTopicResponse(task=self._view(task))

    async def ListMiningTransitions(
        self, request: pb.ListMiningTransitionsRequest, context: Context
    ) -> pb.ListMiningTransitionsResponse:
        async with errors_as_status(context):
            connection = self._connection(request.connection)
            transitions = await rows_seen(
                checked_limit(request.limit, _HISTORY_DEFAULT),
                lambda count: self._commands.history(connection, request.topic, count),
                mining_views.transition,
            )
            return pb.ListMiningTransitionsResponse(transitions=transitions)

    async def PinTopic(self, request: pb.PinTopicRequest, context: Context) -> pb.PinTopicResponse:
        async with errors_as_status(context):
            source = self._sources.resolve(request.connection)
            check_topic_name(request.topic)
            if not source.matches(request.topic):
                raise source.unknown(request.topic)
            reader = _name("reader", request.reader)
            await self._pins.pin(source.name, request.topic, reader, strict=request.strict)
            return pb.PinTopicResponse()

    async def UnpinTopic(
        self, request: pb.UnpinTopicRequest, context: Context
    ) -> pb.UnpinTopicResponse:
        async with errors_as_status(context):
            connection = self._connection(request.connection)
            if request.topic not in self._pins.of(connection):
                raise NotFound(
                    f"topic {request.topic!r} is not pinned to a reader; `cachesvc mining show` "
                    "tells which are",
                    reason="UNKNOWN_PIN",
                    metadata={"connection": connection, "topic": request.topic},
                )
            await self._pins.unpin(connection, request.topic)
            return pb.UnpinTopicResponse()

    async def ListBlockedPartitions(
        self, request: pb.ListBlockedPartitionsRequest, context: Context
    ) -> pb.ListBlockedPartitionsResponse:
        async with errors_as_status(context):
            if request.connection:
                self._connection(request.connection)
            if request.topic:
                check_topic_name(request.topic)
            found = self._blocked.all(request.connection, request.topic)
            return pb.ListBlockedPartitionsResponse(partitions=map(mining_views.blocked, found))

    async def RetryPartitions(
        self, request: pb.RetryPartitionsRequest, context: Context
    ) -> pb.RetryPartitionsResponse:
        async with errors_as_status(context):
            connection = self._connection(request.connection)
            self._check_topic(connection, request.topic)
            number = request.partition if request.HasField("partition") else None
            found = await self._blocked.retry(connection, request.topic, number)
            return pb.RetryPartitionsResponse(partitions=map(mining_views.blocked, found))

    def _connection(self, name: str) -> str:
        return self._sources.resolve(name).name

    def _check_topic(self, connection: str, topic: str) -> None:
        check_known(self._sources, self._store, connection, topic)

    def _view(self, task: MiningTask) -> pb.MiningTask:
        connection = task.record.connection
        view = mining_views.task(task.record, self._pins.of(connection))
        owners = {
            topic: (reader.name, assigned.epoch)
            for reader in self._assignments.readers(connection)
            for topic, assigned in reader.assigned.items()
        }
        for name in sorted(task.topics):
            topic_id = self._store.topic_id(connection, name)
            view.topics.append(
                mining_views.topic(
                    task.topics[name],
                    self._store.logs.of_topic(topic_id),
                    self._store.waiting.of_topic(topic_id),
                    self._tasks.shown(connection, name),
                    owners.get(name, ("", 0)),
                    self._assignments.loads.counts.get(topic_id),
                    self._assignments.loads.bytes_per_s(topic_id),
                    self._watch.activity(topic_id, self._store.logs.of_topic(topic_id)),
                )
            )
        return view


def _name(field: str, value: str) -> str:
    if not 1 <= len(value) <= _NAME_LENGTH_MAX or not value.isprintable():
        raise InvalidRequest(f"{field}: 1 to {_NAME_LENGTH_MAX} printable characters")
    return value


def _days(value: float) -> float:
    if not math.isfinite(value) or not 0 <= value <= _DAYS_MAX:
        raise InvalidRequest(
            f"retention_days: {value} is outside 0 to {_DAYS_MAX}; 0 leaves it to the service"
        )
    return value


def _size(request: pb.EditMiningTaskRequest, field: str) -> int | None:
    if not request.HasField(field):
        return None
    value: int = getattr(request, field)
    if not 0 <= value <= _SIZE_MAX:
        raise InvalidRequest(
            f"{field}: {value} is outside 0 to {_SIZE_MAX}; 0 leaves it to the service"
        )
    return value


def _start(start: pb.MiningStart) -> MiningStart:
    match start.WhichOneof("start"):
        case "earliest":
            return MiningStart(StartKind.EARLIEST)
        case "now":
            return MiningStart(StartKind.NOW)
        case "timestamp_ms":
            at_ms = timestamp("start.timestamp_ms", start.timestamp_ms)
            return MiningStart(StartKind.TIMESTAMP, at_ms)
    raise InvalidRequest("start: give earliest, now or timestamp_ms")
