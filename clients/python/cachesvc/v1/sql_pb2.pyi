from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunSqlRequest(_message.Message):
    __slots__ = ("sql", "connection", "explain")
    SQL_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    sql: str
    connection: str
    explain: bool
    def __init__(self, sql: _Optional[str] = ..., connection: _Optional[str] = ..., explain: bool = ...) -> None: ...

class RunSqlResponse(_message.Message):
    __slots__ = ("columns", "arrow_ipc", "summary")
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ARROW_IPC_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    columns: _containers.RepeatedCompositeFieldContainer[SqlColumn]
    arrow_ipc: bytes
    summary: SqlSummary
    def __init__(self, columns: _Optional[_Iterable[_Union[SqlColumn, _Mapping]]] = ..., arrow_ipc: _Optional[bytes] = ..., summary: _Optional[_Union[SqlSummary, _Mapping]] = ...) -> None: ...

class SqlColumn(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class SqlSummary(_message.Message):
    __slots__ = ("rows", "elapsed_s")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_S_FIELD_NUMBER: _ClassVar[int]
    rows: int
    elapsed_s: float
    def __init__(self, rows: _Optional[int] = ..., elapsed_s: _Optional[float] = ...) -> None: ...
