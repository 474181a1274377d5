"""Connecting to listeners that are not as they should be: what is said, and what is not."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import errors

from cachesvc.errors import ConnectionUnusable, SourceUnreachable
from cachesvc.mining.kafka import kerberos
from cachesvc.mining.kafka.cluster import Cluster
from cachesvc.mining.kafka.failures import Attempt, connect_failure, told
from cachesvc.mining.kafka.security import Security, open_broker, prepare
from cachesvc.mining.kafka.settings import KafkaSettings
from cachesvc.settings.connection import KerberosConfig, SaslConfig, TlsConfig
from tests.support.sasl_stand_in import SaslStandIn

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[object, object, None]]
SCRAM = SaslConfig(mechanism="SCRAM-SHA-512", username="u", password_env="PASSWORD")
KERBEROS = KerberosConfig(principal="u@EXAMPLE.ORG", keytab_file="/no/such.keytab")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for "elsewhere" that has signed itself, and its key with passphrase s3cret."""
    directory = tmp_path_factory.mktemp("pair")
    certificate, key = directory / "c.pem", directory / "k.pem"
    subject = (
        "-subj /CN=elsewhere -addext subjectAltName=DNS:elsewhere -days 2 -passout pass:s3cret"
    )
    command = f"openssl req -x509 -newkey rsa:2048 {subject} -keyout {key} -out {certificate}"
    subprocess.run(command.split(), check=True, capture_output=True)
    return certificate, key


@asynccontextmanager
async def listening(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A listener that is no broker; answers its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


def refused(
    security: Security, handler: Handler = hang_up, context: ssl.SSLContext | None = None
) -> SourceUnreachable:
    """How connecting to such a listener fails."""

    async def connect() -> None:
        async with listening(handler, context) as port, asyncio.timeout(60):
            await open_broker("127.0.0.1", port, security)

    with pytest.raises(SourceUnreachable) as caught:
        asyncio.run(connect())
    return caught.value


def server_context(pair: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair, password="s3cret")
    return context


# TLS


def test_an_authority_that_is_not_trusted(pair: tuple[Path, Path]) -> None:
    error = refused(Security(tls=TlsConfig()), context=server_context(pair))
    assert error.reason == "CERTIFICATE_UNTRUSTED"
    assert "tls.ca_file" in str(error)


def test_a_certificate_for_another_host(pair: tuple[Path, Path]) -> None:
    security = Security(tls=TlsConfig(ca_file=str(pair[0])))
    error = refused(security, context=server_context(pair))
    assert error.reason == "HOST_NAME_MISMATCH"
    assert "127.0.0.1" in str(error)


def test_the_host_check_can_be_left_out(pair: tuple[Path, Path]) -> None:
    security = Security(tls=TlsConfig(ca_file=str(pair[0]), check_hostname=False))
    error = refused(security, context=server_context(pair))
    # TLS is fine then; that the listener hangs up is not.
    assert type(error) is SourceUnreachable


def test_tls_to_a_listener_without(pair: tuple[Path, Path]) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async def words(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n")

    security = Security(tls=TlsConfig(ca_file=str(pair[0])))
    for handler, kind in (
        # Brokers that end do so too.
        (hang_up, SourceUnreachable),
        (reset, SourceUnreachable),
        (words, ConnectionUnusable),
    ):
        error = refused(security, handler)
        assert type(error) is kind, handler
        assert error.reason == "TLS_HANDSHAKE_FAILED"
        assert "speak TLS on this port" in str(error)


def test_plain_text_to_a_listener_with_tls(pair: tuple[Path, Path]) -> None:
    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(bytes.fromhex("15030300020250"))

    error = refused(Security(), handler=alert)
    assert error.reason == "TLS_REQUIRED"
    error = refused(Security())
    assert type(error) is SourceUnreachable
    assert "does it ask for TLS on this port?" in str(error)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (10, "CERTIFICATE_EXPIRED"),
        (9, "CERTIFICATE_NOT_YET_VALID"),
        (20, "CERTIFICATE_UNTRUSTED"),
        (64, "HOST_NAME_MISMATCH"),
        (23, "TLS_HANDSHAKE_FAILED"),
    ],
)
def test_what_openssl_says_of_a_certificate(code: int, reason: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "why"
    found = connect_failure(Attempt("b", 1, tls=True), error)
    assert isinstance(found, ConnectionUnusable)
    assert found.reason == reason
    assert found.metadata == {"host": "b", "port": "1"}


def test_a_broker_that_refuses_the_clients_certificate() -> None:
    alert = ssl.SSLError(1, "[SSL] x")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    closed = errors.KafkaConnectionError("Connection at b:1 closed")
    closed.__cause__ = alert
    found = connect_failure(Attempt("b", 1, tls=True), closed)
    assert found.reason == "CLIENT_CERTIFICATE_REFUSED"


@pytest.mark.parametrize(
    ("changes", "reason", "place"),
    [
        ({"ca_file": "/no/such.pem"}, "TLS_FILES_UNUSABLE", "/no/such.pem"),
        ({"ca_file": __file__}, "TLS_FILES_UNUSABLE", __file__),
        ({"key_file": "/no/key.pem"}, "TLS_FILES_UNUSABLE", "/no/key.pem"),
        ({"key_password_env": "WRONG"}, "TLS_FILES_UNUSABLE", "key_password_env"),
        ({"key_password_env": None}, "TLS_FILES_UNUSABLE", "key_password_env"),
        ({"key_password_env": "NO_SUCH"}, "SECRET_MISSING", "NO_SUCH"),
    ],
)
def test_files_that_are_not_as_they_should_be(
    pair: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    reason: str,
    place: str,
) -> None:
    monkeypatch.setenv("RIGHT", "s3cret")
    monkeypatch.setenv("WRONG", "wr0ng")
    settings: dict[str, Any] = {
        "ca_file": str(pair[0]),
        "certificate_file": str(pair[0]),
        "key_file": str(pair[1]),
        "key_password_env": "RIGHT",
    }
    good = asyncio.run(prepare(Security(tls=TlsConfig(**settings))))
    assert good.ssl_context is not None
    with pytest.raises(ConnectionUnusable) as caught:
        asyncio.run(prepare(Security(tls=TlsConfig(**{**settings, **changes}))))
    assert caught.value.reason == reason
    assert place in str(caught.value)
    assert "wr0ng" not in str(caught.value)


# Authentication


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (errors.SaslAuthenticationFailed("Invalid credentials"), "AUTHENTICATION_FAILED"),
        (errors.UnsupportedSaslMechanismError("x"), "SASL_MECHANISM_UNSUPPORTED"),
        (errors.IllegalSaslStateError("x"), "SASL_MECHANISM_UNSUPPORTED"),
        (ValueError("Server sent wrong signature!"), "AUTHENTICATION_FAILED"),
        (KeyError("v"), "AUTHENTICATION_FAILED"),
    ],
)
def test_what_the_broker_says_of_credentials(cause: Exception, reason: str) -> None:
    found = connect_failure(Attempt("::1", 9092, mechanism="SCRAM-SHA-256"), cause)
    assert isinstance(found, ConnectionUnusable)
    assert found.reason == reason
    assert str(found).startswith("[::1]:9092: ")
    assert told(found).startswith(f"{reason}: ")


