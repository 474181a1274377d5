"""The HTTP listener, in a thread of its own."""

import asyncio
import socket
import ssl
import threading

import uvicorn
from starlette.applications import Starlette

from cachesvc.errors import PreconditionFailed
from cachesvc.policy.addresses import parse_address

_BACKLOG = 128
_CONNECTIONS_MAX = 256
_GRACE_S = 2


class WebServer:
    """Serves an application beside everything else. Made on any thread; ``bind`` comes first.

    Args:
        address: HOST:PORT; port 0 means any free one.
        application: What answers.
        tls: How it speaks TLS; None: it does not.
    """

    def __init__(
        self, address: str, application: Starlette, tls: ssl.SSLContext | None = None
    ) -> None:
        self._address = address
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                limit_concurrency=_CONNECTIONS_MAX,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_context_factory=None if tls is None else lambda *_: tls,
            )
        )
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def bind(self) -> int:
        """Takes the address; returns the port.

        Raises:
            PreconditionFailed: The address is in use or cannot be bound.
        """
        host, port = parse_address(self._address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as error:
            raise PreconditionFailed(
                f"cannot listen on {self._address} for HTTP: {error.strerror or error}; choose "
                'another address with http.listen, or "" for none',
                reason="ADDRESS_IN_USE",
                metadata={"address": self._address},
            ) from error
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Serves from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Ends, with a moment for requests under way. Blocking."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket] if self._socket else None))
