"""A webhook: a real HTTP server that takes, refuses, hangs, or goes away."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.support.ports import HOST


class WebhookServer:
    """Remembers what was posted. A context manager that listens on a port of its own.

    Attributes:
        posts: Bodies in the order in which they came, whatever the answer was.
        taken: Those that were answered with 2xx.
        tokens: The Authorization header of each post.
        status: What it answers.
    """

    def __init__(self, port: int = 0) -> None:
        self.posts: list[dict[str, Any]] = []
        self.taken: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []
        self.status = 200
        self._answering = threading.Event()
        self._answering.set()
        self._noting = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.posts.append(body)
                outer.tokens.append(self.headers["Authorization"])
                outer._answering.wait(60)
                # Whoever has its answer may post again before this is noted.
                with outer._noting:
                    self._answer(outer.status, body)

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                try:
                    self.send_response(status)
                    if status // 100 == 3:
                        self.send_header("Location", f"http://{HOST}:1/")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    return
                if status // 100 == 2:
                    outer.taken.append(body)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Whoever hangs up is no error."""

        self._server = Server((HOST, port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{HOST}:{self.port}/alarms?from=cachesvc"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05])

    def hang(self) -> None:
        """Takes requests and answers none until ``go_on``."""
        self._answering.clear()

    def go_on(self) -> None:
        """Answers."""
        self._answering.set()

    def wait_for(self, count: int, *, taken: bool = True, timeout_s: float = 60.0) -> None:
        """Waits until so many posts have come, or were taken.

        Raises:
            AssertionError: They have not.
        """
        deadline = time.monotonic() + timeout_s
        found = self.taken if taken else self.posts
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} posts: {found}"
            time.sleep(0.02)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.go_on()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
