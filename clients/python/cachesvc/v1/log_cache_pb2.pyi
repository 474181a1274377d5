from cachesvc.v1 import filters_pb2 as _filters_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    INCREMENTAL: _ClassVar[Mode]
    FULL: _ClassVar[Mode]
    FULL_AND_INCREMENTAL: _ClassVar[Mode]

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    RECORDS: _ClassVar[Encoding]
    ARROW_IPC: _ClassVar[Encoding]

class ArrowCompression(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARROW_COMPRESSION_UNSPECIFIED: _ClassVar[ArrowCompression]
    ARROW_COMPRESSION_LZ4: _ClassVar[ArrowCompression]
    ARROW_COMPRESSION_ZSTD: _ClassVar[ArrowCompression]
    ARROW_COMPRESSION_NONE: _ClassVar[ArrowCompression]

class Sharing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SHARING_UNSPECIFIED: _ClassVar[Sharing]
    EXCLUSIVE: _ClassVar[Sharing]
    SHARED: _ClassVar[Sharing]

class Bootstrap(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BOOTSTRAP_UNSPECIFIED: _ClassVar[Bootstrap]
    NONE: _ClassVar[Bootstrap]
    SNAPSHOT: _ClassVar[Bootstrap]

class GapPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAP_POLICY_UNSPECIFIED: _ClassVar[GapPolicy]
    STOP_AT_GAP: _ClassVar[GapPolicy]
    GO_ON_BEHIND_GAP: _ClassVar[GapPolicy]
    RECOVER_FROM_SNAPSHOT: _ClassVar[GapPolicy]

class TimestampType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CREATE_TIME: _ClassVar[TimestampType]
    LOG_APPEND_TIME: _ClassVar[TimestampType]
    NO_TIMESTAMP_TYPE: _ClassVar[TimestampType]

class MiningState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MINING_STATE_UNSPECIFIED: _ClassVar[MiningState]
    IDLE: _ClassVar[MiningState]
    STARTING: _ClassVar[MiningState]
    MINING: _ClassVar[MiningState]
    BLOCKED: _ClassVar[MiningState]
    SOURCE_UNREACHABLE: _ClassVar[MiningState]
    FAILED: _ClassVar[MiningState]
    STOPPED: _ClassVar[MiningState]
    PAUSED: _ClassVar[MiningState]
    THROTTLED: _ClassVar[MiningState]

class GapCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAP_CAUSE_UNSPECIFIED: _ClassVar[GapCause]
    SOURCE_RETENTION: _ClassVar[GapCause]
    CACHE_RETENTION: _ClassVar[GapCause]
    TOPIC_RECREATED: _ClassVar[GapCause]
    SOURCE_TRUNCATED: _ClassVar[GapCause]
    STORE_DAMAGED: _ClassVar[GapCause]
    SOURCE_CHANGED: _ClassVar[GapCause]
MODE_UNSPECIFIED: Mode
INCREMENTAL: Mode
FULL: Mode
FULL_AND_INCREMENTAL: Mode
ENCODING_UNSPECIFIED: Encoding
RECORDS: Encoding
ARROW_IPC: Encoding
ARROW_COMPRESSION_UNSPECIFIED: ArrowCompression
ARROW_COMPRESSION_LZ4: ArrowCompression
ARROW_COMPRESSION_ZSTD: ArrowCompression
ARROW_COMPRESSION_NONE: ArrowCompression
SHARING_UNSPECIFIED: Sharing
EXCLUSIVE: Sharing
SHARED: Sharing
BOOTSTRAP_UNSPECIFIED: Bootstrap
NONE: Bootstrap
SNAPSHOT: Bootstrap
GAP_POLICY_UNSPECIFIED: GapPolicy
STOP_AT_GAP: GapPolicy
GO_ON_BEHIND_GAP: GapPolicy
RECOVER_FROM_SNAPSHOT: GapPolicy
CREATE_TIME: TimestampType
LOG_APPEND_TIME: TimestampType
NO_TIMESTAMP_TYPE: TimestampType
MINING_STATE_UNSPECIFIED: MiningState
IDLE: MiningState
STARTING: MiningState
MINING: MiningState
BLOCKED: MiningState
SOURCE_UNREACHABLE: MiningState
FAILED: MiningState
STOPPED: MiningState
PAUSED: MiningState
THROTTLED: MiningState
GAP_CAUSE_UNSPECIFIED: GapCause
SOURCE_RETENTION: GapCause
CACHE_RETENTION: GapCause
TOPIC_RECREATED: GapCause
SOURCE_TRUNCATED: GapCause
STORE_DAMAGED: GapCause
SOURCE_CHANGED: GapCause

class TopicPartition(_message.Message):
    __slots__ = ("topic", "partition", "incarnation")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    incarnation: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("topic", "partition", "incarnation", "offset", "epoch")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    incarnation: int
    offset: int
    epoch: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., offset: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class Positions(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class Earliest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Latest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Start(_message.Message):
    __slots__ = ("earliest", "latest", "timestamp_ms", "positions")
    EARLIEST_FIELD_NUMBER: _ClassVar[int]
    LATEST_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    earliest: Earliest
    latest: Latest
    timestamp_ms: int
    positions: Positions
    def __init__(self, earliest: _Optional[_Union[Earliest, _Mapping]] = ..., latest: _Optional[_Union[Latest, _Mapping]] = ..., timestamp_ms: _Optional[int] = ..., positions: _Optional[_Union[Positions, _Mapping]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("subscription", "connection", "topics", "topic_expression", "mode", "start", "encoding", "batch_bytes_max", "end", "gap_policy", "arrow_compression", "message_bytes_max", "bootstrap", "joins_batches", "parquet_bytes_max", "shared_memory", "filter", "filter_text", "projection", "sharing", "member")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    BATCH_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    GAP_POLICY_FIELD_NUMBER: _ClassVar[int]
    ARROW_COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    BOOTSTRAP_FIELD_NUMBER: _ClassVar[int]
    JOINS_BATCHES_FIELD_NUMBER: _ClassVar[int]
    PARQUET_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    SHARED_MEMORY_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FILTER_TEXT_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    SHARING_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    subscription: str
    connection: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    topic_expression: str
    mode: Mode
    start: Start
    encoding: Encoding
    batch_bytes_max: int
    end: Positions
    gap_policy: GapPolicy
    arrow_compression: ArrowCompression
    message_bytes_max: int
    bootstrap: Bootstrap
    joins_batches: bool
    parquet_bytes_max: int
    shared_memory: bytes
    filter: _filters_pb2.Filter
    filter_text: str
    projection: _filters_pb2.Projection
    sharing: Sharing
    member: str
    def __init__(self, subscription: _Optional[str] = ..., connection: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., topic_expression: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., start: _Optional[_Union[Start, _Mapping]] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., batch_bytes_max: _Optional[int] = ..., end: _Optional[_Union[Positions, _Mapping]] = ..., gap_policy: _Optional[_Union[GapPolicy, str]] = ..., arrow_compression: _Optional[_Union[ArrowCompression, str]] = ..., message_bytes_max: _Optional[int] = ..., bootstrap: _Optional[_Union[Bootstrap, str]] = ..., joins_batches: bool = ..., parquet_bytes_max: _Optional[int] = ..., shared_memory: _Optional[bytes] = ..., filter: _Optional[_Union[_filters_pb2.Filter, _Mapping]] = ..., filter_text: _Optional[str] = ..., projection: _Optional[_Union[_filters_pb2.Projection, _Mapping]] = ..., sharing: _Optional[_Union[Sharing, str]] = ..., member: _Optional[str] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("started", "batch", "caught_up", "fell_behind", "progress", "gap", "partition_added", "ended", "batches", "partitions_assigned", "partitions_revoked")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    CAUGHT_UP_FIELD_NUMBER: _ClassVar[int]
    FELL_BEHIND_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    PARTITION_ADDED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_REVOKED_FIELD_NUMBER: _ClassVar[int]
    started: Started
    batch: Batch
    caught_up: CaughtUp
    fell_behind: FellBehind
    progress: Progress
    gap: Gap
    partition_added: PartitionAdded
    ended: Ended
    batches: Batches
    partitions_assigned: PartitionsAssigned
    partitions_revoked: PartitionsRevoked
    def __init__(self, started: _Optional[_Union[Started, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ..., caught_up: _Optional[_Union[CaughtUp, _Mapping]] = ..., fell_behind: _Optional[_Union[FellBehind, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., gap: _Optional[_Union[Gap, _Mapping]] = ..., partition_added: _Optional[_Union[PartitionAdded, _Mapping]] = ..., ended: _Optional[_Union[Ended, _Mapping]] = ..., batches: _Optional[_Union[Batches, _Mapping]] = ..., partitions_assigned: _Optional[_Union[PartitionsAssigned, _Mapping]] = ..., partitions_revoked: _Optional[_Union[PartitionsRevoked, _Mapping]] = ...) -> None: ...

class Batches(_message.Message):
    __slots__ = ("batch",)
    BATCH_FIELD_NUMBER: _ClassVar[int]
    batch: _containers.RepeatedCompositeFieldContainer[Batch]
    def __init__(self, batch: _Optional[_Iterable[_Union[Batch, _Mapping]]] = ...) -> None: ...

class Started(_message.Message):
    __slots__ = ("epoch", "positions", "end", "connection", "snapshots", "member")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    end: _containers.RepeatedCompositeFieldContainer[Position]
    connection: str
    snapshots: _containers.RepeatedCompositeFieldContainer[SnapshotStart]
    member: str
    def __init__(self, epoch: _Optional[int] = ..., positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ..., end: _Optional[_Iterable[_Union[Position, _Mapping]]] = ..., connection: _Optional[str] = ..., snapshots: _Optional[_Iterable[_Union[SnapshotStart, _Mapping]]] = ..., member: _Optional[str] = ...) -> None: ...

class PartitionsAssigned(_message.Message):
    __slots__ = ("positions", "snapshots")
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    snapshots: _containers.RepeatedCompositeFieldContainer[SnapshotStart]
    def __init__(self, positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ..., snapshots: _Optional[_Iterable[_Union[SnapshotStart, _Mapping]]] = ...) -> None: ...

class PartitionsRevoked(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class SnapshotStart(_message.Message):
    __slots__ = ("topic", "partition", "incarnation", "base_offset", "end_offset", "complete_from_offset", "record_count", "created_ms", "resumed")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FROM_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    incarnation: int
    base_offset: int
    end_offset: int
    complete_from_offset: int
    record_count: int
    created_ms: int
    resumed: bool
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., base_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., complete_from_offset: _Optional[int] = ..., record_count: _Optional[int] = ..., created_ms: _Optional[int] = ..., resumed: bool = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("topic", "partition", "incarnation", "base_offset", "next_position", "record_count", "records", "arrow_ipc", "snapshot", "parquet", "shared")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEXT_POSITION_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    ARROW_IPC_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    PARQUET_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    incarnation: int
    base_offset: int
    next_position: int
    record_count: int
    records: _containers.RepeatedCompositeFieldContainer[Record]
    arrow_ipc: bytes
    snapshot: bool
    parquet: bytes
    shared: SharedMemory
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., base_offset: _Optional[int] = ..., next_position: _Optional[int] = ..., record_count: _Optional[int] = ..., records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ..., arrow_ipc: _Optional[bytes] = ..., snapshot: bool = ..., parquet: _Optional[bytes] = ..., shared: _Optional[_Union[SharedMemory, _Mapping]] = ...) -> None: ...

class SharedMemory(_message.Message):
    __slots__ = ("block", "length")
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    block: int
    length: int
    def __init__(self, block: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("offset", "timestamp_ms", "key", "value", "headers", "timestamp_type")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_TYPE_FIELD_NUMBER: _ClassVar[int]
    offset: int
    timestamp_ms: int
    key: bytes
    value: bytes
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    timestamp_type: TimestampType
    def __init__(self, offset: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., timestamp_type: _Optional[_Union[TimestampType, str]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("key", "value", "raw_key")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    RAW_KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: bytes
    raw_key: bytes
    def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ..., raw_key: _Optional[bytes] = ...) -> None: ...

class CaughtUp(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: str
    def __init__(self, topic: _Optional[str] = ...) -> None: ...

class FellBehind(_message.Message):
    __slots__ = ("topic",)
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    topic: str
    def __init__(self, topic: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionProgress]
    def __init__(self, partitions: _Optional[_Iterable[_Union[PartitionProgress, _Mapping]]] = ...) -> None: ...

class PartitionProgress(_message.Message):
    __slots__ = ("topic", "partition", "incarnation", "position", "log_end_offset", "source_high_watermark", "mining_state", "mining_error", "blocked")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LOG_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    MINING_STATE_FIELD_NUMBER: _ClassVar[int]
    MINING_ERROR_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    incarnation: int
    position: int
    log_end_offset: int
    source_high_watermark: int
    mining_state: MiningState
    mining_error: str
    blocked: Blocked
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., position: _Optional[int] = ..., log_end_offset: _Optional[int] = ..., source_high_watermark: _Optional[int] = ..., mining_state: _Optional[_Union[MiningState, str]] = ..., mining_error: _Optional[str] = ..., blocked: _Optional[_Union[Blocked, _Mapping]] = ...) -> None: ...

class Blocked(_message.Message):
    __slots__ = ("reason", "offset", "bytes", "detail", "since_ms", "retry_ms")
    REASON_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    RETRY_MS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    offset: int
    bytes: int
    detail: str
    since_ms: int
    retry_ms: int
    def __init__(self, reason: _Optional[str] = ..., offset: _Optional[int] = ..., bytes: _Optional[int] = ..., detail: _Optional[str] = ..., since_ms: _Optional[int] = ..., retry_ms: _Optional[int] = ...) -> None: ...

class Gap(_message.Message):
    __slots__ = ("topic", "partition", "incarnation", "begin_offset", "end_offset", "cause")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    BEGIN_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    incarnation: int
    begin_offset: int
    end_offset: int
    cause: GapCause
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., begin_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., cause: _Optional[_Union[GapCause, str]] = ...) -> None: ...

class PartitionAdded(_message.Message):
    __slots__ = ("start",)
    START_FIELD_NUMBER: _ClassVar[int]
    start: Position
    def __init__(self, start: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class Ended(_message.Message):
    __slots__ = ("positions",)
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class CommitRequest(_message.Message):
    __slots__ = ("subscription", "epoch", "positions")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    subscription: str
    epoch: int
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    def __init__(self, subscription: _Optional[str] = ..., epoch: _Optional[int] = ..., positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ...) -> None: ...

class CommitResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListOffsetsRequest(_message.Message):
    __slots__ = ("connection", "topic", "timestamp_ms")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    timestamp_ms: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class ListOffsetsResponse(_message.Message):
    __slots__ = ("partitions", "cluster_id")
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionOffsets]
    cluster_id: str
    def __init__(self, partitions: _Optional[_Iterable[_Union[PartitionOffsets, _Mapping]]] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class PartitionOffsets(_message.Message):
    __slots__ = ("topic", "partition", "incarnation", "log_start_offset", "log_end_offset", "source_high_watermark", "offset_at_timestamp", "mining_state", "mining_error", "older", "backfill", "backfill_error", "blocked", "lost")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    LOG_START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    OFFSET_AT_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    MINING_STATE_FIELD_NUMBER: _ClassVar[int]
    MINING_ERROR_FIELD_NUMBER: _ClassVar[int]
    OLDER_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_ERROR_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    incarnation: int
    log_start_offset: int
    log_end_offset: int
    source_high_watermark: int
    offset_at_timestamp: int
    mining_state: MiningState
    mining_error: str
    older: _containers.RepeatedCompositeFieldContainer[OffsetRange]
    backfill: OffsetRange
    backfill_error: str
    blocked: Blocked
    lost: _containers.RepeatedCompositeFieldContainer[LostRange]
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., log_start_offset: _Optional[int] = ..., log_end_offset: _Optional[int] = ..., source_high_watermark: _Optional[int] = ..., offset_at_timestamp: _Optional[int] = ..., mining_state: _Optional[_Union[MiningState, str]] = ..., mining_error: _Optional[str] = ..., older: _Optional[_Iterable[_Union[OffsetRange, _Mapping]]] = ..., backfill: _Optional[_Union[OffsetRange, _Mapping]] = ..., backfill_error: _Optional[str] = ..., blocked: _Optional[_Union[Blocked, _Mapping]] = ..., lost: _Optional[_Iterable[_Union[LostRange, _Mapping]]] = ...) -> None: ...

class LostRange(_message.Message):
    __slots__ = ("begin_offset", "end_offset", "cause")
    BEGIN_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    begin_offset: int
    end_offset: int
    cause: GapCause
    def __init__(self, begin_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., cause: _Optional[_Union[GapCause, str]] = ...) -> None: ...

class OffsetRange(_message.Message):
    __slots__ = ("begin_offset", "end_offset")
    BEGIN_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    begin_offset: int
    end_offset: int
    def __init__(self, begin_offset: _Optional[int] = ..., end_offset: _Optional[int] = ...) -> None: ...

class Subscription(_message.Message):
    __slots__ = ("name", "connection", "topics", "topic_expression", "mode", "epoch", "connected", "full_sync_done", "created_ms", "committed_ms", "partitions", "lag", "gap_policy", "delivering", "sharing", "members", "subscribers")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    FULL_SYNC_DONE_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_MS_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    GAP_POLICY_FIELD_NUMBER: _ClassVar[int]
    DELIVERING_FIELD_NUMBER: _ClassVar[int]
    SHARING_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIBERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    connection: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    topic_expression: str
    mode: Mode
    epoch: int
    connected: bool
    full_sync_done: bool
    created_ms: int
    committed_ms: int
    partitions: _containers.RepeatedCompositeFieldContainer[SubscriptionPartition]
    lag: Lag
    gap_policy: GapPolicy
    delivering: _containers.RepeatedCompositeFieldContainer[SubscriptionPartition]
    sharing: Sharing
    members: _containers.RepeatedCompositeFieldContainer[Member]
    subscribers: _containers.RepeatedCompositeFieldContainer[Subscriber]
    def __init__(self, name: _Optional[str] = ..., connection: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ..., topic_expression: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., epoch: _Optional[int] = ..., connected: bool = ..., full_sync_done: bool = ..., created_ms: _Optional[int] = ..., committed_ms: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[SubscriptionPartition, _Mapping]]] = ..., lag: _Optional[_Union[Lag, _Mapping]] = ..., gap_policy: _Optional[_Union[GapPolicy, str]] = ..., delivering: _Optional[_Iterable[_Union[SubscriptionPartition, _Mapping]]] = ..., sharing: _Optional[_Union[Sharing, str]] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., subscribers: _Optional[_Iterable[_Union[Subscriber, _Mapping]]] = ...) -> None: ...

class Subscriber(_message.Message):
    __slots__ = ("member", "principal", "address", "client", "connected_ms", "records", "bytes")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_MS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    member: str
    principal: str
    address: str
    client: str
    connected_ms: int
    records: int
    bytes: int
    def __init__(self, member: _Optional[str] = ..., principal: _Optional[str] = ..., address: _Optional[str] = ..., client: _Optional[str] = ..., connected_ms: _Optional[int] = ..., records: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("name", "joined_ms", "positions", "revoked", "stalled_since_ms", "finished")
    NAME_FIELD_NUMBER: _ClassVar[int]
    JOINED_MS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    REVOKED_FIELD_NUMBER: _ClassVar[int]
    STALLED_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    name: str
    joined_ms: int
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    revoked: _containers.RepeatedCompositeFieldContainer[Position]
    stalled_since_ms: int
    finished: bool
    def __init__(self, name: _Optional[str] = ..., joined_ms: _Optional[int] = ..., positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ..., revoked: _Optional[_Iterable[_Union[Position, _Mapping]]] = ..., stalled_since_ms: _Optional[int] = ..., finished: bool = ...) -> None: ...

class SubscriptionPartition(_message.Message):
    __slots__ = ("position", "lag")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    position: Position
    lag: Lag
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., lag: _Optional[_Union[Lag, _Mapping]] = ...) -> None: ...

class Lag(_message.Message):
    __slots__ = ("records", "bytes", "seconds")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    records: int
    bytes: int
    seconds: float
    def __init__(self, records: _Optional[int] = ..., bytes: _Optional[int] = ..., seconds: _Optional[float] = ...) -> None: ...

class GetSubscriptionRequest(_message.Message):
    __slots__ = ("subscription",)
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    subscription: str
    def __init__(self, subscription: _Optional[str] = ...) -> None: ...

class GetSubscriptionResponse(_message.Message):
    __slots__ = ("subscription",)
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ...) -> None: ...

class ListSubscriptionsRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class ListSubscriptionsResponse(_message.Message):
    __slots__ = ("subscriptions",)
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    subscriptions: _containers.RepeatedCompositeFieldContainer[Subscription]
    def __init__(self, subscriptions: _Optional[_Iterable[_Union[Subscription, _Mapping]]] = ...) -> None: ...

class ResetSubscriptionRequest(_message.Message):
    __slots__ = ("subscription", "start", "forget_full_sync", "validate_only")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    FORGET_FULL_SYNC_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    subscription: str
    start: Start
    forget_full_sync: bool
    validate_only: bool
    def __init__(self, subscription: _Optional[str] = ..., start: _Optional[_Union[Start, _Mapping]] = ..., forget_full_sync: bool = ..., validate_only: bool = ...) -> None: ...

class ResetSubscriptionResponse(_message.Message):
    __slots__ = ("subscription",)
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    subscription: Subscription
    def __init__(self, subscription: _Optional[_Union[Subscription, _Mapping]] = ...) -> None: ...

class DeleteSubscriptionRequest(_message.Message):
    __slots__ = ("subscription",)
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    subscription: str
    def __init__(self, subscription: _Optional[str] = ...) -> None: ...

class DeleteSubscriptionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TestFilterRequest(_message.Message):
    __slots__ = ("filter", "filter_text", "projection")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FILTER_TEXT_FIELD_NUMBER: _ClassVar[int]
    PROJECTION_FIELD_NUMBER: _ClassVar[int]
    filter: _filters_pb2.Filter
    filter_text: str
    projection: _filters_pb2.Projection
    def __init__(self, filter: _Optional[_Union[_filters_pb2.Filter, _Mapping]] = ..., filter_text: _Optional[str] = ..., projection: _Optional[_Union[_filters_pb2.Projection, _Mapping]] = ...) -> None: ...

class TestFilterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
