"""Connections as messages, and messages as connections."""

from typing import Any

from google.protobuf.message import Message

from cachesvc.model import NonJsonPolicy
from cachesvc.settings.connection import (
    ConnectionConfig,
    connection_dict,
    parse_connection,
    relative_paths,
)
from cachesvc.settings.validation import setting_error
from cachesvc.v1 import connections_pb2 as pb

_SOURCE = "request"
_POLICIES = {NonJsonPolicy.REJECT.value: pb.REJECT, NonJsonPolicy.STOP.value: pb.STOP}
_STATE_FIELDS = frozenset(
    {
        "reachable",
        "error",
        "error_reason",
        "in_file",
        "created_ms",
        "updated_ms",
        "cluster_id",
        "foreign_addresses",
        "secrets_elsewhere",
    }
)


def connection_message(settings: dict[str, Any], **state: Any) -> pb.Connection:
    """The message of a connection.

    Args:
        settings: As ``connection_dict`` makes them.
        state: The fields that requests ignore.
    """
    policy = _POLICIES[settings.get("non_json_policy", NonJsonPolicy.REJECT.value)]
    return pb.Connection(**{**settings, "non_json_policy": policy, **state})


def message_of(config: ConnectionConfig, **state: Any) -> pb.Connection:
    """Likewise, from checked settings."""
    return connection_message(connection_dict(config), **state)


def settings_of(message: pb.Connection) -> dict[str, Any]:
    """The settings in a message as JSON types; those that are left out are not there."""
    settings = _present(message)
    policies = {number: name for name, number in _POLICIES.items()}
    policy = settings.pop("non_json_policy", pb.NON_JSON_POLICY_UNSPECIFIED)
    if policy != pb.NON_JSON_POLICY_UNSPECIFIED:
        settings["non_json_policy"] = policies.get(policy, str(policy))
    return settings


def connection_of(message: pb.Connection, field: str = "connection") -> ConnectionConfig:
    """The connection that a request means; ``field`` is the one that has it.

    Raises:
        InvalidConfig: A setting is missing or wrong, or a path is relative: it would be to a
            directory that the caller does not know.
    """
    config = parse_connection(settings_of(message), _SOURCE, field)
    for path in relative_paths(config):
        problem, advice = "is a relative path", "give an absolute one, on the service's machine"
        raise setting_error(_SOURCE, f"{field}.{path}", problem, advice)
    return config


def _present(message: Message) -> dict[str, Any]:
    """Fields that are set, by name; text that is empty stands for nothing."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name in _STATE_FIELDS:
            continue
        if field.is_repeated:
            found[field.name] = list(value)
        else:
            found[field.name] = _present(value) if isinstance(value, Message) else value
    return found
