"""Where the settings of a sink lead: addresses, security, and how is written."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cachesvc.errors import InvalidConfig
from cachesvc.settings.connection import (
    KAFKA_ACKS,
    Acks,
    Compression,
    ConnectionConfig,
    TargetConfig,
    check_connection,
    make_paths_absolute,
    parse_connection,
)
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.sinks.kafka.settings import KafkaSettings

_NAME = "sink"


@dataclass(frozen=True, slots=True)
class Target:
    """A cluster, and how it is written to.

    Attributes:
        connection: As the service would have it, of type ``target``.
        acks: Of ours.
        compression: Likewise.
        ignore_push_errors: Whether records that are refused may be kept apart.
        idempotent: Whether what is tried again is stored once.
    """

    connection: ConnectionConfig
    acks: Acks
    compression: Compression
    ignore_push_errors: bool
    idempotent: bool

    @property
    def kafka_acks(self) -> int:
        """What Kafka calls the acknowledgement."""
        return KAFKA_ACKS[self.acks]


def check_settings(settings: KafkaSettings) -> None:
    """What can be said without reading a file.

    Raises:
        InvalidTask: Settings contradict each other.
    """
    if settings.connection is not None:
        given = [
            name
            for name in ("bootstrap_servers", "tls", "sasl", "kerberos")
            if getattr(settings, name) is not None
        ]
        if given:
            raise InvalidTask(f"sink.{given[0]}: contradicts sink.connection; give one of them")
        if settings.connection_file is None:
            raise InvalidTask("sink.connection_file: is missing; name the service's TOML file")
        return
    if settings.connection_file is not None:
        raise InvalidTask("sink.connection: is missing; name a connection of connection_file")
    target_of(settings)


def target_of(settings: KafkaSettings) -> Target:
    """The target of settings; reads the service's file, if they name it. Blocks then.

    Raises:
        InvalidTask: Something is wrong, contradicts something else, or is not there.
    """
    if settings.connection is not None:
        connection = _from_file(Path(settings.connection_file or ""), settings.connection)
    else:
        connection = _given(settings)
    known = connection.target or TargetConfig()
    acks = known.acks if settings.acks is None else settings.acks
    ignore = settings.ignore_push_errors
    return Target(
        connection,
        acks,
        known.compression if settings.compression is None else settings.compression,
        known.ignore_push_errors if ignore is None else ignore,
        _idempotent(settings, acks),
    )


def _idempotent(settings: KafkaSettings, acks: Acks) -> bool:
    confirmed = KAFKA_ACKS[acks] == -1
    if settings.exactly_once and not confirmed:
        raise InvalidTask(
            f'sink.exactly_once: takes acks = "majority" or "all", and they are "{acks}"'
        )
    if settings.exactly_once and settings.idempotent is False:
        raise InvalidTask("sink.idempotent: transactions are idempotent; leave it out")
    if settings.idempotent and not confirmed:
        raise InvalidTask(
            f'sink.idempotent: takes acks = "majority" or "all", and they are "{acks}"'
        )
    return confirmed if settings.idempotent is None else settings.idempotent


def _given(settings: KafkaSettings) -> ConnectionConfig:
    if settings.bootstrap_servers is None:
        raise InvalidTask(
            "sink.bootstrap_servers: is missing; give HOST:PORT, or connection and connection_file"
        )
    connection = ConnectionConfig(
        name=_NAME,
        type="target",
        bootstrap_servers=settings.bootstrap_servers,
        tls=settings.tls,
        sasl=settings.sasl,
        kerberos=settings.kerberos,
    )
    try:
        check_connection(connection, "task", _NAME)
    except InvalidConfig as error:
        raise InvalidTask(str(error).removeprefix("task: ")) from error
    return connection


def _from_file(path: Path, name: str) -> ConnectionConfig:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidTask(
            f"sink.connection_file: {path} cannot be read: {error.strerror}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidTask(f"sink.connection_file: {path} is no TOML: {error}") from error
    found = _named(tree, name)
    if found is None:
        raise InvalidTask(f"sink.connection: there is no {name!r} in {path}")
    make_paths_absolute(found, path.parent.absolute())
    try:
        connection = parse_connection(found, str(path), "connections")
    except InvalidConfig as error:
        raise InvalidTask(str(error)) from error
    if connection.type == "source":
        raise InvalidTask(
            f'sink.connection: {name!r} is a pure source; give it type = "target" or "both"'
        )
    return connection


def _named(tree: dict[str, Any], name: str) -> dict[str, Any] | None:
    connections = tree.get("connections")
    for each in connections if isinstance(connections, list) else ():
        if isinstance(each, dict) and each.get("name") == name:
            return dict(each)
    return None
