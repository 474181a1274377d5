"""An HTTP proxy before a real S3 server that refuses requests, or damages what is put."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
_TIMEOUT_S = 30.0
_REFUSAL = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>slow</Message></Error>"
_FORBIDDEN = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class S3Faults:
    """Forwards to a server on this machine, but for what it was told to refuse. A context manager.

    What ends an upload waits for its parts that are on their way: what a server makes of a part
    that comes behind the end is its own affair.

    Attributes:
        port: Where it listens.
        refused: Requests that were refused.
        forbidden: Requests whose path and query have this are answered with 403; empty: none.
        forwarded: Those that were not.
        damaged: Bodies in which a bit was turned.
    """

    def __init__(self, port: int) -> None:
        self.refused = self.forwarded = self.damaged = 0
        self.forbidden = ""
        self._to_refuse = 0
        self._to_damage = 0
        self._puts = 0
        self._put_ended = Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                with outer._in_order(self.command):
                    self._serve_now()

            def _serve_now(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(size)
                if len(body) < size:  # whoever put it has given it up
                    self.close_connection = True
                    return
                if outer.forbidden and outer.forbidden in self.path:
                    self._answer(403, [("Content-Type", "application/xml")], _FORBIDDEN)
                    return
                if outer._refuses():
                    self._answer(503, [("Content-Type", "application/xml")], _REFUSAL)
                    return
                body = outer._damages(self.command, body)
                self._answer(*self._forwarded(body))

            def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                upstream = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
                try:
                    upstream.request(self.command, self.path, body, dict(self.headers))
                    answer = upstream.getresponse()
                    return answer.status, answer.getheaders(), answer.read()
                finally:
                    upstream.close()

            def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                if "content-length" not in {name.lower() for name, _ in headers}:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nobody reads it."""

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, daemon=True)

    @contextmanager
    def _in_order(self, command: str) -> Iterator[None]:
        """Has what is deleted wait for what is being put."""
        with self._put_ended:
            if command == "DELETE":
                self._put_ended.wait_for(lambda: not self._puts, _TIMEOUT_S)
            self._puts += command == "PUT"
        try:
            yield
        finally:
            with self._put_ended:
                self._puts -= command == "PUT"
                self._put_ended.notify_all()

    def refuse(self, count: int) -> None:
        """Has the next so many requests refused with 503 SlowDown; 0: none any more."""
        self._to_refuse = count

    def damage(self, count: int) -> None:
        """Has one bit in the middle of the next so many bodies turned that are put."""
        self._to_damage = count

    def _damages(self, command: str, body: bytes) -> bytes:
        if command != "PUT" or not body or self._to_damage <= 0:
            return body
        self._to_damage -= 1
        self.damaged += 1
        middle = len(body) // 2
        return b"%b%c%b" % (body[:middle], body[middle] ^ 1, body[middle + 1 :])

    def _refuses(self) -> bool:
        if self._to_refuse > 0:
            self._to_refuse -= 1
            self.refused += 1
            return True
        self.forwarded += 1
        return False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
