"""What a stream can tell, as values. `Batch` is the event that carries records."""

from enum import IntEnum
from typing import Self, TypeAlias

import msgspec

from cachesvc.client.batch import Batch
from cachesvc.client.positions import PartitionKey, Position, Positions


class MiningState(IntEnum):
    """What mining of a partition is doing; a state this version does not know is UNSPECIFIED."""

    UNSPECIFIED = 0
    IDLE = 1
    """Nobody needs the topic, so nobody reads it."""
    STARTING = 2
    """A reader is about to take the topic."""
    MINING = 3
    BLOCKED = 4
    """The partition stopped at a record that the JSON rule turned away."""
    SOURCE_UNREACHABLE = 5
    """The broker cannot be reached; the reader tries again by itself."""
    FAILED = 6
    """Mining cannot go on by itself."""
    STOPPED = 7
    """An operator stopped mining; it goes on when an operator starts it."""
    PAUSED = 8
    """Nobody has used the topic for a while; mining is about to go on."""
    THROTTLED = 9
    """A quota of the broker holds its answers back; mining goes on as fast as that lets it."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(0)


class GapCause(IntEnum):
    """Why a range cannot be given; a cause this version does not know is UNSPECIFIED."""

    UNSPECIFIED = 0
    SOURCE_RETENTION = 1
    """The source deleted the range before it was mined."""
    CACHE_RETENTION = 2
    """The cache had the range and its retention took it; the source has it no more."""
    TOPIC_RECREATED = 3
    """The topic was deleted and created again."""
    SOURCE_TRUNCATED = 4
    """The source lost records that were mined already, and has others at their offsets."""
    STORE_DAMAGED = 5
    """The cache had the range in a file that was damaged, and the source has it no more."""
    SOURCE_CHANGED = 6
    """An operator accepted that the connection leads to another cluster."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(0)


class SnapshotStart(msgspec.Struct, frozen=True):
    """A snapshot that a partition of a stream begins with.

    Unless it is resumed, what the task has of the partition from before is to go: keys that the
    snapshot lacks are deleted.

    Attributes:
        topic: The topic.
        partition: The number of the partition.
        incarnation: Which incarnation of a topic of that name.
        base_offset: Where what it covers begins.
        end_offset: The position that it stands for; everything from here on follows from the log.
        complete_from_offset: Every record from here on counts in it.
        record_count: Its records.
        created_ms: When it was made.
        resumed: Whether the stream goes on in the middle of it.
    """

    topic: str
    partition: int
    incarnation: int
    base_offset: int
    end_offset: int
    complete_from_offset: int
    record_count: int
    created_ms: int
    resumed: bool


class Started(msgspec.Struct, frozen=True):
    """The stream is connected. The first event, and again after every new connection.

    Attributes:
        epoch: This subscriber's epoch.
        positions: The start of every partition.
        end: Where the stream will end; empty for a stream that never ends.
        connection: The connection that was meant, also when the caller left it out.
        resumed: Whether this goes on where an earlier connection of this stream was lost.
        snapshots: The partitions that begin with a snapshot, or are in the middle of one.
        member: What this member of a shared subscription is called; ``positions``, ``end`` and
            ``snapshots`` are empty then.
    """

    epoch: int
    positions: Positions
    end: Positions
    connection: str
    resumed: bool = False
    snapshots: tuple[SnapshotStart, ...] = ()
    member: str = ""


class CaughtUp(msgspec.Struct, frozen=True):
    """The stream has delivered everything the log had of this topic."""

    topic: str


class FellBehind(msgspec.Struct, frozen=True):
    """The stream no longer keeps up with the newest records of this topic and reads from disk."""

    topic: str


class PartitionProgress(msgspec.Struct, frozen=True):
    """How far one partition is.

    Attributes:
        position: The position this stream has reached.
        log_end_offset: The next offset the cache will accept.
        source_high_watermark: None while the source has not been asked yet.
        mining_state: What mining of the partition is doing.
        mining_error: Why, where the state is none in which mining goes on; else empty.
    """

    position: Position
    log_end_offset: int
    source_high_watermark: int | None
    mining_state: MiningState
    mining_error: str


class Progress(msgspec.Struct, frozen=True):
    """A sign of life, at least every few seconds on a quiet stream.

    Everything before the positions was delivered: where they lie behind the last batch, there is
    nothing in between but holes.
    """

    partitions: tuple[PartitionProgress, ...]


class Gap(msgspec.Struct, frozen=True):
    """A range ``[begin_offset, end_offset)`` that nobody can give any more.

    The stream then ends with `DataLoss`.
    """

    topic: str
    partition: int
    incarnation: int
    begin_offset: int
    end_offset: int
    cause: GapCause


class PartitionAdded(msgspec.Struct, frozen=True):
    """A new partition, or one of a newly matching topic, has joined the stream.

    Attributes:
        start: Where it starts.
    """

    start: Position


class PartitionsAssigned(msgspec.Struct, frozen=True):
    """Partitions of a shared subscription are this member's from now on.

    What it has of them from before counts no more: each begins at its stored position.

    Attributes:
        positions: Where each begins.
        epochs: Under which it is committed; the stream does so by itself.
        snapshots: Those of them that begin with a snapshot, or go on in the middle of one, perhaps
            where another member has left it.
    """

    positions: Positions
    epochs: dict[PartitionKey, int]
    snapshots: tuple[SnapshotStart, ...] = ()


class PartitionsRevoked(msgspec.Struct, frozen=True):
    """Partitions of a shared subscription are this member's no longer; nothing more of them comes.

    What came before may be committed for a few seconds more; once it is, as far as ``positions``,
    another member goes on there, and after that time wherever they are stored.

    Attributes:
        positions: How far each was delivered.
    """

    positions: Positions


class Ended(msgspec.Struct, frozen=True):
    """The stream is complete: every record before ``positions`` was delivered."""

    positions: Positions


Event: TypeAlias = (
    Started
    | Batch
    | CaughtUp
    | FellBehind
    | Progress
    | Gap
    | PartitionAdded
    | PartitionsAssigned
    | PartitionsRevoked
    | Ended
)
"""Everything a stream can tell."""
