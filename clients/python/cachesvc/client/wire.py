"""Values to messages and back, for all calls; what a stream tells is in `incoming`."""

from collections.abc import Iterable, Mapping

import pyarrow as pa

from cachesvc.client.events import MiningState
from cachesvc.client.members import Member
from cachesvc.client.positions import PartitionKey, Position, Positions, as_positions
from cachesvc.client.settings import (
    AtTimestamp,
    Earliest,
    Latest,
    Mode,
    Projection,
    Sharing,
    Start,
    Subscribe,
)
from cachesvc.client.subscriptions import (
    Lag,
    PartitionOffsets,
    Subscription,
    SubscriptionPartition,
)
from cachesvc.v1 import filters_pb2
from cachesvc.v1 import log_cache_pb2 as pb

PARQUET_BYTES_MAX = 4 << 20
"""Of a row group that is taken as it lies in the store, where the caller sets no bound."""


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
        joins_batches=True,
        parquet_bytes_max=_parquet_bytes_max(request),
        filter=None if isinstance(request.filter, str) else request.filter,
        filter_text=request.filter if isinstance(request.filter, str) else "",
        projection=None if request.projection is None else _projection(request.projection),
        sharing=pb.SHARED if request.sharing is Sharing.SHARED else pb.SHARING_UNSPECIFIED,
        member=request.member,
        start=None if start is None else start_message(start),
        end=None if ends is None else pb.Positions(positions=ends),
    )


def _projection(wanted: Projection) -> filters_pb2.Projection:
    return filters_pb2.Projection(
        without_value=wanted.without_value,
        without_headers=wanted.without_headers,
        fields=wanted.fields,
        without_fields=wanted.without_fields,
    )


def _parquet_bytes_max(request: Subscribe) -> int:
    """How large the row groups are that a stream takes as they lie in the store."""
    if not request.takes_as_kept or not pa.Codec.is_available("zstd"):
        return 0
    return request.batch_bytes_max or PARQUET_BYTES_MAX


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


def position_messages(
    given: Iterable[Position], epochs: Mapping[PartitionKey, int] | None = None
) -> list[pb.Position]:
    """Positions as messages; of a member, with the epochs of its partitions."""
    return [
        pb.Position(
            topic=each.topic,
            partition=each.partition,
            incarnation=each.incarnation,
            offset=each.offset,
            epoch=(epochs or {}).get(each.key, 0),
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
        sharing=Sharing(message.sharing) if message.sharing else None,
        members=tuple(map(_member, message.members)),
    )


def _member(message: pb.Member) -> Member:
    stalled = message.stalled_since_ms if message.HasField("stalled_since_ms") else None
    return Member(
        message.name,
        message.joined_ms,
        positions(message.positions),
        positions(message.revoked),
        stalled,
        message.finished,
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
