"""The gRPC server: listeners, TLS, health, reflection, and a clean end."""

import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from cachesvc.errors import InvalidConfig, PreconditionFailed
from cachesvc.serving.call_counting import CallCounting
from cachesvc.serving.handlers import public_handler
from cachesvc.v1 import (
    admin_pb2,
    log_cache_pb2,
    log_cache_pb2_grpc,
    mining_pb2,
    mining_pb2_grpc,
)
from cachesvc.watching.calls import Calls

_LOG_CACHE = log_cache_pb2.DESCRIPTOR.services_by_name["LogCache"]
_ADMIN = admin_pb2.DESCRIPTOR.services_by_name["Admin"]
SERVICES = (
    _LOG_CACHE.full_name,
    _ADMIN.full_name,
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


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen.

    Attributes:
        address: HOST:PORT; port 0 means any free one.
        certificate: PEM of the server's certificate chain; None for plain text.
        key: PEM of its key.
        socket: The Unix socket for readers of this machine.
    """

    address: str
    certificate: bytes | None
    key: bytes | None
    socket: Path


class Server:
    """A gRPC server with all services of cachesvc.

    Args:
        listen: Where.
        log_cache: Answers sync tasks.
        admin: Parts that together answer operators.
        mining: Answers readers.
        calls: Counts calls.
    """

    def __init__(
        self,
        listen: Listen,
        log_cache: log_cache_pb2_grpc.LogCacheServicer,
        admin: Sequence[object],
        mining: mining_pb2_grpc.MiningServicer,
        calls: Calls,
    ) -> None:
        self._listen = listen
        self._server = grpc.aio.server(interceptors=[CallCounting(calls)], options=OPTIONS)
        self._health = health.aio.HealthServicer()
        self._server.add_generic_rpc_handlers(
            (
                public_handler(_LOG_CACHE, log_cache, ready={"Subscribe"}),
                public_handler(_ADMIN, *admin),
            )
        )
        mining_pb2_grpc.add_MiningServicer_to_server(mining, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    def bind(self) -> int:
        """Takes the address; returns the port. Nothing is served before ``start``.

        Raises:
            PreconditionFailed: The address is in use or cannot be bound.
        """
        listen = self._listen
        port = bind_address(
            self._server, listen.address, listen.certificate, listen.key, "server.listen"
        )
        with contextlib.suppress(FileNotFoundError):
            self._listen.socket.unlink()
        self._server.add_insecure_port(f"unix:{self._listen.socket}")
        return port

    async def start(self) -> None:
        """Serves."""
        await self._server.start()
        self._listen.socket.chmod(0o600)
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def announce_end(self) -> None:
        """Tells health checks that this service is about to end."""
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Ends: no new calls, at most ``grace_s`` for those under way."""
        await self._server.stop(grace_s)
        with contextlib.suppress(FileNotFoundError):
            self._listen.socket.unlink()

    async def _set_health(self, status: int) -> None:
        for service in ("", *SERVICES):
            await self._health.set(service, status)


def bind_address(
    server: grpc.aio.Server,
    address: str,
    certificate: bytes | None,
    key: bytes | None,
    setting: str,
) -> int:
    """Takes an address for a server, with TLS if there is a key pair; returns the port.

    Raises:
        PreconditionFailed: The address is in use or cannot be bound; ``setting`` is where it is
            configured.
    """
    try:
        if certificate is None or key is None:
            return int(server.add_insecure_port(address))
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        flag = "--listen HOST:PORT or " if setting == "server.listen" else ""
        raise PreconditionFailed(
            f"cannot listen on {address}: is another program using the port, or is the address "
            f"not one of this machine? Choose another with {flag}{setting}",
            reason="ADDRESS_IN_USE",
            metadata={"address": address},
        ) from error


def read_key_pair(certificate: str | None, key: str | None) -> tuple[bytes | None, bytes | None]:
    """The contents of two PEM files that belong together; None for both where there are none.

    Raises:
        InvalidConfig: One cannot be read, or they are not a certificate and its key.
    """
    if certificate is None or key is None:
        return None, None
    found = _read(certificate), _read(key)
    try:
        # gRPC would not say what is wrong. A key with a passphrase fails, rather than ask for it.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise InvalidConfig(
            f"{certificate} and {key} are not a certificate and its key ({error.reason or error}); "
            "name PEM files that fit, the key without a passphrase"
        ) from error
    return found


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidConfig(
            f"cannot read {path}: {error.strerror}; name a PEM file that this user may read"
        ) from error
