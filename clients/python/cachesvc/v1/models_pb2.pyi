from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JsonType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JSON_TYPE_UNSPECIFIED: _ClassVar[JsonType]
    JSON_NULL: _ClassVar[JsonType]
    JSON_BOOLEAN: _ClassVar[JsonType]
    JSON_INTEGER: _ClassVar[JsonType]
    JSON_NUMBER: _ClassVar[JsonType]
    JSON_STRING: _ClassVar[JsonType]
    JSON_ARRAY: _ClassVar[JsonType]
    JSON_OBJECT: _ClassVar[JsonType]

class ModelChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_CHANGE_KIND_UNSPECIFIED: _ClassVar[ModelChangeKind]
    FIELD_ADDED: _ClassVar[ModelChangeKind]
    TYPE_ADDED: _ClassVar[ModelChangeKind]
    FIELD_OPTIONAL: _ClassVar[ModelChangeKind]
JSON_TYPE_UNSPECIFIED: JsonType
JSON_NULL: JsonType
JSON_BOOLEAN: JsonType
JSON_INTEGER: JsonType
JSON_NUMBER: JsonType
JSON_STRING: JsonType
JSON_ARRAY: JsonType
JSON_OBJECT: JsonType
MODEL_CHANGE_KIND_UNSPECIFIED: ModelChangeKind
FIELD_ADDED: ModelChangeKind
TYPE_ADDED: ModelChangeKind
FIELD_OPTIONAL: ModelChangeKind

class ListModelsRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: str
    def __init__(self, connection: _Optional[str] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelSummary]
    def __init__(self, models: _Optional[_Iterable[_Union[ModelSummary, _Mapping]]] = ...) -> None: ...

class ModelSummary(_message.Message):
    __slots__ = ("connection", "topic", "incarnation", "field_count", "truncated", "records_seen", "first_seen_ms", "last_seen_ms", "refreshed_ms", "changed_ms")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    FIELD_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    RECORDS_SEEN_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    REFRESHED_MS_FIELD_NUMBER: _ClassVar[int]
    CHANGED_MS_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    incarnation: int
    field_count: int
    truncated: bool
    records_seen: int
    first_seen_ms: int
    last_seen_ms: int
    refreshed_ms: int
    changed_ms: int
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., incarnation: _Optional[int] = ..., field_count: _Optional[int] = ..., truncated: bool = ..., records_seen: _Optional[int] = ..., first_seen_ms: _Optional[int] = ..., last_seen_ms: _Optional[int] = ..., refreshed_ms: _Optional[int] = ..., changed_ms: _Optional[int] = ...) -> None: ...

class DescribeModelRequest(_message.Message):
    __slots__ = ("connection", "topic")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ...) -> None: ...

class DescribeModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("summary", "fields", "changes")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    summary: ModelSummary
    fields: _containers.RepeatedCompositeFieldContainer[ModelField]
    changes: _containers.RepeatedCompositeFieldContainer[ModelChange]
    def __init__(self, summary: _Optional[_Union[ModelSummary, _Mapping]] = ..., fields: _Optional[_Iterable[_Union[ModelField, _Mapping]]] = ..., changes: _Optional[_Iterable[_Union[ModelChange, _Mapping]]] = ...) -> None: ...

class ModelField(_message.Message):
    __slots__ = ("path", "name", "depth", "types", "nullable", "absent_seen", "first_seen_ms", "last_seen_ms", "example")
    PATH_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    NULLABLE_FIELD_NUMBER: _ClassVar[int]
    ABSENT_SEEN_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    path: str
    name: str
    depth: int
    types: _containers.RepeatedCompositeFieldContainer[ModelType]
    nullable: bool
    absent_seen: bool
    first_seen_ms: int
    last_seen_ms: int
    example: str
    def __init__(self, path: _Optional[str] = ..., name: _Optional[str] = ..., depth: _Optional[int] = ..., types: _Optional[_Iterable[_Union[ModelType, _Mapping]]] = ..., nullable: bool = ..., absent_seen: bool = ..., first_seen_ms: _Optional[int] = ..., last_seen_ms: _Optional[int] = ..., example: _Optional[str] = ...) -> None: ...

class ModelType(_message.Message):
    __slots__ = ("type", "first_seen_ms", "last_seen_ms", "example")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    type: JsonType
    first_seen_ms: int
    last_seen_ms: int
    example: str
    def __init__(self, type: _Optional[_Union[JsonType, str]] = ..., first_seen_ms: _Optional[int] = ..., last_seen_ms: _Optional[int] = ..., example: _Optional[str] = ...) -> None: ...

class ModelChange(_message.Message):
    __slots__ = ("noted_ms", "kind", "path", "types", "first_seen_ms")
    NOTED_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_MS_FIELD_NUMBER: _ClassVar[int]
    noted_ms: int
    kind: ModelChangeKind
    path: str
    types: _containers.RepeatedScalarFieldContainer[JsonType]
    first_seen_ms: int
    def __init__(self, noted_ms: _Optional[int] = ..., kind: _Optional[_Union[ModelChangeKind, str]] = ..., path: _Optional[str] = ..., types: _Optional[_Iterable[_Union[JsonType, str]]] = ..., first_seen_ms: _Optional[int] = ...) -> None: ...
