from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Filter(_message.Message):
    __slots__ = ("all_of", "any_of", "negated", "key", "header", "timestamp", "field")
    ALL_OF_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    HEADER_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    all_of: FilterGroup
    any_of: FilterGroup
    negated: Filter
    key: BytesTest
    header: HeaderTest
    timestamp: TimestampTest
    field: FieldTest
    def __init__(self, all_of: _Optional[_Union[FilterGroup, _Mapping]] = ..., any_of: _Optional[_Union[FilterGroup, _Mapping]] = ..., negated: _Optional[_Union[Filter, _Mapping]] = ..., key: _Optional[_Union[BytesTest, _Mapping]] = ..., header: _Optional[_Union[HeaderTest, _Mapping]] = ..., timestamp: _Optional[_Union[TimestampTest, _Mapping]] = ..., field: _Optional[_Union[FieldTest, _Mapping]] = ...) -> None: ...

class FilterGroup(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class BytesTest(_message.Message):
    __slots__ = ("exists", "equals", "one_of", "prefix", "expression")
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    EQUALS_FIELD_NUMBER: _ClassVar[int]
    ONE_OF_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    exists: Presence
    equals: bytes
    one_of: BytesList
    prefix: bytes
    expression: str
    def __init__(self, exists: _Optional[_Union[Presence, _Mapping]] = ..., equals: _Optional[bytes] = ..., one_of: _Optional[_Union[BytesList, _Mapping]] = ..., prefix: _Optional[bytes] = ..., expression: _Optional[str] = ...) -> None: ...

class Presence(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BytesList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, values: _Optional[_Iterable[bytes]] = ...) -> None: ...

class HeaderTest(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: BytesTest
    def __init__(self, name: _Optional[str] = ..., value: _Optional[_Union[BytesTest, _Mapping]] = ...) -> None: ...

class TimestampTest(_message.Message):
    __slots__ = ("equals", "one_of", "less", "at_most", "greater", "at_least")
    EQUALS_FIELD_NUMBER: _ClassVar[int]
    ONE_OF_FIELD_NUMBER: _ClassVar[int]
    LESS_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    GREATER_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    equals: int
    one_of: TimestampList
    less: int
    at_most: int
    greater: int
    at_least: int
    def __init__(self, equals: _Optional[int] = ..., one_of: _Optional[_Union[TimestampList, _Mapping]] = ..., less: _Optional[int] = ..., at_most: _Optional[int] = ..., greater: _Optional[int] = ..., at_least: _Optional[int] = ...) -> None: ...

class TimestampList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class PathStep(_message.Message):
    __slots__ = ("name", "index")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    name: str
    index: int
    def __init__(self, name: _Optional[str] = ..., index: _Optional[int] = ...) -> None: ...

class FieldTest(_message.Message):
    __slots__ = ("path", "exists", "equals", "one_of", "prefix", "expression", "less", "at_most", "greater", "at_least")
    PATH_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    EQUALS_FIELD_NUMBER: _ClassVar[int]
    ONE_OF_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    LESS_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    GREATER_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    path: _containers.RepeatedCompositeFieldContainer[PathStep]
    exists: Presence
    equals: Literal
    one_of: LiteralList
    prefix: str
    expression: str
    less: Literal
    at_most: Literal
    greater: Literal
    at_least: Literal
    def __init__(self, path: _Optional[_Iterable[_Union[PathStep, _Mapping]]] = ..., exists: _Optional[_Union[Presence, _Mapping]] = ..., equals: _Optional[_Union[Literal, _Mapping]] = ..., one_of: _Optional[_Union[LiteralList, _Mapping]] = ..., prefix: _Optional[str] = ..., expression: _Optional[str] = ..., less: _Optional[_Union[Literal, _Mapping]] = ..., at_most: _Optional[_Union[Literal, _Mapping]] = ..., greater: _Optional[_Union[Literal, _Mapping]] = ..., at_least: _Optional[_Union[Literal, _Mapping]] = ...) -> None: ...

class Literal(_message.Message):
    __slots__ = ("text", "number", "integer", "boolean", "null")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    NULL_FIELD_NUMBER: _ClassVar[int]
    text: str
    number: str
    integer: int
    boolean: bool
    null: Presence
    def __init__(self, text: _Optional[str] = ..., number: _Optional[str] = ..., integer: _Optional[int] = ..., boolean: bool = ..., null: _Optional[_Union[Presence, _Mapping]] = ...) -> None: ...

class LiteralList(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Literal]
    def __init__(self, values: _Optional[_Iterable[_Union[Literal, _Mapping]]] = ...) -> None: ...

class Projection(_message.Message):
    __slots__ = ("without_value", "without_headers", "fields", "without_fields")
    WITHOUT_VALUE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_HEADERS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_FIELDS_FIELD_NUMBER: _ClassVar[int]
    without_value: bool
    without_headers: bool
    fields: _containers.RepeatedScalarFieldContainer[str]
    without_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, without_value: bool = ..., without_headers: bool = ..., fields: _Optional[_Iterable[str]] = ..., without_fields: _Optional[_Iterable[str]] = ...) -> None: ...
