from cachesvc.v1 import access_pb2 as _access_pb2
from cachesvc.v1 import alarms_pb2 as _alarms_pb2
from cachesvc.v1 import audit_pb2 as _audit_pb2
from cachesvc.v1 import connection_test_pb2 as _connection_test_pb2
from cachesvc.v1 import connections_pb2 as _connections_pb2
from cachesvc.v1 import log_cache_pb2 as _log_cache_pb2
from cachesvc.v1 import mining_tasks_pb2 as _mining_tasks_pb2
from cachesvc.v1 import models_pb2 as _models_pb2
from cachesvc.v1 import retention_pb2 as _retention_pb2
from cachesvc.v1 import sql_pb2 as _sql_pb2
from cachesvc.v1 import stores_pb2 as _stores_pb2
from cachesvc.v1 import watching_pb2 as _watching_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JournalState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOURNAL_STATE_UNSPECIFIED: _ClassVar[JournalState]
    ACTIVE: _ClassVar[JournalState]
    SEALING: _ClassVar[JournalState]
    WARM: _ClassVar[JournalState]
JOURNAL_STATE_UNSPECIFIED: JournalState
ACTIVE: JournalState
SEALING: JournalState
WARM: JournalState

class GetConfigRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetConfigResponse(_message.Message):
    __slots__ = ("config_json", "version", "store_format_version")
    CONFIG_JSON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STORE_FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    config_json: str
    version: str
    store_format_version: int
    def __init__(self, config_json: _Optional[str] = ..., version: _Optional[str] = ..., store_format_version: _Optional[int] = ...) -> None: ...

class ListReadersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReadersResponse(_message.Message):
    __slots__ = ("readers",)
    READERS_FIELD_NUMBER: _ClassVar[int]
    readers: _containers.RepeatedCompositeFieldContainer[Reader]
    def __init__(self, readers: _Optional[_Iterable[_Union[Reader, _Mapping]]] = ...) -> None: ...

class Reader(_message.Message):
    __slots__ = ("name", "connection", "pid", "joined_ms", "topics", "host", "bytes_per_second", "source_error", "throttled_ms", "figures")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    JOINED_MS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    SOURCE_ERROR_FIELD_NUMBER: _ClassVar[int]
    THROTTLED_MS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    name: str
    connection: str
    pid: int
    joined_ms: int
    topics: _containers.RepeatedScalarFieldContainer[str]
    host: str
    bytes_per_second: float
    source_error: str
    throttled_ms: int
    figures: _watching_pb2.ReaderFigures
    def __init__(self, name: _Optional[str] = ..., connection: _Optional[str] = ..., pid: _Optional[int] = ..., joined_ms: _Optional[int] = ..., topics: _Optional[_Iterable[str]] = ..., host: _Optional[str] = ..., bytes_per_second: _Optional[float] = ..., source_error: _Optional[str] = ..., throttled_ms: _Optional[int] = ..., figures: _Optional[_Union[_watching_pb2.ReaderFigures, _Mapping]] = ...) -> None: ...

class ListTopicsRequest(_message.Message):
    __slots__ = ("connection", "topic", "search", "limit", "skip")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    search: str
    limit: int
    skip: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., search: _Optional[str] = ..., limit: _Optional[int] = ..., skip: _Optional[int] = ...) -> None: ...

