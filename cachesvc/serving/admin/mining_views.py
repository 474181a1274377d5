"""Messages that show mining tasks."""

from collections.abc import Mapping, Sequence

from cachesvc.assignment.loads import MiningCounts
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningStart, MiningState, PartitionId, StartKind
from cachesvc.policy.assignment import Pin
from cachesvc.policy.blocking import Trouble
from cachesvc.policy.mining_task import TaskState, TopicState
from cachesvc.serving.admin.views import topic_state
from cachesvc.serving.admin.watching import activity_message
from cachesvc.serving.views import blocked as blocked_message
from cachesvc.store.mining_ports import MinedTopicRecord, MiningTaskRecord, MiningTransition
from cachesvc.v1 import mining_tasks_pb2 as pb
from cachesvc.watching.mining_watch import Activity

_DAY_S = 86_400
_TASK_STATES = {
    TaskState.WAITING: pb.TASK_WAITING,
    TaskState.RUNNING: pb.TASK_RUNNING,
    TaskState.FAILED: pb.TASK_FAILED,
    TaskState.STOPPED: pb.TASK_STOPPED,
}
_TOPIC_STATES = {
    TopicState.STARTING: pb.TOPIC_STARTING,
    TopicState.MINING: pb.TOPIC_MINING,
    TopicState.UNREACHABLE: pb.TOPIC_UNREACHABLE,
    TopicState.BLOCKED: pb.TOPIC_BLOCKED,
    TopicState.FAILED: pb.TOPIC_FAILED,
    TopicState.PAUSED_IDLE: pb.TOPIC_PAUSED_IDLE,
    TopicState.STOPPED: pb.TOPIC_STOPPED,
}


def blocked(found: tuple[PartitionId, Trouble]) -> pb.BlockedPartition:
    """A partition that has stopped at one record."""
    partition, trouble = found
    return pb.BlockedPartition(
        connection=partition.connection,
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        blocked=blocked_message(trouble),
    )


def task(record: MiningTaskRecord, pins: Mapping[str, Pin]) -> pb.MiningTask:
    """A mining task, without its topics."""
    kept = record.retention
    return pb.MiningTask(
        name=record.name,
        connection=record.connection,
        state=_TASK_STATES[record.state],
        cause=record.cause,
        since_ms=record.since_ms,
        created_ms=record.created_ms,
        retention_days=None if kept.age_s is None else kept.age_s / _DAY_S,
        retention_bytes=kept.bytes_max,
        retention_records=kept.records_max,
        start=_start(record.start),
        pins=[
            pb.TopicPin(topic=topic, reader=pin.reader, strict=pin.strict)
            for topic, pin in sorted(pins.items())
        ],
    )


def topic(
    record: MinedTopicRecord,
    logs: Sequence[PartitionLog],
    waiting: Mapping[int, str],
    shown: tuple[MiningState, str],
    owner: tuple[str, int],
    counts: MiningCounts | None,
    bytes_per_s: float,
    activity: Activity,
) -> pb.MinedTopic:
    """A topic of a task; ``owner`` is its reader and that one's epoch."""
    state, error = topic_state(logs, waiting, needed=True) if logs or waiting else shown
    counts = counts or MiningCounts()
    return pb.MinedTopic(
        topic=record.topic,
        reader=owner[0],
        epoch=owner[1],
        state=int(state),  # type: ignore[arg-type]
        error=error,
        records_mined=counts.records,
        bytes_mined=counts.bytes,
        records_rejected=counts.rejects,
        mining_lag_records=sum(log.mining_lag or 0 for log in logs),
        topic_state=_TOPIC_STATES[record.state],
        cause=record.cause,
        since_ms=record.since_ms,
        joined_ms=record.joined_ms,
        used_ms=record.used_ms,
        bytes_per_second=bytes_per_s,
        activity=activity_message(activity),
    )


def transition(change: MiningTransition) -> pb.MiningTransition:
    """A change of state."""
    return pb.MiningTransition(
        at_ms=change.at_ms,
        connection=change.connection,
        topic=change.topic,
        before=change.before,
        after=change.after,
        cause=change.cause,
    )


def _start(start: MiningStart) -> pb.MiningStart:
    match start.kind:
        case StartKind.EARLIEST:
            return pb.MiningStart(earliest=True)
        case StartKind.NOW:
            return pb.MiningStart(now=True)
        case StartKind.TIMESTAMP:
            return pb.MiningStart(timestamp_ms=start.timestamp_ms)
