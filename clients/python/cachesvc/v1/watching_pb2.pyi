from cachesvc.v1 import log_cache_pb2 as _log_cache_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchMiningRequest(_message.Message):
    __slots__ = ("connection", "topic", "interval_s")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_S_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    interval_s: float
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., interval_s: _Optional[float] = ...) -> None: ...

class WatchMiningResponse(_message.Message):
    __slots__ = ("at_ms", "tasks", "complete")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    tasks: _containers.RepeatedCompositeFieldContainer[WatchedTask]
    complete: bool
    def __init__(self, at_ms: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[WatchedTask, _Mapping]]] = ..., complete: bool = ...) -> None: ...

class WatchedTask(_message.Message):
    __slots__ = ("connection", "activity", "topics")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    connection: str
    activity: MiningActivity
    topics: _containers.RepeatedCompositeFieldContainer[WatchedTopic]
    def __init__(self, connection: _Optional[str] = ..., activity: _Optional[_Union[MiningActivity, _Mapping]] = ..., topics: _Optional[_Iterable[_Union[WatchedTopic, _Mapping]]] = ...) -> None: ...

class WatchedTopic(_message.Message):
    __slots__ = ("topic", "incarnation", "state", "error", "activity", "subscriptions", "stored_at")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    STORED_AT_FIELD_NUMBER: _ClassVar[int]
    topic: str
    incarnation: int
    state: _log_cache_pb2.MiningState
    error: str
    activity: MiningActivity
    subscriptions: _containers.RepeatedScalarFieldContainer[str]
    stored_at: str
    def __init__(self, topic: _Optional[str] = ..., incarnation: _Optional[int] = ..., state: _Optional[_Union[_log_cache_pb2.MiningState, str]] = ..., error: _Optional[str] = ..., activity: _Optional[_Union[MiningActivity, _Mapping]] = ..., subscriptions: _Optional[_Iterable[str]] = ..., stored_at: _Optional[str] = ...) -> None: ...

class MiningActivity(_message.Message):
    __slots__ = ("records_per_s_10s", "bytes_per_s_10s", "records_per_s_60s", "bytes_per_s_60s", "lag_records", "lag_bytes", "lag_s", "first_record_ms", "last_record_ms", "records_total", "bytes_total", "rejects_total", "records_today", "bytes_today", "rejects_today")
    RECORDS_PER_S_10S_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_10S_FIELD_NUMBER: _ClassVar[int]
    RECORDS_PER_S_60S_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_60S_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    LAG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAG_S_FIELD_NUMBER: _ClassVar[int]
    FIRST_RECORD_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_RECORD_MS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    REJECTS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    RECORDS_TODAY_FIELD_NUMBER: _ClassVar[int]
    BYTES_TODAY_FIELD_NUMBER: _ClassVar[int]
    REJECTS_TODAY_FIELD_NUMBER: _ClassVar[int]
    records_per_s_10s: float
    bytes_per_s_10s: float
    records_per_s_60s: float
    bytes_per_s_60s: float
    lag_records: int
    lag_bytes: int
    lag_s: float
    first_record_ms: int
    last_record_ms: int
    records_total: int
    bytes_total: int
    rejects_total: int
    records_today: int
    bytes_today: int
    rejects_today: int
    def __init__(self, records_per_s_10s: _Optional[float] = ..., bytes_per_s_10s: _Optional[float] = ..., records_per_s_60s: _Optional[float] = ..., bytes_per_s_60s: _Optional[float] = ..., lag_records: _Optional[int] = ..., lag_bytes: _Optional[int] = ..., lag_s: _Optional[float] = ..., first_record_ms: _Optional[int] = ..., last_record_ms: _Optional[int] = ..., records_total: _Optional[int] = ..., bytes_total: _Optional[int] = ..., rejects_total: _Optional[int] = ..., records_today: _Optional[int] = ..., bytes_today: _Optional[int] = ..., rejects_today: _Optional[int] = ...) -> None: ...
