"""Everything that a stream tells but batches, as serialized ``SubscribeResponse``."""

from collections.abc import Iterable, Mapping, Sequence

from cachesvc.errors import DataLoss, PreconditionFailed
from cachesvc.model import GapCause, LostRange, MiningState, PartitionId, Snapshot
from cachesvc.serving.bootstrap import Start
from cachesvc.serving.cursor import Cursor
from cachesvc.serving.views import blocked
from cachesvc.store.frames import Frame
from cachesvc.v1 import log_cache_pb2 as pb


def position_message(cursor: Cursor) -> pb.Position:
    """A cursor's position."""
    return _position(cursor.log.id, cursor.position, cursor.epoch)


def _position(partition: PartitionId, offset: int, epoch: int = 0) -> pb.Position:
    return pb.Position(
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        offset=offset,
        epoch=epoch,
    )


def started(
    epoch: int,
    connection: str,
    cursors: Iterable[Cursor],
    ends: Mapping[PartitionId, int],
    snapshots: Iterable[Start] = (),
    member: str = "",
) -> bytes:
    """The first event of a stream."""
    event = pb.Started(
        epoch=epoch,
        connection=connection,
        positions=map(position_message, cursors),
        end=[_position(partition, end) for partition, end in ends.items()],
        snapshots=_snapshot_starts(snapshots),
        member=member,
    )
    return pb.SubscribeResponse(started=event).SerializeToString()


def _snapshot_starts(starts: Iterable[Start]) -> list[pb.SnapshotStart]:
    return [
        snapshot_start(start.snapshot, resumed=start.resumed)
        for start in starts
        if start.snapshot is not None
    ]


def snapshot_start(snapshot: Snapshot, *, resumed: bool) -> pb.SnapshotStart:
    """A snapshot that a partition begins with."""
    partition = snapshot.partition
    return pb.SnapshotStart(
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        base_offset=snapshot.base_offset,
        end_offset=snapshot.end_offset,
        complete_from_offset=snapshot.complete_from_offset,
        record_count=snapshot.file.record_count,
        created_ms=snapshot.file.created_ms,
        resumed=resumed,
    )


def partition_added(cursor: Cursor) -> bytes:
    """A partition has joined, or goes on in the next incarnation of its topic."""
    event = pb.PartitionAdded(start=position_message(cursor))
    return pb.SubscribeResponse(partition_added=event).SerializeToString()


def partitions_assigned(cursors: Iterable[Cursor], starts: Iterable[Start]) -> bytes:
    """Partitions are a member's from now on; the starts say which begin with snapshots."""
    event = pb.PartitionsAssigned(
        positions=map(position_message, cursors), snapshots=_snapshot_starts(starts)
    )
    return pb.SubscribeResponse(partitions_assigned=event).SerializeToString()


def partitions_revoked(cursors: Iterable[Cursor]) -> bytes:
    """Partitions are a member's no longer."""
    event = pb.PartitionsRevoked(positions=map(position_message, cursors))
    return pb.SubscribeResponse(partitions_revoked=event).SerializeToString()


def progress(cursors: Iterable[Cursor], awaited: Mapping[PartitionId, str]) -> bytes:
    """How far stream, log and source are, and what mining does.

    Args:
        cursors: The partitions of the stream.
        awaited: Those that join later, and why they have not yet.
    """
    event = pb.Progress()
    for cursor in cursors:
        log, top = cursor.log, cursor.log.top
        event.partitions.add(
            topic=log.id.topic,
            partition=log.id.partition,
            incarnation=log.id.incarnation,
            position=cursor.position,
            log_end_offset=top.log_end_offset,
            source_high_watermark=top.source.high_watermark,
            mining_state=int(log.source.state),
            mining_error=log.source.error,
            blocked=blocked(log.source.trouble),
        )
    for partition, why in awaited.items():
        event.partitions.add(
            topic=partition.topic,
            partition=partition.partition,
            incarnation=partition.incarnation,
            mining_state=int(MiningState.SOURCE_UNREACHABLE),
            mining_error=why,
        )
    return pb.SubscribeResponse(progress=event).SerializeToString()


def gap(cursor: Cursor, lost: LostRange | None) -> bytes:
    """A gap; None for one of unknown extent and cause: damage of the store."""
    partition = cursor.log.id
    event = pb.Gap(
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        begin_offset=lost.begin if lost else cursor.position,
        end_offset=lost.end if lost else cursor.position,
        cause=int(lost.cause) if lost else 0,  # type: ignore[arg-type]
    )
    return pb.SubscribeResponse(gap=event).SerializeToString()


_CAUSES = {
    GapCause.SOURCE_RETENTION: "the source deleted them before they were mined",
    GapCause.CACHE_RETENTION: "they are no longer cached, nor at the source",
    GapCause.TOPIC_RECREATED: "the topic was deleted and created again",
    GapCause.SOURCE_TRUNCATED: "the source lost records that were mined and has others there",
    GapCause.SOURCE_CHANGED: "the connection leads to another cluster now",
    GapCause.STORE_DAMAGED: "the cache's file was damaged and the source has them no more",
}


def data_loss(partition: PartitionId, lost: LostRange, *, recovers: bool = False) -> DataLoss:
    """The error with which a stream ends at a gap.

    Args:
        partition: Of which.
        lost: The gap.
        recovers: Whether the next stream loads the partition anew from a snapshot.
    """
    advice = (
        "the next stream of the subscription loads the partition anew, from a snapshot"
        if recovers
        else "subscribe with gap_policy GO_ON_BEHIND_GAP to go on, or reset the subscription"
    )
    return DataLoss(
        f"{partition}: offsets [{lost.begin}, {lost.end}) cannot be given: {_CAUSES[lost.cause]}; "
        f"{advice}",
        reason=lost.cause.name,
        metadata={
            "topic": partition.topic,
            "partition": partition.partition,
            "incarnation": partition.incarnation,
            "begin_offset": lost.begin,
            "end_offset": lost.end,
            "recovers_from_snapshot": str(recovers).lower(),
        },
    )


def too_large(
    partition: PartitionId, frames: Sequence[Frame], size: int, bytes_max: int
) -> PreconditionFailed:
    """The error with which a stream ends before a batch that its client does not take."""
    offset = next(frame.first_offset for frame in frames if frame.record_count)
    return PreconditionFailed(
        f"{partition}: the batch from offset {offset} on has {size} bytes and the client takes"
        f" {bytes_max}; have it take larger messages, or a smaller batch_bytes_max if the batch"
        " has several records",
        reason="TOO_LARGE",
        metadata={
            "topic": partition.topic,
            "partition": partition.partition,
            "incarnation": partition.incarnation,
            "offset": offset,
            "bytes": size,
        },
    )


def ended(cursors: Iterable[Cursor]) -> bytes:
    """The stream is complete."""
    event = pb.Ended(positions=[position_message(cursor) for cursor in cursors])
    return pb.SubscribeResponse(ended=event).SerializeToString()
