from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DropCause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DROP_CAUSE_UNSPECIFIED: _ClassVar[DropCause]
    DROP_CAUSE_AGE: _ClassVar[DropCause]
    DROP_CAUSE_TOPIC_BYTES: _ClassVar[DropCause]
    DROP_CAUSE_TOPIC_RECORDS: _ClassVar[DropCause]
    DROP_CAUSE_STORE_BYTES: _ClassVar[DropCause]
DROP_CAUSE_UNSPECIFIED: DropCause
DROP_CAUSE_AGE: DropCause
DROP_CAUSE_TOPIC_BYTES: DropCause
DROP_CAUSE_TOPIC_RECORDS: DropCause
DROP_CAUSE_STORE_BYTES: DropCause

class ListStoreUsageRequest(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: str
    def __init__(self, store: _Optional[str] = ...) -> None: ...

class ListStoreUsageResponse(_message.Message):
    __slots__ = ("stores",)
    STORES_FIELD_NUMBER: _ClassVar[int]
    stores: _containers.RepeatedCompositeFieldContainer[StoreUsage]
    def __init__(self, stores: _Optional[_Iterable[_Union[StoreUsage, _Mapping]]] = ...) -> None: ...

class StoreUsage(_message.Message):
    __slots__ = ("store", "bytes_max", "bytes", "segment_bytes", "journal_bytes", "warm_bytes", "retired_bytes", "full", "topics", "snapshot_bytes", "quarantine_bytes")
    STORE_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    WARM_BYTES_FIELD_NUMBER: _ClassVar[int]
    RETIRED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_BYTES_FIELD_NUMBER: _ClassVar[int]
    store: str
    bytes_max: int
    bytes: int
    segment_bytes: int
    journal_bytes: int
    warm_bytes: int
    retired_bytes: int
    full: str
    topics: _containers.RepeatedCompositeFieldContainer[TopicUsage]
    snapshot_bytes: int
    quarantine_bytes: int
    def __init__(self, store: _Optional[str] = ..., bytes_max: _Optional[int] = ..., bytes: _Optional[int] = ..., segment_bytes: _Optional[int] = ..., journal_bytes: _Optional[int] = ..., warm_bytes: _Optional[int] = ..., retired_bytes: _Optional[int] = ..., full: _Optional[str] = ..., topics: _Optional[_Iterable[_Union[TopicUsage, _Mapping]]] = ..., snapshot_bytes: _Optional[int] = ..., quarantine_bytes: _Optional[int] = ...) -> None: ...

class TopicUsage(_message.Message):
    __slots__ = ("connection", "topic", "bytes", "records", "oldest_mined_ms", "bytes_max", "records_max", "unread_bytes", "unread_by", "is_protected")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_MINED_MS_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    RECORDS_MAX_FIELD_NUMBER: _ClassVar[int]
    UNREAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNREAD_BY_FIELD_NUMBER: _ClassVar[int]
    IS_PROTECTED_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    bytes: int
    records: int
    oldest_mined_ms: int
    bytes_max: int
    records_max: int
    unread_bytes: int
    unread_by: str
    is_protected: bool
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., bytes: _Optional[int] = ..., records: _Optional[int] = ..., oldest_mined_ms: _Optional[int] = ..., bytes_max: _Optional[int] = ..., records_max: _Optional[int] = ..., unread_bytes: _Optional[int] = ..., unread_by: _Optional[str] = ..., is_protected: bool = ...) -> None: ...

class ListDropsRequest(_message.Message):
    __slots__ = ("connection", "topic", "limit")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    limit: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListDropsResponse(_message.Message):
    __slots__ = ("drops",)
    DROPS_FIELD_NUMBER: _ClassVar[int]
    drops: _containers.RepeatedCompositeFieldContainer[Drop]
    def __init__(self, drops: _Optional[_Iterable[_Union[Drop, _Mapping]]] = ...) -> None: ...

class Drop(_message.Message):
    __slots__ = ("at_ms", "connection", "topic", "cause", "store", "segments", "records", "bytes", "detail")
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    at_ms: int
    connection: str
    topic: str
    cause: DropCause
    store: str
    segments: int
    records: int
    bytes: int
    detail: str
    def __init__(self, at_ms: _Optional[int] = ..., connection: _Optional[str] = ..., topic: _Optional[str] = ..., cause: _Optional[_Union[DropCause, str]] = ..., store: _Optional[str] = ..., segments: _Optional[int] = ..., records: _Optional[int] = ..., bytes: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...
