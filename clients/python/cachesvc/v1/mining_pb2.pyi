from cachesvc.v1 import log_cache_pb2 as _log_cache_pb2
from cachesvc.v1 import watching_pb2 as _watching_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JoinRequest(_message.Message):
    __slots__ = ("reader", "connection", "pid", "protocol_version", "partitions", "source_error", "throttled_ms", "deaths", "figures")
    READER_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ERROR_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_MS_FIELD_NUMBER: _ClassVar[int]
    DEATHS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    reader: str
    connection: str
    pid: int
    protocol_version: int
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionReport]
    source_error: str
    throttled_ms: int
    deaths: _containers.RepeatedCompositeFieldContainer[ReaderDeath]
    figures: _watching_pb2.ReaderFigures
    def __init__(self, reader: _Optional[str] = ..., connection: _Optional[str] = ..., pid: _Optional[int] = ..., protocol_version: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[PartitionReport, _Mapping]]] = ..., source_error: _Optional[str] = ..., throttled_ms: _Optional[int] = ..., deaths: _Optional[_Iterable[_Union[ReaderDeath, _Mapping]]] = ..., figures: _Optional[_Union[_watching_pb2.ReaderFigures, _Mapping]] = ...) -> None: ...

class ReaderDeath(_message.Message):
    __slots__ = ("topic", "partition", "incarnation", "offset", "bytes", "alone", "end")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    incarnation: int
    offset: int
    bytes: int
    alone: bool
    end: int
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., offset: _Optional[int] = ..., bytes: _Optional[int] = ..., alone: bool = ..., end: _Optional[int] = ...) -> None: ...

class PartitionReport(_message.Message):
    __slots__ = ("topic", "partition", "source_high_watermark", "state", "error", "incarnation", "problem", "backfill", "blocked")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_HIGH_WATERMARK_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    source_high_watermark: int
    state: _log_cache_pb2.MiningState
    error: str
    incarnation: int
    problem: str
    backfill: bool
    blocked: _log_cache_pb2.Blocked
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., source_high_watermark: _Optional[int] = ..., state: _Optional[_Union[_log_cache_pb2.MiningState, str]] = ..., error: _Optional[str] = ..., incarnation: _Optional[int] = ..., problem: _Optional[str] = ..., backfill: bool = ..., blocked: _Optional[_Union[_log_cache_pb2.Blocked, _Mapping]] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("topics", "connection_json", "fetch_spacing_ms", "cluster_id", "request_id", "takes_joined_appends")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_JSON_FIELD_NUMBER: _ClassVar[int]
    FETCH_SPACING_MS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    TAKES_JOINED_APPENDS_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedCompositeFieldContainer[AssignedTopic]
    connection_json: str
    fetch_spacing_ms: int
    cluster_id: str
    request_id: str
    takes_joined_appends: bool
    def __init__(self, topics: _Optional[_Iterable[_Union[AssignedTopic, _Mapping]]] = ..., connection_json: _Optional[str] = ..., fetch_spacing_ms: _Optional[int] = ..., cluster_id: _Optional[str] = ..., request_id: _Optional[str] = ..., takes_joined_appends: bool = ...) -> None: ...

class AssignedTopic(_message.Message):
    __slots__ = ("topic", "incarnation", "epoch", "partitions", "source_id")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    topic: str
    incarnation: int
    epoch: int
    partitions: _containers.RepeatedCompositeFieldContainer[AssignedPartition]
    source_id: str
    def __init__(self, topic: _Optional[str] = ..., incarnation: _Optional[int] = ..., epoch: _Optional[int] = ..., partitions: _Optional[_Iterable[_Union[AssignedPartition, _Mapping]]] = ..., source_id: _Optional[str] = ...) -> None: ...

