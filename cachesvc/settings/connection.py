"""Settings of one connection: how a Kafka cluster is reached, and what is done with its topics.

The structs are those of ``[[connections]]`` in the file, of the catalogue's JSON and of what reader
processes get. Secrets are never among them: a setting that ends in ``_env`` names an environment
variable and one that ends in ``_file`` a file, and both are read when a connection is opened.
docs/configuration.md is the reference.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cachesvc.errors import InvalidConfig, InvalidRequest
from cachesvc.model import NonJsonPolicy
from cachesvc.policy.addresses import is_loopback, parse_address
from cachesvc.policy.topics import check_expression
from cachesvc.settings.validation import inside, located_error, setting_error, setting_paths

DEFAULT_STORE = "default"

# The descriptions end in messages: what to give instead of what does not fit.
Name = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9_-]{1,64}\Z",
        description="a name of 1 to 64 of A-Z, a-z, 0-9, _ and -",
    ),
]
Text = Annotated[
    str,
    Meta(
        pattern=r"\A[^\x00-\x1f\x7f]{1,256}\Z",
        description="1 to 256 characters, none of them a control character",
    ),
]
FilePath = Annotated[str, Meta(pattern=r"\A[^\x00]{1,4096}\Z", description="the path of a file")]
Variable = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z_][A-Za-z0-9_]{0,255}\Z",
        description="the name of an environment variable, never the secret itself",
    ),
]
ServiceName = Annotated[
    str,
    Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z", description="1 to 64 of A-Z, a-z, 0-9, ., _ and -"),
]
Agent = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9._-]{0,128}\Z",
        description="a reader's name, up to 128 of A-Z, a-z, 0-9, ., _ and -",
    ),
]
TimeOfDay = Annotated[
    str,
    Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z", description="HH:MM, from 00:00 to 23:59"),
]
Addresses = Annotated[tuple[str, ...], Meta(min_length=1, description="one or more HOST:PORT")]

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
Acks = Literal["none", "leader", "majority", "all"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]

KAFKA_ACKS = {"none": 0, "leader": 1, "majority": -1, "all": -1}
"""Kafka's ``acks`` for each of ours. It knows no majority: with -1 ("all") the leader waits for
every replica that is in sync, and the topic's ``min.insync.replicas`` says how many have to be."""


class TlsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[connections.tls]``: its presence turns TLS on."""

    # PEM file with the authorities to trust; None: those of the system.
    ca_file: FilePath | None = None
    # PEM files with the client's certificate chain and its key; both or none.
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None
    # Where the key's passphrase is found; one of the two, or none.
    key_password_env: Variable | None = None
    key_password_file: FilePath | None = None
    # Whether the broker's certificate has to name the host that was asked for.
    check_hostname: bool = True


class SaslConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[connections.sasl]``: user name and password."""

    mechanism: Mechanism
    username: Text
    # Where the password is found; exactly one of the two.
    password_env: Variable | None = None
    password_file: FilePath | None = None
    # Allows PLAIN, which sends the password as it is, without TLS beyond loopback.
    insecure: bool = False


class KerberosConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[connections.kerberos]``: SASL GSSAPI."""

    # Who to be, such as cachesvc@EXAMPLE.ORG.
    principal: Text
    # The file with that principal's keys.
    keytab_file: FilePath
    # Realms and their servers; None: the system's configuration.
    krb5_file: FilePath | None = None
    # The first part of the brokers' own principals.
    service_name: ServiceName = "kafka"


class TargetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[connections.target]``: how records are written, where the type allows it."""

    acks: Acks = "majority"
    compression: Compression = "none"
    # Whether a task may keep a record apart that Kafka refuses, and go on; else it ends there.
    ignore_push_errors: bool = False


class ConnectionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[connections]]``: one Kafka cluster."""

    # Unique; 1 to 64 of A-Z, a-z, 0-9, _ and -.
    name: Name
    # Whether topics are read from the cluster, written to it, or both.
    type: Literal["source", "target", "both"] = "source"
    # HOST:PORT each, at least one; an IPv6 host in brackets.
    bootstrap_servers: Addresses
    # RE2 expression of at most 256 characters that has to match a topic's whole name.
    topic_expression: str = ".*"
    # "reject" keeps a record that is not a JSON object apart and goes on; "stop" stops mining that
    # partition at it.
    non_json_policy: NonJsonPolicy = NonJsonPolicy.REJECT
    # Whether topics are mined into the cache. Without it nothing can be subscribed to.
    log_caching: bool = True
    # The store that takes what is mined: the name of one of [[stores]], "local" for the service's
    # own directory, or "default".
    store: Name = DEFAULT_STORE
    # The reader that mines the topics; empty: the service spreads them.
    agent: Agent = ""
    # When models are loaded anew each day, from 10,000 of them on: HH:MM in jobs.time_zone.
    model_load_time: TimeOfDay = "02:00"
    # Topics of which snapshots are made, the latest record per key: an RE2 expression that has to
    # match the whole name; empty: of none.
    snapshot_expression: str = ""
    # Topics whose values are Debezium's, so that "op": "d" deletes a key in snapshots: likewise.
    debezium_expression: str = ""
    tls: TlsConfig | None = None
    sasl: SaslConfig | None = None
    kerberos: KerberosConfig | None = None
    target: TargetConfig | None = None

    @property
    def is_source(self) -> bool:
        """Whether topics are read from it."""
        return self.type in ("source", "both")


def parse_connection(
    tree: Any, source: str, field: str = "connection", *, strict: bool = True
) -> ConnectionConfig:
    """JSON types as a connection that is right in itself.

    Args:
        tree: What ``connection_dict`` makes.
        source: As for ``check_connection``.
        field: Likewise.
        strict: Whether text may not stand for numbers and booleans.

    Raises:
        InvalidConfig: A field is unknown, missing or wrong.
    """
    try:
        connection = msgspec.convert(tree, ConnectionConfig, strict=strict)
    except msgspec.ValidationError as error:
        paths = setting_paths_of_connection(field)
        raise located_error(
            error, source, ConnectionConfig, lambda _: paths, connection_advice, field
        ) from error
    check_connection(connection, source, field)
    return connection


def setting_paths_of_connection(field: str) -> list[str]:
    """The paths of all settings of a connection whose own path is ``field``."""
    return [path for path, _ in setting_paths(ConnectionConfig, f"{field}." if field else "")]


def connection_advice(field: str) -> str:
    """What to do about a wrong value of a connection's setting whose type does not say it."""
    return "see docs/configuration.md"


def check_connection(connection: ConnectionConfig, source: str, field: str) -> None:
    """What the types do not say: addresses, expressions, and settings that contradict each other.

    Args:
        connection: What to check.
        source: Where it comes from, for messages: a file, a variable, a call.
        field: The path of the connection, such as ``connections[0]``; may be empty.

    Raises:
        InvalidConfig: A field is wrong; the message names the source, the field and what to do.
    """
    for number, server in enumerate(connection.bootstrap_servers):
        name = inside(field, f"bootstrap_servers[{number}]")
        try:
            parse_address(server, port_min=1)
        except InvalidConfig as error:
            raise InvalidConfig(f"{source}: {name}: {error}", metadata={"field": name}) from error
    for name in ("topic_expression", "snapshot_expression", "debezium_expression"):
        expression = getattr(connection, name)
        if expression or name == "topic_expression":
            _check_expression(expression, source, inside(field, name))
    for name, problem, advice in _contradictions(connection):
        raise setting_error(source, inside(field, name), problem, advice)


