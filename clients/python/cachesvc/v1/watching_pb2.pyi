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
    __slots__ = ("connection", "activity", "topics", "delivered")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    connection: str
    activity: MiningActivity
    topics: _containers.RepeatedCompositeFieldContainer[WatchedTopic]
    delivered: Delivered
    def __init__(self, connection: _Optional[str] = ..., activity: _Optional[_Union[MiningActivity, _Mapping]] = ..., topics: _Optional[_Iterable[_Union[WatchedTopic, _Mapping]]] = ..., delivered: _Optional[_Union[Delivered, _Mapping]] = ...) -> None: ...

class WatchedTopic(_message.Message):
    __slots__ = ("topic", "incarnation", "state", "error", "activity", "subscriptions", "stored_at", "delivered")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    STORED_AT_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    incarnation: int
    state: _log_cache_pb2.MiningState
    error: str
    activity: MiningActivity
    subscriptions: _containers.RepeatedScalarFieldContainer[str]
    stored_at: str
    delivered: Delivered
    def __init__(self, topic: _Optional[str] = ..., incarnation: _Optional[int] = ..., state: _Optional[_Union[_log_cache_pb2.MiningState, str]] = ..., error: _Optional[str] = ..., activity: _Optional[_Union[MiningActivity, _Mapping]] = ..., subscriptions: _Optional[_Iterable[str]] = ..., stored_at: _Optional[str] = ..., delivered: _Optional[_Union[Delivered, _Mapping]] = ...) -> None: ...

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

class GetOverviewRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetOverviewResponse(_message.Message):
    __slots__ = ("at_ms", "started_ms", "connections", "streams", "subscriptions", "subscriptions_connected", "furthest_behind", "busiest", "disk_free_bytes", "disk_bytes", "version", "seals_waiting", "mined_to_sent", "cpu_s", "resident_bytes", "open_files")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTIONS_CONNECTED_FIELD_NUMBER: _ClassVar[int]
    FURTHEST_BEHIND_FIELD_NUMBER: _ClassVar[int]
    BUSIEST_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEALS_WAITING_FIELD_NUMBER: _ClassVar[int]
    MINED_TO_SENT_FIELD_NUMBER: _ClassVar[int]
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPEN_FILES_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    started_ms: int
    connections: _containers.RepeatedCompositeFieldContainer[ConnectionOverview]
    streams: int
    subscriptions: int
    subscriptions_connected: int
    furthest_behind: _containers.RepeatedCompositeFieldContainer[SubscriptionOverview]
    busiest: _containers.RepeatedCompositeFieldContainer[TopicOverview]
    disk_free_bytes: int
    disk_bytes: int
    version: str
    seals_waiting: int
    mined_to_sent: Distribution
    cpu_s: float
    resident_bytes: int
    open_files: int
    def __init__(self, at_ms: _Optional[int] = ..., started_ms: _Optional[int] = ..., connections: _Optional[_Iterable[_Union[ConnectionOverview, _Mapping]]] = ..., streams: _Optional[int] = ..., subscriptions: _Optional[int] = ..., subscriptions_connected: _Optional[int] = ..., furthest_behind: _Optional[_Iterable[_Union[SubscriptionOverview, _Mapping]]] = ..., busiest: _Optional[_Iterable[_Union[TopicOverview, _Mapping]]] = ..., disk_free_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., version: _Optional[str] = ..., seals_waiting: _Optional[int] = ..., mined_to_sent: _Optional[_Union[Distribution, _Mapping]] = ..., cpu_s: _Optional[float] = ..., resident_bytes: _Optional[int] = ..., open_files: _Optional[int] = ...) -> None: ...

class ConnectionOverview(_message.Message):
    __slots__ = ("connection", "topics", "topics_needed", "readers", "records_per_s", "bytes_per_s", "lag_records", "mined_records", "mined_bytes", "delivered_records", "delivered_bytes", "states", "delivered_records_per_s", "delivered_bytes_per_s")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_NEEDED_FIELD_NUMBER: _ClassVar[int]
    READERS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_PER_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MINED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    MINED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_RECORDS_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_BYTES_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_RECORDS_PER_S_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topics: int
    topics_needed: int
    readers: int
    records_per_s: float
    bytes_per_s: float
    lag_records: int
    mined_records: int
    mined_bytes: int
    delivered_records: int
    delivered_bytes: int
    states: _containers.RepeatedCompositeFieldContainer[StateCount]
    delivered_records_per_s: float
    delivered_bytes_per_s: float
    def __init__(self, connection: _Optional[str] = ..., topics: _Optional[int] = ..., topics_needed: _Optional[int] = ..., readers: _Optional[int] = ..., records_per_s: _Optional[float] = ..., bytes_per_s: _Optional[float] = ..., lag_records: _Optional[int] = ..., mined_records: _Optional[int] = ..., mined_bytes: _Optional[int] = ..., delivered_records: _Optional[int] = ..., delivered_bytes: _Optional[int] = ..., states: _Optional[_Iterable[_Union[StateCount, _Mapping]]] = ..., delivered_records_per_s: _Optional[float] = ..., delivered_bytes_per_s: _Optional[float] = ...) -> None: ...

class StateCount(_message.Message):
    __slots__ = ("state", "topics")
    STATE_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    state: _log_cache_pb2.MiningState
    topics: int
    def __init__(self, state: _Optional[_Union[_log_cache_pb2.MiningState, str]] = ..., topics: _Optional[int] = ...) -> None: ...

