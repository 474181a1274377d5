from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Store(_message.Message):
    __slots__ = ("name", "kind", "default", "path", "bucket", "prefix", "endpoint", "region", "access_key_env", "access_key_file", "secret_key_env", "secret_key_file", "session_token_env", "session_token_file", "insecure", "request_timeout_s", "retry_s", "cache_bytes_max", "bytes_max", "location", "in_file", "created_ms", "updated_ms", "segment_count", "bytes", "retired_file_count", "connections", "topics", "waiting_journal_count", "waiting_bytes", "error", "free_bytes", "last_test")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    ACCESS_KEY_ENV_FIELD_NUMBER: _ClassVar[int]
    ACCESS_KEY_FILE_FIELD_NUMBER: _ClassVar[int]
    SECRET_KEY_ENV_FIELD_NUMBER: _ClassVar[int]
    SECRET_KEY_FILE_FIELD_NUMBER: _ClassVar[int]
    SESSION_TOKEN_ENV_FIELD_NUMBER: _ClassVar[int]
    SESSION_TOKEN_FILE_FIELD_NUMBER: _ClassVar[int]
    INSECURE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    RETRY_S_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    IN_FILE_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_MS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    RETIRED_FILE_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    TOPICS_FIELD_NUMBER: _ClassVar[int]
    WAITING_JOURNAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    WAITING_BYTES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_TEST_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    default: bool
    path: str
    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key_env: str
    access_key_file: str
    secret_key_env: str
    secret_key_file: str
    session_token_env: str
    session_token_file: str
    insecure: bool
    request_timeout_s: float
    retry_s: float
    cache_bytes_max: int
    bytes_max: int
    location: str
    in_file: bool
    created_ms: int
    updated_ms: int
    segment_count: int
    bytes: int
    retired_file_count: int
    connections: _containers.RepeatedScalarFieldContainer[str]
    topics: _containers.RepeatedScalarFieldContainer[str]
    waiting_journal_count: int
    waiting_bytes: int
    error: str
    free_bytes: int
    last_test: StoreTested
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., default: bool = ..., path: _Optional[str] = ..., bucket: _Optional[str] = ..., prefix: _Optional[str] = ..., endpoint: _Optional[str] = ..., region: _Optional[str] = ..., access_key_env: _Optional[str] = ..., access_key_file: _Optional[str] = ..., secret_key_env: _Optional[str] = ..., secret_key_file: _Optional[str] = ..., session_token_env: _Optional[str] = ..., session_token_file: _Optional[str] = ..., insecure: bool = ..., request_timeout_s: _Optional[float] = ..., retry_s: _Optional[float] = ..., cache_bytes_max: _Optional[int] = ..., bytes_max: _Optional[int] = ..., location: _Optional[str] = ..., in_file: bool = ..., created_ms: _Optional[int] = ..., updated_ms: _Optional[int] = ..., segment_count: _Optional[int] = ..., bytes: _Optional[int] = ..., retired_file_count: _Optional[int] = ..., connections: _Optional[_Iterable[str]] = ..., topics: _Optional[_Iterable[str]] = ..., waiting_journal_count: _Optional[int] = ..., waiting_bytes: _Optional[int] = ..., error: _Optional[str] = ..., free_bytes: _Optional[int] = ..., last_test: _Optional[_Union[StoreTested, _Mapping]] = ...) -> None: ...

class StoreTested(_message.Message):
    __slots__ = ("tested_ms", "failed", "detail")
    TESTED_MS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    tested_ms: int
    failed: str
    detail: str
    def __init__(self, tested_ms: _Optional[int] = ..., failed: _Optional[str] = ..., detail: _Optional[str] = ...) -> None: ...

class ListStoresRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListStoresResponse(_message.Message):
    __slots__ = ("stores",)
    STORES_FIELD_NUMBER: _ClassVar[int]
    stores: _containers.RepeatedCompositeFieldContainer[Store]
    def __init__(self, stores: _Optional[_Iterable[_Union[Store, _Mapping]]] = ...) -> None: ...

class GetStoreRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetStoreResponse(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: Store
    def __init__(self, store: _Optional[_Union[Store, _Mapping]] = ...) -> None: ...

class CreateStoreRequest(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: Store
    def __init__(self, store: _Optional[_Union[Store, _Mapping]] = ...) -> None: ...

class CreateStoreResponse(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: Store
    def __init__(self, store: _Optional[_Union[Store, _Mapping]] = ...) -> None: ...

class UpdateStoreRequest(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: Store
    def __init__(self, store: _Optional[_Union[Store, _Mapping]] = ...) -> None: ...

class UpdateStoreResponse(_message.Message):
    __slots__ = ("store",)
    STORE_FIELD_NUMBER: _ClassVar[int]
    store: Store
    def __init__(self, store: _Optional[_Union[Store, _Mapping]] = ...) -> None: ...

class DeleteStoreRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteStoreResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TestStoreRequest(_message.Message):
    __slots__ = ("name", "settings")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    settings: Store
    def __init__(self, name: _Optional[str] = ..., settings: _Optional[_Union[Store, _Mapping]] = ...) -> None: ...

class TestStoreResponse(_message.Message):
    __slots__ = ("check",)
    CHECK_FIELD_NUMBER: _ClassVar[int]
    check: StoreCheck
    def __init__(self, check: _Optional[_Union[StoreCheck, _Mapping]] = ...) -> None: ...

class StoreCheck(_message.Message):
    __slots__ = ("name", "works", "detail", "took_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORKS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    TOOK_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    works: bool
    detail: str
    took_s: float
    def __init__(self, name: _Optional[str] = ..., works: bool = ..., detail: _Optional[str] = ..., took_s: _Optional[float] = ...) -> None: ...

class PlaceTopicRequest(_message.Message):
    __slots__ = ("connection", "topic", "store")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    connection: str
    topic: str
    store: str
    def __init__(self, connection: _Optional[str] = ..., topic: _Optional[str] = ..., store: _Optional[str] = ...) -> None: ...

class PlaceTopicResponse(_message.Message):
    __slots__ = ("segment_count", "bytes")
    SEGMENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    segment_count: int
    bytes: int
    def __init__(self, segment_count: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...
