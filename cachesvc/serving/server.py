"""The gRPC server: listeners, TLS, health, reflection, and a clean end."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cachesvc.errors import PreconditionFailed
from cachesvc.serving.elsewhere import OperatorsElsewhere
from cachesvc.serving.handlers import public_handler
from cachesvc.serving.methods import Hold, Methods
from cachesvc.v1 import (
    admin_pb2,
    log_cache_pb2,
    log_cache_pb2_grpc,
    mining_pb2,
    mining_pb2_grpc,
)

LOG_CACHE = log_cache_pb2.DESCRIPTOR.services_by_name["LogCache"]
ADMIN = admin_pb2.DESCRIPTOR.services_by_name["Admin"]
SERVICES = (
    LOG_CACHE.full_name,
    ADMIN.full_name,
    mining_pb2.DESCRIPTOR.services_by_name["Mining"].full_name,
)
OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", -1),
    # Without it a second service on the same port would share it in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.bdp_probe", 1),
    ("grpc.http2.max_frame_size", 4 << 20),
)
_STRANGERS = (
    # Who says nothing once connected, or too little of TLS and HTTP/2, is in the way.
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Clients connect again by themselves when they have something to call.
    ("grpc.max_connection_idle_ms", 300_000),
    # Of headers; what is longer is refused, and what has no end ends its connection.
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.absolute_max_metadata_size", 32 << 10),
)
"""For listeners that everybody may reach."""
_TOLD_BYTES = 64 << 10
"""What a request may be over its bound to be refused by us, with a reason, rather than by gRPC."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen.

    Attributes:
        address: HOST:PORT; port 0 means any free one.
        tls: What is shown and asked for on both; None for plain text.
        socket: The Unix socket for readers of this machine.
        pages: That for the page in the browser.
        admin: HOST:PORT for operators, who are then refused at ``address``; None: there.
    """

    address: str
    tls: grpc.ServerCredentials | None
    socket: Path
    pages: Path
    admin: str | None = None


@dataclass(frozen=True, slots=True)
class Around:
    """What is between strangers and the services.

    Attributes:
        interceptors: Around every call from a network, the outermost first.
        local: Around every call on the socket.
        pages: Around every call on that of the page in the browser.
        request_bytes_max: Of a request from a network.
        connections_max: Of each listener.
        connection_calls_max: Under way on one connection.
        hold: Holds up who calls methods that nobody has.
    """

    interceptors: Sequence[grpc.aio.ServerInterceptor]
    local: Sequence[grpc.aio.ServerInterceptor]
    pages: Sequence[grpc.aio.ServerInterceptor]
    request_bytes_max: int
    connections_max: int
    connection_calls_max: int
    hold: Hold | None = None


class Server:
    """gRPC servers with all services: for the network, operators, this machine and pages.

    Args:
        listen: Where.
        log_cache: Answers sync tasks.
        admin: Parts that together answer operators.
        mining: Answers readers.
        around: What callers have to get through.
    """

    def __init__(
        self,
        listen: Listen,
        log_cache: log_cache_pb2_grpc.LogCacheServicer,
        admin: Sequence[object],
        mining: mining_pb2_grpc.MiningServicer,
        around: Around,
    ) -> None:
        self._listen = listen
        self._health = health.aio.HealthServicer()
        handlers = (
            public_handler(LOG_CACHE, log_cache, ready={"Subscribe"}),
            public_handler(ADMIN, *admin),
        )
        elsewhere = [] if listen.admin is None else [OperatorsElsewhere(ADMIN.full_name)]
        public = _options(around)
        self._local = grpc.aio.server(interceptors=[Methods(), *around.local], options=OPTIONS)
        self._pages = grpc.aio.server(
            interceptors=[Methods(around.hold), *around.pages], options=public
        )
        self._public = grpc.aio.server(
            interceptors=[Methods(around.hold), *around.interceptors, *elsewhere], options=public
        )
        self._admin = (
            None
            if listen.admin is None
            else grpc.aio.server(
                interceptors=[Methods(around.hold), *around.interceptors], options=public
            )
        )
        for server in self._servers():
            server.add_generic_rpc_handlers(handlers)
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        for server in (self._local, self._public):
            mining_pb2_grpc.add_MiningServicer_to_server(mining, server)

    def bind(self) -> tuple[int, int | None]:
        """Takes the addresses; returns the port, and that for operators if they have their own.

        Nothing is served before ``start``.

        Raises:
            PreconditionFailed: An address is in use or cannot be bound.
        """
        listen = self._listen
        port = bind_address(self._public, listen.address, listen.tls, "server.listen")
        admin_port = None
        if self._admin is not None and listen.admin is not None:
            admin_port = bind_address(self._admin, listen.admin, listen.tls, "server.admin_listen")
        for server, path in self._sockets():
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            server.add_insecure_port(f"unix:{path}")
        return port, admin_port

    async def start(self) -> None:
        """Serves."""
        for server in self._servers():
            await server.start()
        for _, path in self._sockets():
            path.chmod(0o600)
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def announce_end(self) -> None:
        """Tells health checks that this service is about to end."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Ends: no new calls, at most ``grace_s`` for those under way."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers()))
        for _, path in self._sockets():
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def _sockets(self) -> tuple[tuple[grpc.aio.Server, Path], ...]:
        return (self._local, self._listen.socket), (self._pages, self._listen.pages)

    def _servers(self) -> list[grpc.aio.Server]:
        servers = [self._local, self._pages, self._public]
        return servers if self._admin is None else [*servers, self._admin]

    async def _set_health(self, status: int) -> None:
        for service in ("", *SERVICES):
            await self._health.set(service, status)


def _options(around: Around) -> Sequence[tuple[str, int]]:
    """Of a listener that everybody may reach."""
    named = dict(OPTIONS) | dict(_STRANGERS)
    named["grpc.max_receive_message_length"] = around.request_bytes_max + _TOLD_BYTES
    named["grpc.max_allowed_incoming_connections"] = around.connections_max
    named["grpc.max_concurrent_streams"] = around.connection_calls_max
    return tuple(named.items())


def bind_address(
    server: grpc.aio.Server, address: str, tls: grpc.ServerCredentials | None, setting: str
) -> int:
    """Takes an address for a server, with TLS if there are credentials; returns the port.

    Raises:
        PreconditionFailed: The address is in use or cannot be bound; ``setting`` is where it is
            configured.
    """
    try:
        if tls is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, tls))
    except RuntimeError as error:
        flag = "--listen HOST:PORT or " if setting == "server.listen" else ""
        raise PreconditionFailed(
            f"cannot listen on {address}: is another program using the port, or is the address "
            f"not one of this machine? Choose another with {flag}{setting}",
            reason="ADDRESS_IN_USE",
            metadata={"address": address},
        ) from error
