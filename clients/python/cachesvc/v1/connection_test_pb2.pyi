from cachesvc.v1 import connections_pb2 as _connections_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CheckStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHECK_STATUS_UNSPECIFIED: _ClassVar[CheckStatus]
    CHECK_PASSED: _ClassVar[CheckStatus]
    CHECK_WARNING: _ClassVar[CheckStatus]
    CHECK_FAILED: _ClassVar[CheckStatus]
    CHECK_SKIPPED: _ClassVar[CheckStatus]
CHECK_STATUS_UNSPECIFIED: CheckStatus
CHECK_PASSED: CheckStatus
CHECK_WARNING: CheckStatus
CHECK_FAILED: CheckStatus
CHECK_SKIPPED: CheckStatus

class TestConnectionRequest(_message.Message):
    __slots__ = ("name", "settings", "timeout_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    settings: _connections_pb2.Connection
    timeout_s: float
    def __init__(self, name: _Optional[str] = ..., settings: _Optional[_Union[_connections_pb2.Connection, _Mapping]] = ..., timeout_s: _Optional[float] = ...) -> None: ...

class TestConnectionResponse(_message.Message):
    __slots__ = ("check",)
    CHECK_FIELD_NUMBER: _ClassVar[int]
    check: ConnectionCheck
    def __init__(self, check: _Optional[_Union[ConnectionCheck, _Mapping]] = ...) -> None: ...

class ConnectionCheck(_message.Message):
    __slots__ = ("name", "status", "detail", "hint", "reason", "took_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TOOK_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    status: CheckStatus
    detail: str
    hint: str
    reason: str
    took_s: float
    def __init__(self, name: _Optional[str] = ..., status: _Optional[_Union[CheckStatus, str]] = ..., detail: _Optional[str] = ..., hint: _Optional[str] = ..., reason: _Optional[str] = ..., took_s: _Optional[float] = ...) -> None: ...
