"""Messages that show the state of logs and subscriptions."""

import time
from collections.abc import Iterator, Mapping

from cachesvc.log.estimates import bytes_behind, newest_timestamp_ms, timestamp_at
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningState, PartitionId, TopicId
from cachesvc.policy.blocking import Trouble
from cachesvc.policy.coverage import OffsetRange
from cachesvc.subscriptions.group import Group
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscriptions import Subscription
from cachesvc.v1 import log_cache_pb2 as pb


def partition_offsets(log: PartitionLog, store: LogStore) -> pb.PartitionOffsets:
    """Where a partition's log begins and ends, what there is below it, and what mining does."""
    below = [each for each in store.ranges.below(log.id) if not each.blank]
    growing = store.backfill.growing(log.id)
    wanted = store.backfill.wanted(log.id)
    return pb.PartitionOffsets(
        topic=log.id.topic,
        partition=log.id.partition,
        incarnation=log.id.incarnation,
        log_start_offset=log.log_start_offset,
        log_end_offset=log.log_end_offset,
        source_high_watermark=log.source.high_watermark,
        mining_state=int(log.source.state),  # type: ignore[arg-type]
        mining_error=log.source.error,
        blocked=blocked(log.source.trouble),
        older=[_range(OffsetRange(each.log_start_offset, each.log_end_offset)) for each in below],
        backfill=_range(wanted) if wanted is not None else None,
        backfill_error=growing.source.error if growing is not None else "",
        lost=[
            pb.LostRange(
                begin_offset=lost.begin,
                end_offset=lost.end,
                cause=int(lost.cause),  # type: ignore[arg-type]
            )
            for each in store.ranges.of(log.id)
            for lost in each.lost
        ],
    )


def waiting_partitions(topic: TopicId, store: LogStore) -> list[pb.PartitionOffsets]:
    """The partitions of a topic that have no log yet, because nobody says where it begins."""
    return [
        pb.PartitionOffsets(
            topic=topic.topic,
            partition=number,
            incarnation=topic.incarnation,
            mining_state=int(MiningState.SOURCE_UNREACHABLE),  # type: ignore[arg-type]
            mining_error=why,
        )
        for number, why in store.waiting.of_topic(topic).items()
    ]


def blocked(trouble: Trouble | None) -> pb.Blocked | None:
    """What a partition has stopped at; None if it has not."""
    if trouble is None:
        return None
    return pb.Blocked(
        reason=trouble.blockage.reason.value,
        offset=trouble.blockage.offset,
        bytes=trouble.blockage.bytes,
        detail=trouble.blockage.detail,
        since_ms=trouble.since_ms,
        retry_ms=trouble.retry_ms,
    )


def _range(found: OffsetRange) -> pb.OffsetRange:
    return pb.OffsetRange(begin_offset=found.begin, end_offset=found.end)


def subscription(found: Subscription, store: LogStore) -> pb.Subscription:
    """A subscription with its lag, connected or not."""
    record = found.record
    message = pb.Subscription(
        name=record.name,
        connection=record.connection,
        topics=record.topics,
        topic_expression=record.topic_expression,
        mode=int(record.mode),  # type: ignore[arg-type]
        epoch=record.epoch,
        connected=found.connected,
        full_sync_done=record.full_sync_done,
        created_ms=record.created_ms,
        committed_ms=record.committed_ms,
        gap_policy=int(record.gap_policy),  # type: ignore[arg-type]
    )
    if found.group is not None:
        message.sharing = pb.SHARED
        message.members.extend(members(found.group))
    elif found.subscriber is not None:
        message.sharing = pb.EXCLUSIVE
    message.subscribers.extend(subscribers(found))
    message.partitions.extend(_rows(found.positions, store))
    delivering = found.delivering
    message.delivering.extend(_rows(delivering, store))
    uncommitted = {each: delivering[each] for each in delivering.keys() - found.positions.keys()}
    for row in [*message.partitions, *_rows(uncommitted, store)]:
        message.lag.records += row.lag.records
        message.lag.bytes += row.lag.bytes
        message.lag.seconds = max(message.lag.seconds, row.lag.seconds)
    return message


def subscribers(found: Subscription) -> Iterator[pb.Subscriber]:
    """The open streams on a subscription, in the order in which they came."""
    streams: list[tuple[str, Subscriber]] = []
    if found.group is not None:
        streams = [(member.name, member.subscriber) for member in found.group.active]
    elif found.connected and found.subscriber is not None:
        streams = [("", found.subscriber)]
    for name, stream in streams:
        message = pb.Subscriber(member=name, records=stream.records, bytes=stream.bytes)
        if stream.origin is not None:
            message.principal, message.address = stream.origin.principal, stream.origin.address
            message.client = stream.origin.client
            message.connected_ms = stream.origin.connected_ms
        yield message


def members(group: Group) -> Iterator[pb.Member]:
    """Who shares a subscription, ordered by name, and where each is."""
    now_ms = time.time_ns() // 1_000_000
    for name, member in sorted(group.members.items()):
        message = pb.Member(name=name, joined_ms=member.joined_ms, finished=member.finished)
        reached = member.reached()
        for partition, holding in sorted(group.held(member).items()):
            topic, number = partition
            position = pb.Position(topic=topic, partition=number, epoch=holding.epoch)
            if (at := reached.get(partition)) is not None:
                position.incarnation, position.offset = at[0].incarnation, at[1]
            revoked = holding.revoked_s is not None
            (message.revoked if revoked else message.positions).append(position)
        stalled_s = group.stalled_s(member)
        if stalled_s is not None:
            message.stalled_since_ms = now_ms - round(1000 * stalled_s)
        yield message


def _rows(
    positions: Mapping[PartitionId, int], store: LogStore
) -> Iterator[pb.SubscriptionPartition]:
    for partition, offset in sorted(positions.items()):
        log = store.get(partition)
        behind = lag(log, offset) if log is not None else None
        yield pb.SubscriptionPartition(position=_position(partition, offset), lag=behind)


def lag(log: PartitionLog, offset: int) -> pb.Lag:
    """How far a position is behind the log's end."""
    records = max(0, log.log_end_offset - offset)
    if not records:
        return pb.Lag()
    newest, next_read = newest_timestamp_ms(log), timestamp_at(log, offset)
    seconds = 0.0
    if newest is not None and next_read is not None:
        seconds = max(0.0, (newest - next_read) / 1000)
    return pb.Lag(records=records, bytes=bytes_behind(log, offset), seconds=seconds)


def _position(partition: PartitionId, offset: int) -> pb.Position:
    return pb.Position(
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        offset=offset,
    )
