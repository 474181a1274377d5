from cachesvc.v1 import log_cache_pb2 as _log_cache_pb2
from cachesvc.v1 import watching_pb2 as _watching_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MiningTaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MINING_TASK_STATE_UNSPECIFIED: _ClassVar[MiningTaskState]
    TASK_WAITING: _ClassVar[MiningTaskState]
    TASK_RUNNING: _ClassVar[MiningTaskState]
    TASK_FAILED: _ClassVar[MiningTaskState]
    TASK_STOPPED: _ClassVar[MiningTaskState]

class MinedTopicState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MINED_TOPIC_STATE_UNSPECIFIED: _ClassVar[MinedTopicState]
    TOPIC_STARTING: _ClassVar[MinedTopicState]
    TOPIC_MINING: _ClassVar[MinedTopicState]
    TOPIC_UNREACHABLE: _ClassVar[MinedTopicState]
    TOPIC_BLOCKED: _ClassVar[MinedTopicState]
    TOPIC_FAILED: _ClassVar[MinedTopicState]
    TOPIC_PAUSED_IDLE: _ClassVar[MinedTopicState]
    TOPIC_STOPPED: _ClassVar[MinedTopicState]
MINING_TASK_STATE_UNSPECIFIED: MiningTaskState
TASK_WAITING: MiningTaskState
TASK_RUNNING: MiningTaskState
TASK_FAILED: MiningTaskState
TASK_STOPPED: MiningTaskState
MINED_TOPIC_STATE_UNSPECIFIED: MinedTopicState
TOPIC_STARTING: MinedTopicState
TOPIC_MINING: MinedTopicState
TOPIC_UNREACHABLE: MinedTopicState
TOPIC_BLOCKED: MinedTopicState
TOPIC_FAILED: MinedTopicState
TOPIC_PAUSED_IDLE: MinedTopicState
TOPIC_STOPPED: MinedTopicState

class ListMiningTasksRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: str
    def __init__(self, connection: _Optional[str] = ...) -> None: ...

