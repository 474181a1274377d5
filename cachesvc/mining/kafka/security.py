"""How a connection to a broker is made secure: TLS, user name and password, Kerberos.

``Security`` says what is wanted and knows no secret; ``prepare`` reads files and variables at the
moment of connecting, so that what was rotated counts from the next connection on; ``open_broker``
connects and says precisely what is wrong where that fails.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka.errors import KafkaError

from cachesvc.errors import ConnectionUnusable
from cachesvc.mining.kafka.broker_connection import BrokerConnection
from cachesvc.mining.kafka.failures import Attempt, connect_failure
from cachesvc.mining.kafka.kerberos import MECHANISM, KerberosLogin, check_files
from cachesvc.mining.kafka.secrets import read_secret
from cachesvc.settings.connection import KerberosConfig, SaslConfig, TlsConfig

_IDLE_CONNECTION_MS = 540_000
# What aiokafka's handshake raises where an answer is not as it has to be.
_MALFORMED = (ValueError, KeyError, AssertionError, EOFError)


@dataclass(frozen=True, slots=True)
class Security:
    """What a cluster's listener asks for. Has paths and names of variables, never a secret.

    Attributes:
        tls: Speak TLS; None for plain text.
        password: Authenticate with user name and password.
        kerberos: Authenticate with Kerberos; not together with ``password``.
    """

    tls: TlsConfig | None = None
    password: SaslConfig | None = None
    kerberos: KerberosConfig | None = None

    @property
    def mechanism(self) -> str | None:
        """Of SASL; None without authentication by it."""
        if self.password is not None:
            return self.password.mechanism
        return MECHANISM if self.kerberos is not None else None

    @property
    def protocol(self) -> str:
        """Kafka's name for the whole, such as SASL_SSL."""
        transport = "PLAINTEXT" if self.tls is None else "SSL"
        return transport if self.mechanism is None else f"SASL_{transport}"


PLAINTEXT = Security()
"""Neither TLS nor authentication."""


class _HasSecurity(Protocol):
    @property
    def tls(self) -> TlsConfig | None: ...
    @property
    def sasl(self) -> SaslConfig | None: ...
    @property
    def kerberos(self) -> KerberosConfig | None: ...


def security_of(connection: _HasSecurity) -> Security:
    """The security that a connection's settings mean."""
    return Security(connection.tls, connection.sasl, connection.kerberos)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was read for one attempt to connect.

    Attributes:
        ssl_context: None for plain text.
        password: None without one.
    """

    ssl_context: ssl.SSLContext | None = None
    password: str | None = field(default=None, repr=False)


async def prepare(security: Security) -> Prepared:
    """Reads certificates, keys and passwords, beside the event loop.

    Raises:
        ConnectionUnusable: Something is missing or makes no sense: ``SECRET_MISSING``,
            ``TLS_FILES_UNUSABLE``, ``KEYTAB_MISSING``.
    """
    if security == PLAINTEXT:
        return Prepared()
    return await asyncio.to_thread(_prepare, security)


def _prepare(security: Security) -> Prepared:
    context = None if security.tls is None else client_context(security.tls)
    password = None
    if security.password is not None:
        sasl = security.password
        password = read_secret(sasl.password_env, sasl.password_file, "sasl.password")
    if security.kerberos is not None:
        check_files(security.kerberos)
    return Prepared(context, password)


def client_context(tls: TlsConfig) -> ssl.SSLContext:
    """The TLS settings of a client, from the files that they name. Blocks.

    Raises:
        ConnectionUnusable: A file cannot be read or is not what it has to be
            (``TLS_FILES_UNUSABLE``), or the key's passphrase is missing (``SECRET_MISSING``).
    """
    passphrase = read_secret(tls.key_password_env, tls.key_password_file, "tls.key_password")
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        place = f"tls.ca_file: {tls.ca_file}"
        raise _unusable(place, error, "a PEM file with authorities") from error
    context.check_hostname = tls.check_hostname
    if tls.certificate_file is not None:
        try:
            # Without a passphrase OpenSSL would ask for it on the terminal.
            context.load_cert_chain(
                tls.certificate_file, tls.key_file, password=lambda: passphrase or ""
            )
        except OSError as error:
            place = f"tls.certificate_file, tls.key_file: {tls.certificate_file}, {tls.key_file}"
            what = "PEM files with a certificate and its key"
            what += ", and the key's passphrase in key_password_env if it has one"
            raise _unusable(place, error, what) from error
    return context


def _unusable(place: str, error: OSError, what: str) -> ConnectionUnusable:
    problem = getattr(error, "reason", None) or error.strerror or type(error).__name__
    return ConnectionUnusable(
        f"{place} cannot be used: {problem}; name {what}", reason="TLS_FILES_UNUSABLE"
    )


async def open_broker(
    host: str,
    port: int,
    security: Security,
    *,
    client_id: str = "cachesvc",
    request_timeout_s: float = 15.0,
) -> BrokerConnection:
    """Connects, authenticates, and learns what the broker speaks.

    Bounded in time only by ``request_timeout_s`` per step; the caller sets a limit on the whole.

    Raises:
        ConnectionUnusable: The settings do not open this broker; the reason says why not.
        SourceUnreachable: It does not answer.
    """
    prepared = await prepare(security)
    sasl, kerberos = security.password, security.kerberos
    login = None if kerberos is None else KerberosLogin(kerberos, host)
    connection = BrokerConnection(
        host,
        port,
        login=login,
        client_id=client_id,
        request_timeout_ms=int(request_timeout_s * 1000),
        max_idle_ms=_IDLE_CONNECTION_MS,
        security_protocol=security.protocol,
        ssl_context=prepared.ssl_context,
        sasl_mechanism=None if sasl is None else sasl.mechanism,
        sasl_plain_username=None if sasl is None else sasl.username,
        sasl_plain_password=prepared.password,
    )
    try:
        await connection.connect()
    except (KafkaError, OSError, TimeoutError, *_MALFORMED) as error:
        attempt = Attempt(host, port, tls=security.tls is not None, mechanism=security.mechanism)
        raise connect_failure(attempt, error) from _without_secrets(error)
    finally:
        if login is not None:
            await login.close()
    return connection


def _without_secrets(error: BaseException) -> BaseException | None:
    """A cause that may be shown; what the handshake itself raises may quote what was exchanged."""
    return None if isinstance(error, _MALFORMED) else error
