from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NonJsonPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NON_JSON_POLICY_UNSPECIFIED: _ClassVar[NonJsonPolicy]
    REJECT: _ClassVar[NonJsonPolicy]
    STOP: _ClassVar[NonJsonPolicy]
NON_JSON_POLICY_UNSPECIFIED: NonJsonPolicy
REJECT: NonJsonPolicy
STOP: NonJsonPolicy

class Connection(_message.Message):
    __slots__ = ("name", "bootstrap_servers", "topic_expression", "non_json_policy", "reachable", "error", "type", "log_caching", "store", "agent", "model_load_time", "tls", "sasl", "kerberos", "target", "error_reason", "in_file", "created_ms", "updated_ms", "cluster_id", "foreign_addresses", "snapshot_expression", "debezium_expression", "secrets_elsewhere")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BOOTSTRAP_SERVERS_FIELD_NUMBER: _ClassVar[int]
    TOPIC_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    NON_JSON_POLICY_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LOG_CACHING_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_LOAD_TIME_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    SASL_FIELD_NUMBER: _ClassVar[int]
    KERBEROS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    IN_FILE_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_MS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    FOREIGN_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    DEBEZIUM_EXPRESSION_FIELD_NUMBER: _ClassVar[int]
    SECRETS_ELSEWHERE_FIELD_NUMBER: _ClassVar[int]
    name: str
    bootstrap_servers: _containers.RepeatedScalarFieldContainer[str]
    topic_expression: str
    non_json_policy: NonJsonPolicy
    reachable: bool
    error: str
    type: str
    log_caching: bool
    store: str
    agent: str
    model_load_time: str
    tls: ConnectionTls
    sasl: ConnectionSasl
    kerberos: ConnectionKerberos
    target: ConnectionTarget
    error_reason: str
    in_file: bool
    created_ms: int
    updated_ms: int
    cluster_id: str
    foreign_addresses: _containers.RepeatedCompositeFieldContainer[ForeignAddress]
    snapshot_expression: str
    debezium_expression: str
    secrets_elsewhere: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., bootstrap_servers: _Optional[_Iterable[str]] = ..., topic_expression: _Optional[str] = ..., non_json_policy: _Optional[_Union[NonJsonPolicy, str]] = ..., reachable: bool = ..., error: _Optional[str] = ..., type: _Optional[str] = ..., log_caching: bool = ..., store: _Optional[str] = ..., agent: _Optional[str] = ..., model_load_time: _Optional[str] = ..., tls: _Optional[_Union[ConnectionTls, _Mapping]] = ..., sasl: _Optional[_Union[ConnectionSasl, _Mapping]] = ..., kerberos: _Optional[_Union[ConnectionKerberos, _Mapping]] = ..., target: _Optional[_Union[ConnectionTarget, _Mapping]] = ..., error_reason: _Optional[str] = ..., in_file: bool = ..., created_ms: _Optional[int] = ..., updated_ms: _Optional[int] = ..., cluster_id: _Optional[str] = ..., foreign_addresses: _Optional[_Iterable[_Union[ForeignAddress, _Mapping]]] = ..., snapshot_expression: _Optional[str] = ..., debezium_expression: _Optional[str] = ..., secrets_elsewhere: _Optional[_Iterable[str]] = ...) -> None: ...

class ForeignAddress(_message.Message):
    __slots__ = ("address", "cluster_id")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    address: str
    cluster_id: str
    def __init__(self, address: _Optional[str] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class ConnectionTls(_message.Message):
    __slots__ = ("ca_file", "certificate_file", "key_file", "key_password_env", "key_password_file", "check_hostname")
    CA_FILE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FILE_FIELD_NUMBER: _ClassVar[int]
    KEY_FILE_FIELD_NUMBER: _ClassVar[int]
    KEY_PASSWORD_ENV_FIELD_NUMBER: _ClassVar[int]
    KEY_PASSWORD_FILE_FIELD_NUMBER: _ClassVar[int]
    CHECK_HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    ca_file: str
    certificate_file: str
    key_file: str
    key_password_env: str
    key_password_file: str
    check_hostname: bool
    def __init__(self, ca_file: _Optional[str] = ..., certificate_file: _Optional[str] = ..., key_file: _Optional[str] = ..., key_password_env: _Optional[str] = ..., key_password_file: _Optional[str] = ..., check_hostname: bool = ...) -> None: ...

class ConnectionSasl(_message.Message):
    __slots__ = ("mechanism", "username", "password_env", "password_file", "insecure")
    MECHANISM_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_ENV_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FILE_FIELD_NUMBER: _ClassVar[int]
    INSECURE_FIELD_NUMBER: _ClassVar[int]
    mechanism: str
    username: str
    password_env: str
    password_file: str
    insecure: bool
    def __init__(self, mechanism: _Optional[str] = ..., username: _Optional[str] = ..., password_env: _Optional[str] = ..., password_file: _Optional[str] = ..., insecure: bool = ...) -> None: ...

class ConnectionKerberos(_message.Message):
    __slots__ = ("principal", "keytab_file", "krb5_file", "service_name")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    KEYTAB_FILE_FIELD_NUMBER: _ClassVar[int]
    KRB5_FILE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_NAME_FIELD_NUMBER: _ClassVar[int]
    principal: str
    keytab_file: str
    krb5_file: str
    service_name: str
    def __init__(self, principal: _Optional[str] = ..., keytab_file: _Optional[str] = ..., krb5_file: _Optional[str] = ..., service_name: _Optional[str] = ...) -> None: ...

class ConnectionTarget(_message.Message):
    __slots__ = ("acks", "compression", "ignore_push_errors")
    ACKS_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_FIELD_NUMBER: _ClassVar[int]
    IGNORE_PUSH_ERRORS_FIELD_NUMBER: _ClassVar[int]
    acks: str
    compression: str
    ignore_push_errors: bool
    def __init__(self, acks: _Optional[str] = ..., compression: _Optional[str] = ..., ignore_push_errors: bool = ...) -> None: ...

class ListConnectionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListConnectionsResponse(_message.Message):
    __slots__ = ("connections",)
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    connections: _containers.RepeatedCompositeFieldContainer[Connection]
    def __init__(self, connections: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ...) -> None: ...

class GetConnectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetConnectionResponse(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class CreateConnectionRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class CreateConnectionResponse(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class UpdateConnectionRequest(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class UpdateConnectionResponse(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class AcceptClusterRequest(_message.Message):
    __slots__ = ("name", "cluster_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    cluster_id: str
    def __init__(self, name: _Optional[str] = ..., cluster_id: _Optional[str] = ...) -> None: ...

class AcceptClusterResponse(_message.Message):
    __slots__ = ("connection", "previous_cluster_id")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    previous_cluster_id: str
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ..., previous_cluster_id: _Optional[str] = ...) -> None: ...

class DeleteConnectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteConnectionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
