from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AlarmKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALARM_KIND_UNSPECIFIED: _ClassVar[AlarmKind]
    ALARM_TASK_STOPPED: _ClassVar[AlarmKind]
    ALARM_TASK_FAILED: _ClassVar[AlarmKind]
    ALARM_TOPIC_FAILED: _ClassVar[AlarmKind]
    ALARM_PARTITION_BLOCKED: _ClassVar[AlarmKind]
    ALARM_SOURCE_UNREACHABLE: _ClassVar[AlarmKind]
    ALARM_MINING_LAG: _ClassVar[AlarmKind]
    ALARM_RETENTION_NEAR: _ClassVar[AlarmKind]
    ALARM_SOURCE_CHANGED: _ClassVar[AlarmKind]
    ALARM_OUT_OF_DESCRIPTORS: _ClassVar[AlarmKind]
    ALARM_STORE_NEARLY_FULL: _ClassVar[AlarmKind]
    ALARM_STORE_FULL: _ClassVar[AlarmKind]
    ALARM_STORE_DAMAGED: _ClassVar[AlarmKind]
    ALARM_RECORDS_LOST: _ClassVar[AlarmKind]
    ALARM_STORE_AWAY: _ClassVar[AlarmKind]
    ALARM_RECOVERS_FROM_SNAPSHOT: _ClassVar[AlarmKind]
ALARM_KIND_UNSPECIFIED: AlarmKind
ALARM_TASK_STOPPED: AlarmKind
ALARM_TASK_FAILED: AlarmKind
ALARM_TOPIC_FAILED: AlarmKind
ALARM_PARTITION_BLOCKED: AlarmKind
ALARM_SOURCE_UNREACHABLE: AlarmKind
ALARM_MINING_LAG: AlarmKind
ALARM_RETENTION_NEAR: AlarmKind
ALARM_SOURCE_CHANGED: AlarmKind
ALARM_OUT_OF_DESCRIPTORS: AlarmKind
ALARM_STORE_NEARLY_FULL: AlarmKind
ALARM_STORE_FULL: AlarmKind
ALARM_STORE_DAMAGED: AlarmKind
ALARM_RECORDS_LOST: AlarmKind
ALARM_STORE_AWAY: AlarmKind
ALARM_RECOVERS_FROM_SNAPSHOT: AlarmKind

class ListAlarmsRequest(_message.Message):
    __slots__ = ("connection", "past", "limit")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    PAST_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    connection: str
    past: bool
    limit: int
    def __init__(self, connection: _Optional[str] = ..., past: bool = ..., limit: _Optional[int] = ...) -> None: ...

class ListAlarmsResponse(_message.Message):
    __slots__ = ("alarms",)
    ALARMS_FIELD_NUMBER: _ClassVar[int]
    alarms: _containers.RepeatedCompositeFieldContainer[Alarm]
    def __init__(self, alarms: _Optional[_Iterable[_Union[Alarm, _Mapping]]] = ...) -> None: ...

class Alarm(_message.Message):
    __slots__ = ("id", "kind", "connection", "topic", "partition", "subscription", "message", "raised_ms", "cleared_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SUBSCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RAISED_MS_FIELD_NUMBER: _ClassVar[int]
    CLEARED_MS_FIELD_NUMBER: _ClassVar[int]
    id: int
    kind: AlarmKind
    connection: str
    topic: str
    partition: int
    subscription: str
    message: str
    raised_ms: int
    cleared_ms: int
    def __init__(self, id: _Optional[int] = ..., kind: _Optional[_Union[AlarmKind, str]] = ..., connection: _Optional[str] = ..., topic: _Optional[str] = ..., partition: _Optional[int] = ..., subscription: _Optional[str] = ..., message: _Optional[str] = ..., raised_ms: _Optional[int] = ..., cleared_ms: _Optional[int] = ...) -> None: ...
