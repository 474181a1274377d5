"""Asking a broker whether it serves clients, in Kafka's own protocol and nothing installed."""

from __future__ import annotations

import socket
import struct

from tests.support.ports import HOST

_METADATA = 3
_VERSION = 1
_CORRELATION_ID = 7
_NO_CLIENT_ID = -1
_NO_TOPICS = 0
_REQUEST = struct.Struct(">ihhihi")
_RESPONSE_HEAD = struct.Struct(">iii")


def serves_metadata(port: int, timeout_s: float) -> bool:
    """Say whether the broker on this port of 127.0.0.1 lists at least one live broker.

    A KRaft broker lists itself once its controller has let it take part, so topics can be
    created and written from then on; an open port alone says much less.
    """
    body_bytes = _REQUEST.size - 4
    request = _REQUEST.pack(
        body_bytes, _METADATA, _VERSION, _CORRELATION_ID, _NO_CLIENT_ID, _NO_TOPICS
    )
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(request)
            head = _receive(connection, _RESPONSE_HEAD.size)
    except OSError:
        return False
    _, correlation_id, brokers = _RESPONSE_HEAD.unpack(head)
    return bool(correlation_id == _CORRELATION_ID and brokers > 0)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the broker closed the connection")
        data += chunk
    return data
