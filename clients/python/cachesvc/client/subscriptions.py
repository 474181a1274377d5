"""The durable side of subscriptions and the state of partitions, as values."""

import msgspec

from cachesvc.client.events import MiningState
from cachesvc.client.members import Member
from cachesvc.client.positions import Position
from cachesvc.client.settings import Mode, Sharing


class Lag(msgspec.Struct, frozen=True):
    """How far a position is behind the log's end.

    Attributes:
        records: Upper bound: offsets between the position and the log's end, holes included.
        bytes: Estimate of encoded bytes.
        seconds: Age of the first record not yet read against the newest one cached.
    """

    records: int
    bytes: int
    seconds: float


class SubscriptionPartition(msgspec.Struct, frozen=True):
    """Where a subscription stands in one partition."""

    position: Position
    lag: Lag


class Subscription(msgspec.Struct, frozen=True):
    """The durable side of a subscription, connected or not.

    Attributes:
        name: Its name.
        connection: The connection whose topics it reads.
        topics: Topic names, where it was made with names.
        topic_expression: Else the expression that matches them.
        mode: What it is for.
        epoch: Of the newest subscriber.
        connected: Whether a subscriber is connected now.
        full_sync_done: Whether a FULL stream was committed to its end.
        created_ms: When it was made.
        committed_ms: When a position was last committed; None if never.
        partitions: Its stored positions, with their lag.
        lag: Sums over the partitions; seconds: the largest.
        sharing: How its newest subscriber reads it; None where there was none since the service
            started.
        members: Who shares it now, ordered by name.
    """

    name: str
    connection: str
    topics: tuple[str, ...]
    topic_expression: str
    mode: Mode
    epoch: int
    connected: bool
    full_sync_done: bool
    created_ms: int
    committed_ms: int | None
    partitions: tuple[SubscriptionPartition, ...]
    lag: Lag
    sharing: Sharing | None = None
    members: tuple[Member, ...] = ()


class PartitionOffsets(msgspec.Struct, frozen=True):
    """The ends of one partition's log.

    Attributes:
        topic: Kafka's topic name.
        partition: Its number.
        incarnation: Which incarnation of a topic of that name.
        log_start_offset: The lowest offset from which on everything is cached.
        log_end_offset: The next offset the cache will accept.
        source_high_watermark: Kafka's last readable offset + 1; None while it was not asked yet.
        offset_at_timestamp: The first cached offset whose timestamp is not before the one asked
            for; None if there is none, or if none was asked for.
        mining_state: What mining of the partition is doing.
        mining_error: Why, where the state is BLOCKED, FAILED or SOURCE_UNREACHABLE; else empty.
    """

    topic: str
    partition: int
    incarnation: int
    log_start_offset: int
    log_end_offset: int
    source_high_watermark: int | None
    offset_at_timestamp: int | None
    mining_state: MiningState
    mining_error: str