def test_trouble_that_passes_stays_retriable() -> None:
    no_host = UnicodeError("label empty or too long")
    for cause in (ConnectionRefusedError(111, "refused"), TimeoutError(), no_host):
        found = connect_failure(Attempt("b", 1, mechanism="PLAIN"), cause)
        assert type(found) is SourceUnreachable
        assert told(found) == str(found)


def test_the_names_of_kafka() -> None:
    assert Security().protocol == "PLAINTEXT"
    assert Security(tls=TlsConfig()).protocol == "SSL"
    assert Security(password=SCRAM).protocol == "SASL_PLAINTEXT"
    both = Security(tls=TlsConfig(), kerberos=KERBEROS)
    assert (both.protocol, both.mechanism) == ("SASL_SSL", "GSSAPI")


def test_a_password_is_read_anew_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    security = Security(password=SCRAM)
    for password in ("s3cret", "rotated"):
        monkeypatch.setenv("PASSWORD", password)
        prepared = asyncio.run(prepare(security))
        assert prepared.password == password
        assert password not in f"{prepared!r} {security!r}"


# Kerberos


def test_a_keytab_that_is_not_there() -> None:
    with pytest.raises(ConnectionUnusable) as caught:
        asyncio.run(prepare(Security(kerberos=KERBEROS)))
    assert caught.value.reason == "KEYTAB_MISSING"
    assert "/no/such.keytab" in str(caught.value)


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "k").touch()
    settings = KerberosConfig(
        principal="u", keytab_file=str(tmp_path / "k"), krb5_file="/no/krb5.conf"
    )
    with pytest.raises(ConnectionUnusable, match=r"/no/krb5\.conf") as caught:
        asyncio.run(prepare(Security(kerberos=settings)))
    assert caught.value.reason == "KERBEROS_FAILED"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, "KERBEROS_UNAVAILABLE"),
        (0, "KERBEROS_FAILED"),
        (-1765328228, "KDC_UNREACHABLE"),
        (-1765328230, "KDC_UNREACHABLE"),
        (-1765328347, "CLOCK_SKEW"),
        (-1765328203, "KEYTAB_MISSING"),
        (-1765328189, "KEYTAB_MISSING"),
        (-1765328378, "AUTHENTICATION_FAILED"),
        (-1765328360, "AUTHENTICATION_FAILED"),
        (-1765328377, "KERBEROS_FAILED"),
        (-1765328248, "KERBEROS_FAILED"),
    ],
)
def test_what_the_kerberos_library_says(code: int | None, reason: str) -> None:
    found = kerberos.login_failure(KERBEROS, "kafka@b", "words of the library", code)
    assert found.reason == reason
    assert "words of the library" in str(found)
    assert isinstance(found, ConnectionUnusable) == (reason != "KDC_UNREACHABLE")


