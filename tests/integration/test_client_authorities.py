"""Who signs the certificates of callers, and that it changes while the service runs."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.cli.failure import UNREACHABLE
from cachesvc.client import Client, TimedOut, Tls, Unavailable
from cachesvc.serving.local_socket import socket_path
from cachesvc.v1 import access_pb2, admin_pb2_grpc, watching_pb2
from tests.faults.stage import eventually
from tests.support.certificate_service import CertificateService
from tests.support.certificates import Authority, Certificate
from tests.support.commands import run_command

ANSWER_S = 30.0
SOON_S = 10.0
SHORT_S = 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SUBJECT = "CN=billing,O=Example"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "old", "Old")


@pytest.fixture
def service(authority: Authority, tmp_path: Path) -> Iterator[CertificateService]:
    with CertificateService(tmp_path, authority, "subject") as running:
        access(running, "set-principal", SUBJECT, "--role", "admin")
        yield running


def access(service: CertificateService, *words: str) -> None:
    """Changes who may call, as the service's own user."""
    local = f"unix:{socket_path(service.store)}"
    done = run_command(service, "access", *words, address=local)
    assert done.returncode == 0, done.stderr


def whoami(channel: grpc.Channel) -> str:
    stub: Any = admin_pb2_grpc.AdminStub(channel)
    found = stub.GetCaller(access_pb2.GetCallerRequest(), timeout=ANSWER_S)
    return f"{found.principal} by {found.proof}"


def code_of(service: CertificateService, found: Certificate) -> grpc.StatusCode:
    """How the first call of a new connection ends."""
    with service.channel_with(found) as channel:
        try:
            whoami(channel)
        except grpc.RpcError as error:
            failed: Any = error
            return failed.code()  # type: ignore[no-any-return]
    return grpc.StatusCode.OK


def watching(channel: grpc.Channel) -> Any:
    stub: Any = admin_pb2_grpc.AdminStub(channel)
    return stub.WatchMining(watching_pb2.WatchMiningRequest(interval_s=0.1), timeout=120)


def end_of(stream: Any, within_s: float) -> grpc.StatusCode:
    """How a stream ends, which it has to do in time."""
    until_s = time.monotonic() + within_s
    try:
        for _ in stream:
            assert time.monotonic() < until_s, "the stream goes on"
    except grpc.RpcError as error:
        failed: Any = error
        return failed.code()  # type: ignore[no-any-return]
    return grpc.StatusCode.OK


def renewals(service: CertificateService) -> int:
    return len(service.events("tls_renewed"))


def unusable(service: CertificateService, times: int) -> bool:
    return len(service.events("tls_unusable")) >= times


def trust(service: CertificateService, *authorities: Authority) -> None:
    """Replaces the file of authorities, and waits until it counts."""
    before = renewals(service)
    service.trust(*authorities)
    eventually(lambda: renewals(service) > before, "the authorities to be read anew")


def test_authorities_change_while_connections_and_streams_go_on(
    service: CertificateService, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "new", "New")
    old, new = (each.issue("billing", organization="Example") for each in (authority, other))
    who = f"{SUBJECT} by certificate"
    assert code_of(service, new) is grpc.StatusCode.UNAVAILABLE
    with service.channel_with(old) as open_before:
        stream = watching(open_before)
        next(stream)
        trust(service, authority, other)  # as a rotation begins
        for each in (old, new):
            with service.channel_with(each) as channel:
                assert whoami(channel) == who
        trust(service, other)  # and ends
        assert code_of(service, old) is grpc.StatusCode.UNAVAILABLE
        with service.channel_with(new) as channel:
            assert whoami(channel) == who
        # Who was there before keeps the connection, and all that it opens, ...
        for _ in range(3):
            next(stream)
        assert whoami(open_before) == who
        # ... until the principal goes.
        access(service, "disable-principal", SUBJECT)
        assert end_of(stream, SOON_S) is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as refused:
            whoami(open_before)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_file_that_has_no_authorities_is_not_taken(
    service: CertificateService, authority: Authority
) -> None:
    task = authority.issue("billing", organization="Example")
    for count, wrong in enumerate(("no PEM", ""), 1):
        service.clients.write_text(wrong)
        eventually(partial(unusable, service, count), "it to be looked at")
        assert code_of(service, task) is grpc.StatusCode.OK
    assert service.running and not renewals(service)


def test_a_session_does_not_outlive_the_authority_that_it_began_with(
    service: CertificateService, authority: Authority, tmp_path: Path
) -> None:
    """TLS may take a session up again without looking at certificates."""
    task = authority.issue("billing", organization="Example")
    context = ssl.create_default_context(cafile=str(service.ca))
    context.load_cert_chain(task.certificate, task.key)
    context.set_alpn_protocols(["h2"])
    host, _, port = service.address.rpartition(":")

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        with (
            socket.create_connection((host, int(port)), timeout=ANSWER_S) as plain,
            context.wrap_socket(plain, server_hostname=host, session=session) as secured,
        ):
            secured.sendall(PREFACE)
            assert secured.recv(1 << 12), "it was hung up on"
            return secured.session, bool(secured.session_reused)

    session, _ = connect(None)
    assert session is not None
    trust(service, Authority(tmp_path / "new", "New"))
    with pytest.raises((OSError, AssertionError)):
        connect(session)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("expired", "certificate has expired"),
        ("of another authority", "CERTIFICATE_VERIFY_FAILED"),
        ("none", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    ],
)
def test_whoever_has_no_valid_certificate_is_told_soon_and_the_log_says_why(
    service: CertificateService, authority: Authority, tmp_path: Path, wrong: str, why: str
) -> None:
    stranger = Authority(tmp_path / "stranger", "Old")  # it calls itself what the other is called
    shown = {
        "expired": authority.issue("billing", days=-1, organization="Example"),
        "of another authority": stranger.issue("billing", organization="Example"),
        "none": None,
    }[wrong]
    files = () if shown is None else (shown.certificate, shown.key)

    async def ask() -> None:
        tls = Tls(service.ca, *files)
        async with Client(service.address, tls=tls, call_timeout_s=SOON_S) as client:
            await client.list_subscriptions()

    assert why not in service.log_path.read_text()
    with pytest.raises(Unavailable) as refused:
        asyncio.run(ask())
    assert not isinstance(refused.value, TimedOut)
    words = zip(("--cert-file", "--key-file"), map(str, files), strict=False)
    options = ("--ca-file", str(service.ca), *(word for pair in words for word in pair))
    done = run_command(service, "access", "whoami", *options)
    assert done.returncode == UNREACHABLE
    assert "--cert-file" in done.stderr and "its log says why" in done.stderr
    assert why in service.log_path.read_text()


def test_a_certificate_that_expires_opens_nothing_more_on_an_open_connection(
    service: CertificateService, authority: Authority
) -> None:
    task = authority.issue("billing", organization="Example")
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=SHORT_S)
    with service.channel_with(authority.cut_short(task, end)) as channel:
        stream = watching(channel)
        next(stream)
        assert end_of(stream, SHORT_S + SOON_S) is grpc.StatusCode.UNAUTHENTICATED
        assert datetime.now(UTC) >= end
        with pytest.raises(grpc.RpcError) as refused:
            whoami(channel)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "not valid now" in str(refused.value)