def _check_expression(expression: str, source: str, place: str) -> None:
    try:
        check_expression(expression)
    except InvalidRequest as error:
        advice = "give an RE2 expression"
        if "position" in error.metadata:
            advice += ", which has neither look-arounds nor back-references"
        raise setting_error(source, place, str(error), advice) from error


def _contradictions(connection: ConnectionConfig) -> Iterator[tuple[str, str, str]]:
    """Field, problem and advice of everything that does not fit together."""
    if connection.target is not None and connection.type == "source":
        advice = 'give type = "target" or "both", or leave the table out'
        yield "target", "nothing is written to a pure source", advice
    if connection.tls is not None:
        yield from _tls_contradictions(connection.tls)
    if connection.sasl is not None:
        yield from _sasl_contradictions(connection, connection.sasl)


def _tls_contradictions(tls: TlsConfig) -> Iterator[tuple[str, str, str]]:
    if (tls.certificate_file is None) != (tls.key_file is None):
        missing = "certificate_file" if tls.certificate_file is None else "key_file"
        yield f"tls.{missing}", "is missing", "a client certificate needs its key, give both"
    for setting in ("key_password_env", "key_password_file"):
        if getattr(tls, setting) is not None and tls.key_file is None:
            yield f"tls.{setting}", "there is no key to open", "give key_file, or leave it out"
    if tls.key_password_env is not None and tls.key_password_file is not None:
        advice = "leave out one of them"
        yield "tls.key_password_file", "contradicts key_password_env", advice


def _sasl_contradictions(
    connection: ConnectionConfig, sasl: SaslConfig
) -> Iterator[tuple[str, str, str]]:
    if connection.kerberos is not None:
        yield "kerberos", "contradicts sasl", "give one of the two tables"
    if sasl.password_env is None and sasl.password_file is None:
        advice = "name an environment variable with it, or a file with password_file"
        yield "sasl.password_env", "is missing", advice
    if sasl.password_env is not None and sasl.password_file is not None:
        yield "sasl.password_file", "contradicts password_env", "leave out one of them"
    if sasl.mechanism == "PLAIN" and connection.tls is None:
        hosts = [parse_address(server)[0] for server in connection.bootstrap_servers]
        beyond = [host for host in hosts if not is_loopback(host)]
        if beyond and not sasl.insecure:
            problem = f"PLAIN without TLS sends the password readable to {beyond[0]}"
            advice = "add a tls table, or choose SCRAM-SHA-512, or accept it with insecure = true"
            yield "sasl.mechanism", problem, advice
    elif sasl.insecure:
        problem = "has a meaning only for PLAIN without TLS"
        yield "sasl.insecure", problem, "leave it out"


_PATHS = (
    ("tls", ("ca_file", "certificate_file", "key_file", "key_password_file")),
    ("sasl", ("password_file",)),
    ("kerberos", ("keytab_file", "krb5_file")),
)


def make_paths_absolute(tree: dict[str, Any], directory: Path) -> None:
    """Resolves the paths of one connection against a directory, in place.

    Args:
        tree: The connection as JSON types; what is not of the right type is left to the checks.
        directory: What relative paths are relative to.
    """
    for table, names in _PATHS:
        section = tree.get(table)
        if not isinstance(section, dict):
            continue
        for name in names:
            path = section.get(name)
            if isinstance(path, str) and path:
                section[name] = os.path.abspath(directory / path)


def relative_paths(connection: ConnectionConfig) -> list[str]:
    """The fields whose path is relative, such as ``tls.ca_file``."""
    return [
        f"{table}.{name}"
        for table, names in _PATHS
        if (section := getattr(connection, table)) is not None
        for name in names
        if (path := getattr(section, name)) is not None and not os.path.isabs(path)
    ]


def connection_dict(connection: ConnectionConfig) -> dict[str, Any]:
    """As JSON types, defaults included; tables that are not there are left out."""
    tree: dict[str, Any] = msgspec.to_builtins(connection)
    return {name: value for name, value in tree.items() if value is not None}
