"""Asking a broker whether it serves clients, in Kafka's own protocol and nothing installed."""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection

from tests.support.ports import HOST

_METADATA = 3
_VERSION = 1
_CORRELATION_ID = 7
_NO_CLIENT_ID = -1
_NO_TOPICS, _ALL_TOPICS = 0, -1
_REQUEST = struct.Struct(">ihhihi")
_RESPONSE_HEAD = struct.Struct(">iii")


def serves_metadata(port: int, timeout_s: float, topics: Collection[str] = ()) -> bool:
    """Say whether the broker on this port of 127.0.0.1 lists a live broker, and these topics.

    A KRaft broker lists itself once its controller has let it take part, so topics can be
    created and written from then on; an open port alone says much less. One that uses ZooKeeper
    lists itself before it knows of the topics that it has.
    """
    wanted = _ALL_TOPICS if topics else _NO_TOPICS
    request = _REQUEST.pack(
        _REQUEST.size - 4, _METADATA, _VERSION, _CORRELATION_ID, _NO_CLIENT_ID, wanted
    )
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(request)
            head = _receive(connection, _RESPONSE_HEAD.size)
            size, correlation_id, brokers = _RESPONSE_HEAD.unpack(head)
            # Behind its length: what is left of a message whose length does not count itself.
            rest = _receive(connection, size + 4 - _RESPONSE_HEAD.size)
    except OSError:
        return False
    listed = all(_name(topic) in rest for topic in topics)
    return bool(correlation_id == _CORRELATION_ID and brokers > 0 and listed)


def _name(topic: str) -> bytes:
    """A name as the protocol writes it."""
    return struct.pack(">h", len(topic)) + topic.encode()


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the broker closed the connection")
        data += chunk
    return data