class SubscriptionOverview(_message.Message):
    __slots__ = ("subscription", "connection", "connected", "lag_records", "committed_ms")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_MS_FIELD_NUMBER: _ClassVar[int]
    subscription: str
    connection: str
    connected: bool
    lag_records: int
    committed_ms: int
    def __init__(self, subscription: _Optional[str] = ..., connection: _Optional[str] = ..., connected: bool = ..., lag_records: _Optional[int] = ..., committed_ms: _Optional[int] = ...) -> None: ...

class TopicOverview(_message.Message):
    __slots__ = ("connection", "topic", "records_per_s", "bytes_per_s")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    RECORDS_PER_S_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    records_per_s: float
    bytes_per_s: float
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., records_per_s: _Optional[float] = ..., bytes_per_s: _Optional[float] = ...) -> None: ...

class Delivered(_message.Message):
    __slots__ = ("records_per_s_10s", "bytes_per_s_10s", "records_total", "bytes_total")
    RECORDS_PER_S_10S_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_S_10S_FIELD_NUMBER: _ClassVar[int]
    RECORDS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    BYTES_TOTAL_FIELD_NUMBER: _ClassVar[int]
    records_per_s_10s: float
    bytes_per_s_10s: float
    records_total: int
    bytes_total: int
    def __init__(self, records_per_s_10s: _Optional[float] = ..., bytes_per_s_10s: _Optional[float] = ..., records_total: _Optional[int] = ..., bytes_total: _Optional[int] = ...) -> None: ...

class ReaderFigures(_message.Message):
    __slots__ = ("cpu_s", "resident_bytes", "open_files", "fetches", "fetches_failed", "fetched_bytes", "busy_s", "unacknowledged_bytes")
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPEN_FILES_FIELD_NUMBER: _ClassVar[int]
    FETCHES_FIELD_NUMBER: _ClassVar[int]
    FETCHES_FAILED_FIELD_NUMBER: _ClassVar[int]
    FETCHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    BUSY_S_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_BYTES_FIELD_NUMBER: _ClassVar[int]
    cpu_s: float
    resident_bytes: int
    open_files: int
    fetches: int
    fetches_failed: int
    fetched_bytes: int
    busy_s: float
    unacknowledged_bytes: int
    def __init__(self, cpu_s: _Optional[float] = ..., resident_bytes: _Optional[int] = ..., open_files: _Optional[int] = ..., fetches: _Optional[int] = ..., fetches_failed: _Optional[int] = ..., fetched_bytes: _Optional[int] = ..., busy_s: _Optional[float] = ..., unacknowledged_bytes: _Optional[int] = ...) -> None: ...

class Distribution(_message.Message):
    __slots__ = ("bounds_s", "counts", "sum_s")
    BOUNDS_S_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUM_S_FIELD_NUMBER: _ClassVar[int]
    bounds_s: _containers.RepeatedScalarFieldContainer[float]
    counts: _containers.RepeatedScalarFieldContainer[int]
    sum_s: float
    def __init__(self, bounds_s: _Optional[_Iterable[float]] = ..., counts: _Optional[_Iterable[int]] = ..., sum_s: _Optional[float] = ...) -> None: ...

class GetTrendRequest(_message.Message):
    __slots__ = ("since_ms",)
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    since_ms: int
    def __init__(self, since_ms: _Optional[int] = ...) -> None: ...

class GetTrendResponse(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[TrendPoint]
    def __init__(self, points: _Optional[_Iterable[_Union[TrendPoint, _Mapping]]] = ...) -> None: ...

class GetTopicTrendRequest(_message.Message):
    __slots__ = ("connection", "topic", "since_ms")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    since_ms: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., since_ms: _Optional[int] = ...) -> None: ...

class GetTopicTrendResponse(_message.Message):
    __slots__ = ("points",)
    POINTS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[TrendPoint]
    def __init__(self, points: _Optional[_Iterable[_Union[TrendPoint, _Mapping]]] = ...) -> None: ...

class GetSubscriptionTrendRequest(_message.Message):
    __slots__ = ("subscription", "since_ms")
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    subscription: str
    since_ms: int
    def __init__(self, subscription: _Optional[str] = ..., since_ms: _Optional[int] = ...) -> None: ...

class GetSubscriptionTrendResponse(_message.Message):
    __slots__ = ("points", "subscription", "connection", "topics")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[TrendPoint]
    subscription: str
    connection: str
    topics: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, points: _Optional[_Iterable[_Union[TrendPoint, _Mapping]]] = ..., subscription: _Optional[str] = ..., connection: _Optional[str] = ..., topics: _Optional[_Iterable[str]] = ...) -> None: ...

class TrendPoint(_message.Message):
    __slots__ = ("at_ms", "mined_records_per_s", "delivered_records_per_s", "lag_records")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    MINED_RECORDS_PER_S_FIELD_NUMBER: _ClassVar[int]
    DELIVERED_RECORDS_PER_S_FIELD_NUMBER: _ClassVar[int]
    LAG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    mined_records_per_s: float
    delivered_records_per_s: float
    lag_records: int
    def __init__(self, at_ms: _Optional[int] = ..., mined_records_per_s: _Optional[float] = ..., delivered_records_per_s: _Optional[float] = ..., lag_records: _Optional[int] = ...) -> None: ...