class ListMiningTasksResponse(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[MiningTask]
    def __init__(self, tasks: _Optional[_Iterable[_Union[MiningTask, _Mapping]]] = ...) -> None: ...

class MiningTask(_message.Message):
    __slots__ = ("name", "connection", "topics", "state", "cause", "since_ms", "created_ms", "retention_days", "start", "pins", "retention_bytes", "retention_records")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    RETENTION_RECORDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    connection: str
    topics: _containers.RepeatedCompositeFieldContainer[MinedTopic]
    state: MiningTaskState
    cause: str
    since_ms: int
    created_ms: int
    retention_days: float
    start: MiningStart
    pins: _containers.RepeatedCompositeFieldContainer[TopicPin]
    retention_bytes: int
    retention_records: int
    def __init__(self, name: _Optional[str] = ..., connection: _Optional[str] = ..., topics: _Optional[_Iterable[_Union[MinedTopic, _Mapping]]] = ..., state: _Optional[_Union[MiningTaskState, str]] = ..., cause: _Optional[str] = ..., since_ms: _Optional[int] = ..., created_ms: _Optional[int] = ..., retention_days: _Optional[float] = ..., start: _Optional[_Union[MiningStart, _Mapping]] = ..., pins: _Optional[_Iterable[_Union[TopicPin, _Mapping]]] = ..., retention_bytes: _Optional[int] = ..., retention_records: _Optional[int] = ...) -> None: ...

class TopicPin(_message.Message):
    __slots__ = ("topic", "reader", "strict")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    topic: str
    reader: str
    strict: bool
    def __init__(self, topic: _Optional[str] = ..., reader: _Optional[str] = ..., strict: bool = ...) -> None: ...

class MiningStart(_message.Message):
    __slots__ = ("earliest", "now", "timestamp_ms")
    EARLIEST_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_MS_FIELD_NUMBER: _ClassVar[int]
    earliest: bool
    now: bool
    timestamp_ms: int
    def __init__(self, earliest: bool = ..., now: bool = ..., timestamp_ms: _Optional[int] = ...) -> None: ...

class MinedTopic(_message.Message):
    __slots__ = ("topic", "reader", "epoch", "state", "error", "records_mined", "bytes_mined", "records_rejected", "mining_lag_records", "topic_state", "cause", "since_ms", "joined_ms", "used_ms", "bytes_per_second", "activity")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RECORDS_MINED_FIELD_NUMBER: _ClassVar[int]
    BYTES_MINED_FIELD_NUMBER: _ClassVar[int]
    RECORDS_REJECTED_FIELD_NUMBER: _ClassVar[int]
    MINING_LAG_RECORDS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_STATE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    JOINED_MS_FIELD_NUMBER: _ClassVar[int]
    USED_MS_FIELD_NUMBER: _ClassVar[int]
    BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    topic: str
    reader: str
    epoch: int
    state: _log_cache_pb2.MiningState
    error: str
    records_mined: int
    bytes_mined: int
    records_rejected: int
    mining_lag_records: int
    topic_state: MinedTopicState
    cause: str
    since_ms: int
    joined_ms: int
    used_ms: int
    bytes_per_second: float
    activity: _watching_pb2.MiningActivity
    def __init__(self, topic: _Optional[str] = ..., reader: _Optional[str] = ..., epoch: _Optional[int] = ..., state: _Optional[_Union[_log_cache_pb2.MiningState, str]] = ..., error: _Optional[str] = ..., records_mined: _Optional[int] = ..., bytes_mined: _Optional[int] = ..., records_rejected: _Optional[int] = ..., mining_lag_records: _Optional[int] = ..., topic_state: _Optional[_Union[MinedTopicState, str]] = ..., cause: _Optional[str] = ..., since_ms: _Optional[int] = ..., joined_ms: _Optional[int] = ..., used_ms: _Optional[int] = ..., bytes_per_second: _Optional[float] = ..., activity: _Optional[_Union[_watching_pb2.MiningActivity, _Mapping]] = ...) -> None: ...

class StartMiningTaskRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: str
    def __init__(self, connection: _Optional[str] = ...) -> None: ...

class StartMiningTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: MiningTask
    def __init__(self, task: _Optional[_Union[MiningTask, _Mapping]] = ...) -> None: ...

class StopMiningTaskRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: str
    def __init__(self, connection: _Optional[str] = ...) -> None: ...

class StopMiningTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: MiningTask
    def __init__(self, task: _Optional[_Union[MiningTask, _Mapping]] = ...) -> None: ...

class EditMiningTaskRequest(_message.Message):
    __slots__ = ("connection", "name", "retention_days", "start", "retention_bytes", "retention_records")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    RETENTION_BYTES_FIELD_NUMBER: _ClassVar[int]
    RETENTION_RECORDS_FIELD_NUMBER: _ClassVar[int]
    connection: str
    name: str
    retention_days: float
    start: MiningStart
    retention_bytes: int
    retention_records: int
    def __init__(self, connection: _Optional[str] = ..., name: _Optional[str] = ..., retention_days: _Optional[float] = ..., start: _Optional[_Union[MiningStart, _Mapping]] = ..., retention_bytes: _Optional[int] = ..., retention_records: _Optional[int] = ...) -> None: ...

class EditMiningTaskResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: MiningTask
    def __init__(self, task: _Optional[_Union[MiningTask, _Mapping]] = ...) -> None: ...

class StartMinedTopicRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class StartMinedTopicResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: MiningTask
    def __init__(self, task: _Optional[_Union[MiningTask, _Mapping]] = ...) -> None: ...

class StopMinedTopicRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class StopMinedTopicResponse(_message.Message):
    __slots__ = ("task",)
    TASK_FIELD_NUMBER: _ClassVar[int]
    task: MiningTask
    def __init__(self, task: _Optional[_Union[MiningTask, _Mapping]] = ...) -> None: ...

class ListMiningTransitionsRequest(_message.Message):
    __slots__ = ("connection", "topic", "limit")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    limit: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListMiningTransitionsResponse(_message.Message):
    __slots__ = ("transitions",)
    TRANSITIONS_FIELD_NUMBER: _ClassVar[int]
    transitions: _containers.RepeatedCompositeFieldContainer[MiningTransition]
    def __init__(self, transitions: _Optional[_Iterable[_Union[MiningTransition, _Mapping]]] = ...) -> None: ...

class MiningTransition(_message.Message):
    __slots__ = ("at_ms", "connection", "topic", "before", "after", "cause")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    connection: str
    topic: str
    before: str
    after: str
    cause: str
    def __init__(self, at_ms: _Optional[int] = ..., connection: _Optional[str] = ..., topic: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class PinTopicRequest(_message.Message):
    __slots__ = ("connection", "topic", "reader", "strict")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    READER_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    reader: str
    strict: bool
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., reader: _Optional[str] = ..., strict: bool = ...) -> None: ...

class PinTopicResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnpinTopicRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class UnpinTopicResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BlockedPartition(_message.Message):
    __slots__ = ("connection", "topic", "partition", "incarnation", "blocked")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    partition: int
    incarnation: int
    blocked: _log_cache_pb2.Blocked
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., incarnation: _Optional[int] = ..., blocked: _Optional[_Union[_log_cache_pb2.Blocked, _Mapping]] = ...) -> None: ...

class ListBlockedPartitionsRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class ListBlockedPartitionsResponse(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[BlockedPartition]
    def __init__(self, partitions: _Optional[_Iterable[_Union[BlockedPartition, _Mapping]]] = ...) -> None: ...

class RetryPartitionsRequest(_message.Message):
    __slots__ = ("connection", "topic", "partition")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    partition: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ...) -> None: ...

class RetryPartitionsResponse(_message.Message):
    __slots__ = ("partitions",)
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    partitions: _containers.RepeatedCompositeFieldContainer[BlockedPartition]
    def __init__(self, partitions: _Optional[_Iterable[_Union[BlockedPartition, _Mapping]]] = ...) -> None: ...