class AssignedPartition(_message.Message):
    __slots__ = ("partition", "resume_offset", "backfill", "leader_epoch", "attempt")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    RESUME_OFFSET_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    partition: int
    resume_offset: int
    backfill: Backfill
    leader_epoch: int
    attempt: int
    def __init__(self, partition: _Optional[int] = ..., resume_offset: _Optional[int] = ..., backfill: _Optional[_Union[Backfill, _Mapping]] = ..., leader_epoch: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class Backfill(_message.Message):
    __slots__ = ("begin_offset", "end_offset")
    BEGIN_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    begin_offset: int
    end_offset: int
    def __init__(self, begin_offset: _Optional[int] = ..., end_offset: _Optional[int] = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("connection", "topic", "partition", "incarnation", "epoch", "base_offset", "end_offset", "record_count", "min_timestamp_ms", "max_timestamp_ms", "payload", "reject_count", "rejects", "first_offset", "gap", "backfill", "leader_epoch", "more", "payload_bytes", "rejects_bytes", "trace", "joined")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    MIN_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    REJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTS_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    BACKFILL_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    REJECTS_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    partition: int
    incarnation: int
    epoch: int
    base_offset: int
    end_offset: int
    record_count: int
    min_timestamp_ms: int
    max_timestamp_ms: int
    payload: bytes
    reject_count: int
    rejects: bytes
    first_offset: int
    gap: bool
    backfill: bool
    leader_epoch: int
    more: bool
    payload_bytes: int
    rejects_bytes: int
    trace: AppendTrace
    joined: _containers.RepeatedCompositeFieldContainer[AppendRequest]
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., epoch: _Optional[int] = ..., base_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., record_count: _Optional[int] = ..., min_timestamp_ms: _Optional[int] = ..., max_timestamp_ms: _Optional[int] = ..., payload: _Optional[bytes] = ..., reject_count: _Optional[int] = ..., rejects: _Optional[bytes] = ..., first_offset: _Optional[int] = ..., gap: bool = ..., backfill: bool = ..., leader_epoch: _Optional[int] = ..., more: bool = ..., payload_bytes: _Optional[int] = ..., rejects_bytes: _Optional[int] = ..., trace: _Optional[_Union[AppendTrace, _Mapping]] = ..., joined: _Optional[_Iterable[_Union[AppendRequest, _Mapping]]] = ...) -> None: ...

class AppendTrace(_message.Message):
    __slots__ = ("fetch_began_ns", "fetched_ns", "taken_ns", "sent_ns", "producers")
    FETCH_BEGAN_NS_FIELD_NUMBER: _ClassVar[int]
    FETCHED_NS_FIELD_NUMBER: _ClassVar[int]
    TAKEN_NS_FIELD_NUMBER: _ClassVar[int]
    SENT_NS_FIELD_NUMBER: _ClassVar[int]
    PRODUCERS_FIELD_NUMBER: _ClassVar[int]
    fetch_began_ns: int
    fetched_ns: int
    taken_ns: int
    sent_ns: int
    producers: _containers.RepeatedCompositeFieldContainer[TracedProducer]
    def __init__(self, fetch_began_ns: _Optional[int] = ..., fetched_ns: _Optional[int] = ..., taken_ns: _Optional[int] = ..., sent_ns: _Optional[int] = ..., producers: _Optional[_Iterable[_Union[TracedProducer, _Mapping]]] = ...) -> None: ...

class TracedProducer(_message.Message):
    __slots__ = ("offset", "trace_id", "span_id")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    offset: int
    trace_id: bytes
    span_id: int
    def __init__(self, offset: _Optional[int] = ..., trace_id: _Optional[bytes] = ..., span_id: _Optional[int] = ...) -> None: ...

class AppendResponse(_message.Message):
    __slots__ = ("topic", "partition", "log_end_offset", "refused", "leader_epoch", "joined")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    LOG_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    LEADER_EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    partition: int
    log_end_offset: int
    refused: str
    leader_epoch: int
    joined: _containers.RepeatedCompositeFieldContainer[AppendResponse]
    def __init__(self, topic: _Optional[str] = ..., partition: _Optional[int] = ..., log_end_offset: _Optional[int] = ..., refused: _Optional[str] = ..., leader_epoch: _Optional[int] = ..., joined: _Optional[_Iterable[_Union[AppendResponse, _Mapping]]] = ...) -> None: ...
