"""Quotas of clients, as operators set them to protect brokers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from tests.support.kafka_broker import KafkaBroker
from tests.support.kafka_jars import version_tuple

_ALTER_CLIENT_QUOTAS = 49
_SINCE = (2, 6)
_TIMEOUT_S = 30.0


def limit_client(broker: KafkaBroker, client_id: str, quotas: Mapping[str, float]) -> None:
    """Set quotas for a client id, such as `consumer_byte_rate`.

    Raises:
        AssertionError: The broker refuses them.
    """
    if version_tuple(broker.version) < _SINCE:
        wanted = ",".join(f"{name}={value:.15g}" for name, value in quotas.items())
        entity = ("--entity-type", "clients", "--entity-name", client_id)
        change = ("--alter", *entity, "--add-config", wanted)
        broker.run_tool("kafka.admin.ConfigCommand", "--zookeeper", "{zookeeper}", *change)
        return
    host, port = broker.bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), _TIMEOUT_S) as connection:
        request = _request(client_id, quotas)
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _read(connection, 4))
        answer = _read(connection, size)
    # Correlation id, throttle time, one entry.
    _, _, entries, error_code = struct.unpack_from(">iiih", answer)
    assert (entries, error_code) == (1, 0), answer


def _request(client_id: str, quotas: Mapping[str, float]) -> bytes:
    """Kafka's AlterClientQuotas in version 0 (KIP-546)."""
    head = struct.pack(">hhi", _ALTER_CLIENT_QUOTAS, 0, 1) + _string("tests")
    entity = struct.pack(">i", 1) + _string("client-id") + _string(client_id)
    changes = [_string(name) + struct.pack(">d?", value, False) for name, value in quotas.items()]
    entry = entity + struct.pack(">i", len(changes)) + b"".join(changes)
    return head + struct.pack(">i", 1) + entry + struct.pack(">?", False)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the broker closed the connection"
        data += part
    return data
