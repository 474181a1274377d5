"""The nouns of the log cache as values: frozen, without I/O, without Arrow.

Every range is half-open, ``[begin, end)``. Offsets are Kafka's: identities at the source with
possible holes, never counts. Times are milliseconds since the Unix epoch unless a name says ``_s``.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum


@dataclass(frozen=True, slots=True, order=True)
class TopicId:
    """One incarnation of a topic of one connection.

    Attributes:
        connection: Name of the connection.
        topic: Kafka's topic name.
        incarnation: Which incarnation of a topic of that name, from 1.
    """

    connection: str
    topic: str
    incarnation: int = 1

    def partition(self, number: int) -> "PartitionId":
        """The identity of partition ``number`` of this topic."""
        return PartitionId(self.connection, self.topic, self.incarnation, number)


@dataclass(frozen=True, slots=True, order=True)
class PartitionId:
    """A partition of one incarnation of a topic, ordered by its fields from first to last."""

    connection: str
    topic: str
    incarnation: int
    partition: int

    @property
    def topic_id(self) -> TopicId:
        """The topic that this partition belongs to."""
        return TopicId(self.connection, self.topic, self.incarnation)

    def __str__(self) -> str:
        return f"{self.connection}/{self.topic}/i{self.incarnation}/{self.partition}"


LOCAL_STORE = "local"
"""The store that is the service's own directory."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A live Parquet file: the records of ``[base_offset, end_offset)`` of one partition.

    Attributes:
        partition: Whose records these are.
        base_offset: Begin of the covered range.
        end_offset: End of the covered range; the last record may lie before ``end_offset - 1``.
        record_count: Records in the file; may be 0 where the range holds only holes or rejects.
        bytes: Size of the Parquet file.
        min_timestamp_ms: Smallest record timestamp; 0 without records.
        max_timestamp_ms: Largest record timestamp; 0 without records.
        created_ms: When its file was written: sealed or merged.
        level: 0 when sealed from a journal; each compaction adds one.
        path: Of the Parquet file, relative to the store.
        reject_count: Records of the range that the JSON rule turned away.
        rejects_path: Of the file with the rejects, relative to the store; empty without any.
        backfilled_ms: When its newest range that was mined afterwards was sealed; 0 without any.
        oldest_mined_ms: When the first part of it was mined; at most ``newest_mined_ms``.
        newest_mined_ms: When the last part of it was mined, which is what retention counts from.
        store: In which its files lie.
        rejects_bytes: Size of the file with the rejects; 0 without any, or if that is not known.
    """

    partition: PartitionId
    base_offset: int
    end_offset: int
    record_count: int
    bytes: int
    min_timestamp_ms: int
    max_timestamp_ms: int
    created_ms: int
    level: int
    path: str
    reject_count: int = 0
    rejects_path: str = ""
    backfilled_ms: int = 0
    oldest_mined_ms: int = 0
    newest_mined_ms: int = 0
    store: str = LOCAL_STORE
    rejects_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The latest record per key of a partition up to a position.

    Attributes:
        file: Its Parquet file. Its records are those of ``[base_offset, end_offset)`` that are the
            latest of their keys, with the offsets that they have, in order; ``end_offset`` is the
            position that it stands for. It is never part of a log.
        complete_from_offset: Every record from here on counts; ``base_offset``, unless the source
            had deleted what lies between before it was mined.
        read_count: Records of the log that are in it or were superseded or deleted; of snapshots
            that were continued too.
    """

    file: Segment
    complete_from_offset: int
    read_count: int

    @property
    def partition(self) -> PartitionId:
        """Whose it is."""
        return self.file.partition

    @property
    def base_offset(self) -> int:
        """Where what it covers begins."""
        return self.file.base_offset

    @property
    def end_offset(self) -> int:
        """The position that it stands for."""
        return self.file.end_offset


class Mode(IntEnum):
    """What a subscription is for; numbers as in ``cachesvc.v1.Mode``."""

    INCREMENTAL = 1
    FULL = 2
    FULL_AND_INCREMENTAL = 3


class Encoding(IntEnum):
    """How a batch carries its records; numbers as in ``cachesvc.v1.Encoding``."""

    RECORDS = 1
    ARROW_IPC = 2


class ArrowCompression(IntEnum):
    """How Arrow batches are compressed; numbers as in ``cachesvc.v1.ArrowCompression``."""

    LZ4 = 1
    ZSTD = 2
    NONE = 3


class MiningState(IntEnum):
    """What mining of a partition is doing; numbers as in ``cachesvc.v1.MiningState``."""

    IDLE = 1
    STARTING = 2
    MINING = 3
    BLOCKED = 4
    SOURCE_UNREACHABLE = 5
    FAILED = 6
    STOPPED = 7
    PAUSED = 8
    THROTTLED = 9


class StartKind(Enum):
    """Where mining of a topic begins that is not cached yet."""

    EARLIEST = "earliest"
    NOW = "now"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class MiningStart:
    """Where mining of a topic begins that is not cached yet.

    Attributes:
        kind: The source's earliest offset, its end, or the first record of a time.
        timestamp_ms: That time; 0 for the other kinds.
    """

    kind: StartKind = StartKind.EARLIEST
    timestamp_ms: int = 0


FROM_EARLIEST = MiningStart()


class NonJsonPolicy(Enum):
    """What becomes of a record that is not a JSON object."""

    REJECT = "reject"
    STOP = "stop"


class RejectReason(Enum):
    """Why a record was turned away; the words of ``cachesvc.v1.Reject.reason``.

    ``TOO_LARGE`` is larger than the service takes; the others are the JSON rule's.
    """

    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    MALFORMED_JSON = "MALFORMED_JSON"
    INVALID_UTF8 = "INVALID_UTF8"
    NESTED_TOO_DEEP = "NESTED_TOO_DEEP"
    TOO_LARGE = "TOO_LARGE"


class GapCause(IntEnum):
    """Why a range cannot be given; numbers as in ``cachesvc.v1.GapCause``."""

    SOURCE_RETENTION = 1
    CACHE_RETENTION = 2
    TOPIC_RECREATED = 3
    SOURCE_TRUNCATED = 4
    STORE_DAMAGED = 5
    SOURCE_CHANGED = 6


class GapPolicy(IntEnum):
    """What a stream does at a gap, once it has told it; as in ``cachesvc.v1.GapPolicy``."""

    STOP_AT_GAP = 1
    GO_ON_BEHIND_GAP = 2
    RECOVER_FROM_SNAPSHOT = 3


class Bootstrap(IntEnum):
    """How a stream begins that has no stored position; numbers as in ``cachesvc.v1.Bootstrap``."""

    NONE = 1
    SNAPSHOT = 2


class Sharing(IntEnum):
    """Who reads a subscription; numbers as in ``cachesvc.v1.Sharing``."""

    EXCLUSIVE = 1
    SHARED = 2


@dataclass(frozen=True, slots=True, order=True)
class LostRange:
    """Offsets ``[begin, end)`` of a partition that cannot be given any more, and why.

    Empty where a topic's incarnation ended and nothing of it is known to be missing.
    """

    begin: int
    end: int
    cause: GapCause


@dataclass(frozen=True, slots=True)
class TopicIncarnation:
    """One incarnation of a topic of that name, and what it began with.

    Attributes:
        topic: With its incarnation.
        source_id: The cluster's own id of it; empty if it has none or was not asked yet.
        cause: Why it began; None for the first one.
        cluster_id: The cluster that it is of, as that calls itself; empty if it tells no id.
    """

    topic: TopicId
    source_id: str = ""
    cause: GapCause | None = None
    cluster_id: str = ""
