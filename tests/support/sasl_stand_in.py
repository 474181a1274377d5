"""A listener that speaks as much of Kafka's protocol as a login with PLAIN takes.

It stands in for a broker where a test is about passwords and not about records: it tells what was
sent to it, and knows no topics. Real brokers have their own tests.
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable, Container, Iterator
from types import TracebackType
from typing import Self

_METADATA, _HANDSHAKE, _VERSIONS, _AUTHENTICATE = 3, 17, 18, 36
_SPOKEN = {_METADATA: (5, 5), _HANDSHAKE: (1, 1), _VERSIONS: (0, 0), _AUTHENTICATE: (0, 0)}
_BEFORE_LOGIN: Container[int] = frozenset({_HANDSHAKE, _VERSIONS, _AUTHENTICATE})
_AUTHENTICATION_FAILED = 58
_NODE = 1
_REQUEST_BYTES_MAX = 1 << 20


class SaslStandIn:
    """Listens on 127.0.0.1 in threads of its own; used in ``with``.

    Attributes:
        password: The one that it takes; tests change it.
        seen: The passwords that it was given, in order.
    """

    def __init__(self, password: str) -> None:
        self.password = password
        self.seen: list[str] = []
        stand_in = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                allowed = _BEFORE_LOGIN
                for key, correlation, body in _requests(self.rfile.read):
                    if key not in allowed:
                        return
                    allowed = _SPOKEN if key == _AUTHENTICATE else allowed
                    answer = stand_in._answer(key, body)
                    framed = struct.pack(">i", correlation) + answer
                    self.wfile.write(struct.pack(">i", len(framed)) + framed)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def _answer(self, key: int, body: bytes) -> bytes:
        if key == _VERSIONS:
            versions = [struct.pack(">hhh", api, *span) for api, span in _SPOKEN.items()]
            return struct.pack(">hi", 0, len(versions)) + b"".join(versions)
        if key == _HANDSHAKE:
            return struct.pack(">hi", 0, 1) + _text("PLAIN")
        if key == _AUTHENTICATE:
            return self._log_in(body[4:])
        broker = struct.pack(">i", _NODE) + _text("127.0.0.1")
        broker += struct.pack(">ih", self._server.server_address[1], -1)
        return struct.pack(">ii", 0, 1) + broker + struct.pack(">hii", -1, _NODE, 0)

    def _log_in(self, token: bytes) -> bytes:
        _, _, password = token.decode().split("\0")
        self.seen.append(password)
        if password == self.password:
            return struct.pack(">hhi", 0, -1, 0)
        return struct.pack(">h", _AUTHENTICATION_FAILED) + _text("wrong") + struct.pack(">i", -1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _requests(read: Callable[[int], bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Key, correlation id and body of each request, until the client hangs up."""
    while len(head := read(4)) == 4:
        (size,) = struct.unpack(">i", head)
        if size > _REQUEST_BYTES_MAX:  # no request at all; brokers hang up as well
            return
        data = read(size)
        key, _, correlation, client = struct.unpack(">hhih", data[:10])
        yield key, correlation, data[10 + max(0, client) :]


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()