class ListTopicsResponse(_message.Message):
    __slots__ = ("topics", "total")
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    topics: _containers.RepeatedCompositeFieldContainer[Topic]
    total: int
    def __init__(self, topics: _Optional[_Iterable[_Union[Topic, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class Topic(_message.Message):
    __slots__ = ("connection", "name", "incarnation", "needed", "mining_state", "mining_error", "partitions", "segment_count", "segment_bytes", "journal_bytes", "reject_count")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    NEEDED_FIELD_NUMBER: _ClassVar[int]
    MINING_STATE_FIELD_NUMBER: _ClassVar[int]
    MINING_ERROR_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    REJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    connection: str
    name: str
    incarnation: int
    needed: bool
    mining_state: _log_cache_pb2.MiningState
    mining_error: str
    partitions: _containers.RepeatedCompositeFieldContainer[_log_cache_pb2.PartitionOffsets]
    segment_count: int
    segment_bytes: int
    journal_bytes: int
    reject_count: int
    def __init__(self, connection: _Optional[str] = ..., name: _Optional[str] = ..., incarnation: _Optional[int] = ..., needed: bool = ..., mining_state: _Optional[_Union[_log_cache_pb2.MiningState, str]] = ..., mining_error: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[_log_cache_pb2.PartitionOffsets, _Mapping]]] = ..., segment_count: _Optional[int] = ..., segment_bytes: _Optional[int] = ..., journal_bytes: _Optional[int] = ..., reject_count: _Optional[int] = ...) -> None: ...

class ListSegmentsRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class ListSegmentsResponse(_message.Message):
    __slots__ = ("segments",)
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    def __init__(self, segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ...) -> None: ...

class ListSnapshotsRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class ListSnapshotsResponse(_message.Message):
    __slots__ = ("snapshots",)
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[Snapshot]
    def __init__(self, snapshots: _Optional[_Iterable[_Union[Snapshot, _Mapping]]] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("connection", "topic", "partition", "incarnation", "base_offset", "end_offset", "complete_from_offset", "record_count", "read_count", "bytes", "created_ms", "path", "store", "read_by")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FROM_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    READ_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    READ_BY_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    partition: int
    incarnation: int
    base_offset: int
    end_offset: int
    complete_from_offset: int
    record_count: int
    read_count: int
    bytes: int
    created_ms: int
    path: str
    store: str
    read_by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., base_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., complete_from_offset: _Optional[int] = ..., record_count: _Optional[int] = ..., read_count: _Optional[int] = ..., bytes: _Optional[int] = ..., created_ms: _Optional[int] = ..., path: _Optional[str] = ..., store: _Optional[str] = ..., read_by: _Optional[_Iterable[str]] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("connection", "topic", "partition", "incarnation", "base_offset", "end_offset", "record_count", "bytes", "min_timestamp_ms", "max_timestamp_ms", "created_ms", "level", "path", "reject_count", "oldest_mined_ms", "newest_mined_ms")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    MIN_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    REJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_MINED_MS_FIELD_NUMBER: _ClassVar[int]
    NEWEST_MINED_MS_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    partition: int
    incarnation: int
    base_offset: int
    end_offset: int
    record_count: int
    bytes: int
    min_timestamp_ms: int
    max_timestamp_ms: int
    created_ms: int
    level: int
    path: str
    reject_count: int
    oldest_mined_ms: int
    newest_mined_ms: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., base_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., record_count: _Optional[int] = ..., bytes: _Optional[int] = ..., min_timestamp_ms: _Optional[int] = ..., max_timestamp_ms: _Optional[int] = ..., created_ms: _Optional[int] = ..., level: _Optional[int] = ..., path: _Optional[str] = ..., reject_count: _Optional[int] = ..., oldest_mined_ms: _Optional[int] = ..., newest_mined_ms: _Optional[int] = ...) -> None: ...

class ListJournalsRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class ListJournalsResponse(_message.Message):
    __slots__ = ("journals",)
    JOURNALS_FIELD_NUMBER: _ClassVar[int]
    journals: _containers.RepeatedCompositeFieldContainer[Journal]
    def __init__(self, journals: _Optional[_Iterable[_Union[Journal, _Mapping]]] = ...) -> None: ...

class Journal(_message.Message):
    __slots__ = ("connection", "topic", "partition", "incarnation", "base_offset", "end_offset", "record_count", "bytes", "state", "path")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    BASE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    partition: int
    incarnation: int
    base_offset: int
    end_offset: int
    record_count: int
    bytes: int
    state: JournalState
    path: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., base_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., record_count: _Optional[int] = ..., bytes: _Optional[int] = ..., state: _Optional[_Union[JournalState, str]] = ..., path: _Optional[str] = ...) -> None: ...

class ListRecordsRequest(_message.Message):
    __slots__ = ("connection", "topic", "partition", "offset", "timestamp_ms", "limit", "bytes_max")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    limit: int
    bytes_max: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., limit: _Optional[int] = ..., bytes_max: _Optional[int] = ...) -> None: ...

