"""Values to messages and back, for all calls; what a stream tells is in `incoming`."""

from collections.abc import Iterable

from cachesvc.client.events import MiningState
from cachesvc.client.positions import Position, Positions, as_positions
from cachesvc.client.settings import AtTimestamp, Earliest, Latest, Mode, Start, Subscribe
from cachesvc.client.subscriptions import (
    Lag,
    PartitionOffsets,
    Subscription,
    SubscriptionPartition,
)
from cachesvc.v1 import log_cache_pb2 as pb


def subscribe_request(
    request: Subscribe, resume_at: Positions | None = None, resume_end: Positions | None = None
) -> pb.SubscribeRequest:
    """The request for a stream, or for going on with one.

    Args:
        request: What the caller asked for.
        resume_at: Where an earlier connection of the stream got to, instead of ``request.start``.
        resume_end: Where it was to end, instead of ``request.end``; empty if nowhere.
    """
    start = request.start if resume_at is None else resume_at
    end = request.end if resume_end is None else resume_end or None
    ends = None if end is None else position_messages(as_positions(end).values())
    return pb.SubscribeRequest(
        subscription=request.subscription,
        connection=request.connection,
        topics=request.topics,
        topic_expression=request.topic_expression,
        mode=int(request.mode),  # type: ignore[arg-type]
        encoding=int(request.encoding),  # type: ignore[arg-type]
        arrow_compression=int(request.arrow_compression),  # type: ignore[arg-type]
        batch_bytes_max=request.batch_bytes_max,
        gap_policy=int(request.gap_policy),  # type: ignore[arg-type]
        bootstrap=int(request.bootstrap),  # type: ignore[arg-type]
        start=None if start is None else start_message(start),
        end=None if ends is None else pb.Positions(positions=ends),
    )


def start_message(start: Start) -> pb.Start:
    """Where to start, as a message."""
    match start:
        case Earliest():
            return pb.Start(earliest=pb.Earliest())
        case Latest():
            return pb.Start(latest=pb.Latest())
        case AtTimestamp():
            return pb.Start(timestamp_ms=start.timestamp_ms)
        case _:
            exactly = position_messages(as_positions(start).values())
            return pb.Start(positions=pb.Positions(positions=exactly))


def position_messages(given: Iterable[Position]) -> list[pb.Position]:
    """Positions as messages."""
    return [
        pb.Position(
            topic=each.topic,
            partition=each.partition,
            incarnation=each.incarnation,
            offset=each.offset,
        )
        for each in given
    ]


def position(message: pb.Position) -> Position:
    """A position as a value."""
    return Position(message.topic, message.partition, message.offset, message.incarnation)


def positions(messages: Iterable[pb.Position]) -> Positions:
    """Positions as values."""
    return Positions(map(position, messages))


def subscription(message: pb.Subscription) -> Subscription:
    """A subscription as a value."""
    return Subscription(
        name=message.name,
        connection=message.connection,
        topics=tuple(message.topics),
        topic_expression=message.topic_expression,
        mode=Mode(message.mode),
        epoch=message.epoch,
        connected=message.connected,
        full_sync_done=message.full_sync_done,
        created_ms=message.created_ms,
        committed_ms=message.committed_ms if message.HasField("committed_ms") else None,
        partitions=tuple(
            SubscriptionPartition(position(partition.position), _lag(partition.lag))
            for partition in message.partitions
        ),
        lag=_lag(message.lag),
    )


def partition_offsets(message: pb.PartitionOffsets) -> PartitionOffsets:
    """The ends of a partition's log as a value."""
    return PartitionOffsets(
        topic=message.topic,
        partition=message.partition,
        incarnation=message.incarnation,
        log_start_offset=message.log_start_offset,
        log_end_offset=message.log_end_offset,
        source_high_watermark=(
            message.source_high_watermark if message.HasField("source_high_watermark") else None
        ),
        offset_at_timestamp=(
            message.offset_at_timestamp if message.HasField("offset_at_timestamp") else None
        ),
        mining_state=MiningState(message.mining_state),
        mining_error=message.mining_error,
    )


def _lag(message: pb.Lag) -> Lag:
    return Lag(message.records, message.bytes, message.seconds)