PROGRAM = """
import base64, json, os, sys
def say(**message): print(json.dumps(message), flush=True)
def token(text): return base64.b64encode(text.encode()).decode()
say(token=token(" ".join(sys.argv[1:]) + " " + os.environ.get("KRB5_CONFIG", "-")), last=False)
answer = base64.b64decode(json.loads(sys.stdin.readline())["token"]).decode()
if answer == "die": sys.exit(1)
if answer == "hang": sys.stdin.read()
if answer == "fail": say(error="no", code=-1765328347)
say(token=token(f"you said {answer}"), last=True)
sys.stdin.read()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login program that needs no Kerberos."""
    path = tmp_path / "login.py"
    path.write_text(PROGRAM)
    monkeypatch.setattr(kerberos, "_PROGRAM", path)


@pytest.mark.usefixtures("program")
def test_tokens_go_to_and_fro() -> None:
    async def log_in() -> None:
        settings = KerberosConfig(principal="u@R", keytab_file="/k", krb5_file="/krb5.conf")
        login = kerberos.KerberosLogin(settings, "broker")
        assert await login.step(None) == (b"u@R /k kafka@broker /krb5.conf", True)
        assert await login.step(b"hello") == (b"you said hello", False)
        assert await login.step(b"") is None
        await login.close()
        await login.close()

    asyncio.run(log_in())


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("answer", "reason"), [(b"die", "KERBEROS_FAILED"), (b"fail", "CLOCK_SKEW")]
)
def test_a_login_that_fails(answer: bytes, reason: str) -> None:
    async def log_in() -> None:
        login = kerberos.KerberosLogin(KERBEROS, "broker")
        await login.step(None)
        with pytest.raises(ConnectionUnusable) as caught:
            await login.step(answer)
        assert caught.value.reason == reason
        await login.close()

    asyncio.run(log_in())


@pytest.mark.usefixtures("program")
def test_a_login_that_hangs_can_be_given_up() -> None:
    async def log_in() -> None:
        login = kerberos.KerberosLogin(KERBEROS, "broker")
        await login.step(None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await login.step(b"hang")
        await login.close()

    asyncio.run(log_in())


# A cluster


def test_a_broker_that_wants_authentication_hangs_up() -> None:
    async def ask(address: str) -> None:
        cluster = Cluster(KafkaSettings(bootstrap_servers=(address,)))
        with pytest.raises(SourceUnreachable) as caught:
            await cluster.metadata(None)
        assert caught.value.reason == "AUTHENTICATION_REQUIRED"
        await cluster.close()

    with SaslStandIn("x") as stand_in:
        asyncio.run(ask(stand_in.address))


def test_a_broker_that_refuses_is_left_alone_for_a_while() -> None:
    connections = 0

    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.read(1)
        writer.write(bytes.fromhex("15030300020250"))

    async def ask() -> None:
        async with listening(alert) as port:
            settings = KafkaSettings(bootstrap_servers=(f"127.0.0.1:{port}",))
            cluster = Cluster(settings)
            for _ in range(20):
                with pytest.raises(ConnectionUnusable) as caught:
                    await cluster.metadata(None)
                assert caught.value.reason == "TLS_REQUIRED"
            assert connections == 1
            # Another cluster knows nothing of it.
            with pytest.raises(ConnectionUnusable):
                await Cluster(replace(settings, client_id="other")).metadata(None)
            assert connections == 2
            await cluster.close()

    asyncio.run(ask())