class ListRecordsResponse(_message.Message):
    __slots__ = ("records", "next_offset", "first_offset", "log_end_offset", "incarnation")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    LOG_END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[CachedRecord]
    next_offset: int
    first_offset: int
    log_end_offset: int
    incarnation: int
    def __init__(self, records: _Optional[_Iterable[_Union[CachedRecord, _Mapping]]] = ..., next_offset: _Optional[int] = ..., first_offset: _Optional[int] = ..., log_end_offset: _Optional[int] = ..., incarnation: _Optional[int] = ...) -> None: ...

class CachedRecord(_message.Message):
    __slots__ = ("record", "key_bytes", "value_bytes")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    KEY_BYTES_FIELD_NUMBER: _ClassVar[int]
    VALUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    record: _log_cache_pb2.Record
    key_bytes: int
    value_bytes: int
    def __init__(self, record: _Optional[_Union[_log_cache_pb2.Record, _Mapping]] = ..., key_bytes: _Optional[int] = ..., value_bytes: _Optional[int] = ...) -> None: ...

class ListRejectsRequest(_message.Message):
    __slots__ = ("connection", "topic", "limit")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    limit: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListRejectsResponse(_message.Message):
    __slots__ = ("rejects",)
    REJECTS_FIELD_NUMBER: _ClassVar[int]
    rejects: _containers.RepeatedCompositeFieldContainer[Reject]
    def __init__(self, rejects: _Optional[_Iterable[_Union[Reject, _Mapping]]] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("connection", "topic", "partition", "incarnation", "offset", "timestamp_ms", "reason", "detail", "key", "value")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    partition: int
    incarnation: int
    offset: int
    timestamp_ms: int
    reason: str
    detail: str
    key: bytes
    value: bytes
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., offset: _Optional[int] = ..., timestamp_ms: _Optional[int] = ..., reason: _Optional[str] = ..., detail: _Optional[str] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("name", "description", "interval_s", "paused", "running", "next_run_ms", "last_run", "daily_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    NEXT_RUN_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_RUN_FIELD_NUMBER: _ClassVar[int]
    DAILY_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    interval_s: float
    paused: bool
    running: bool
    next_run_ms: int
    last_run: JobRun
    daily_at: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., interval_s: _Optional[float] = ..., paused: bool = ..., running: bool = ..., next_run_ms: _Optional[int] = ..., last_run: _Optional[_Union[JobRun, _Mapping]] = ..., daily_at: _Optional[str] = ...) -> None: ...

class RunJobRequest(_message.Message):
    __slots__ = ("name", "directory", "join")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    directory: str
    join: bool
    def __init__(self, name: _Optional[str] = ..., directory: _Optional[str] = ..., join: bool = ...) -> None: ...

class RunJobResponse(_message.Message):
    __slots__ = ("done", "total", "message", "run")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    message: str
    run: JobRun
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ..., message: _Optional[str] = ..., run: _Optional[_Union[JobRun, _Mapping]] = ...) -> None: ...

class JobRun(_message.Message):
    __slots__ = ("name", "started_ms", "ended_ms", "succeeded", "error", "counts")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_MS_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    started_ms: int
    ended_ms: int
    succeeded: bool
    error: str
    counts: _containers.ScalarMap[str, int]
    def __init__(self, name: _Optional[str] = ..., started_ms: _Optional[int] = ..., ended_ms: _Optional[int] = ..., succeeded: bool = ..., error: _Optional[str] = ..., counts: _Optional[_Mapping[str, int]] = ...) -> None: ...

class PauseJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PauseJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ResumeJobRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumeJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class ListJobRunsRequest(_message.Message):
    __slots__ = ("name", "limit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    limit: int
    def __init__(self, name: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListJobRunsResponse(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[JobRun]
    def __init__(self, runs: _Optional[_Iterable[_Union[JobRun, _Mapping]]] = ...) -> None: ...
