"""The PEM files of listeners, read anew when they change."""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from cachesvc.errors import InvalidConfig

INTERVAL_S = 2.0
"""Between looks at the files."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsPaths:
    """PEM files.

    Attributes:
        certificate: The certificate chain of the server.
        key: Its key.
        client_ca: The authorities whose certificates clients have to show; None: they show none.
    """

    certificate: str
    key: str
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class _Contents:
    certificate: bytes
    key: bytes
    client_ca: bytes | None


class TlsFiles:
    """The files as they are now; ``run`` follows them. What does not fit together is not taken.

    A connection keeps what it began with; each new one gets what is newest.

    Args:
        paths: Where they are.

    Raises:
        InvalidConfig: One cannot be read, or they do not fit together.
    """

    def __init__(self, paths: TlsPaths) -> None:
        self._paths = paths
        self._taken = self._seen = _read_all(paths)
        self._context = _checked(paths)

    def credentials(self, *, for_clients: bool = True) -> grpc.ServerCredentials:
        """Credentials that follow the files.

        Args:
            for_clients: Whether clients show certificates, if there are authorities for them.
        """
        asked = for_clients and self._paths.client_ca is not None
        given = self._taken
        configuration = _configuration(given, asked)

        def newest() -> grpc.ServerCertificateConfiguration:
            nonlocal given, configuration
            if given is not self._taken:
                given = self._taken
                configuration = _configuration(given, asked)
            return configuration

        # gRPC cannot ask for a certificate without insisting on one.
        return grpc.dynamic_ssl_server_credentials(
            configuration, newest, require_client_authentication=asked
        )

    def context(self) -> ssl.SSLContext:
        """A context that follows the files, for listeners other than gRPC's; clients show none."""

        def take_newest(connection: ssl.SSLObject, name: str | None, first: ssl.SSLContext) -> None:
            connection.context = self._context

        context = _checked(self._paths)
        context.sni_callback = take_newest  # of every handshake, whether a name is asked for or not
        return context

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Follows the files until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Takes what is new, if it fits together; says so, and once if it does not. Blocking."""
        fields = {"certificate": self._paths.certificate}
        try:
            found = _read_all(self._paths)
            if found in (self._taken, self._seen):
                return
            self._seen = found
            context = _checked(self._paths)
            if found != _read_all(self._paths):  # in the middle of being replaced
                self._seen = self._taken
                return
        except InvalidConfig as error:
            extra = {"event": "tls_unusable", "error": str(error), **fields}
            _log.warning("new certificates are not taken", extra=extra)
            return
        self._taken, self._context = found, context
        _log.info("new certificates are taken", extra={"event": "tls_renewed", **fields})


def _configuration(contents: _Contents, asked: bool) -> grpc.ServerCertificateConfiguration:
    pairs = [(contents.key, contents.certificate)]
    roots = contents.client_ca if asked else None
    return grpc.ssl_server_certificate_configuration(pairs, root_certificates=roots)


def _read_all(paths: TlsPaths) -> _Contents:
    client_ca = None if paths.client_ca is None else _read(paths.client_ca)
    return _Contents(_read(paths.certificate), _read(paths.key), client_ca)


def _checked(paths: TlsPaths) -> ssl.SSLContext:
    """What Python makes of the files.

    Raises:
        InvalidConfig: They do not fit together.
    """
    # gRPC would not say what is wrong. A key with a passphrase fails, rather than ask for it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(paths.certificate, paths.key, password="")
    except OSError as error:  # of ssl as well
        reason = getattr(error, "reason", None) or error.strerror or error
        raise InvalidConfig(
            f"{paths.certificate} and {paths.key} are not a certificate and its key ({reason}); "
            "name PEM files that fit, the key without a passphrase"
        ) from error
    try:
        if paths.client_ca is not None:
            context.load_verify_locations(paths.client_ca)
    except OSError as error:
        raise InvalidConfig(
            f"{paths.client_ca} has no certificates of authorities ({error.strerror or error}); "
            "name a PEM file"
        ) from error
    return context


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidConfig(
            f"cannot read {path}: {error.strerror}; name a PEM file that this user may read"
        ) from error
