"""The HTTP listener with the certificates of the service."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cachesvc.app.web import Web
from cachesvc.errors import InvalidConfig
from cachesvc.serving.tls import TlsFiles, TlsPaths
from cachesvc.settings.config import Config, HttpConfig, ServerConfig, check_fields, http_speaks_tls
from tests.support.certificates import Authority, Certificate
from tests.support.ports import HOST

WAIT_S = 60
WITH_CERTIFICATE = ServerConfig(tls_certificate_file="/c.pem", tls_key_file="/k.pem")


def put(certificate: Certificate, directory: Path) -> TlsPaths:
    paths = TlsPaths(str(directory / "c.pem"), str(directory / "k.pem"))
    shutil.copy(certificate.certificate, paths.certificate)
    shutil.copy(certificate.key, paths.key)
    return paths


@contextmanager
def listening(tls: TlsFiles) -> Iterator[int]:
    with Web.serving(Config(http=HttpConfig(listen=f"{HOST}:0", tls=True)), tls) as web:
        assert web.port is not None
        yield web.port


def serial(port: int, authority: Authority) -> str:
    """Of the certificate that is shown to a new connection."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with (
        socket.create_connection((HOST, port), WAIT_S) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        found = connection.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


def test_new_certificates_are_shown_to_new_connections(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    first, second = (authority.issue(name, [f"IP:{HOST}"]) for name in ("first", "second"))
    files = TlsFiles(put(first, tmp_path))
    context = ssl.create_default_context(cafile=str(authority.certificate))
    with listening(files) as port, httpx.Client(verify=context, timeout=WAIT_S) as client:
        assert client.get(f"https://{HOST}:{port}/livez").status_code == 200
        before = serial(port, authority)
        put(second, tmp_path)
        assert serial(port, authority) == before
        files.look()
        assert serial(port, authority) != before
        assert client.get(f"https://{HOST}:{port}/livez").status_code == 200, "it goes on"
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{HOST}:{port}/livez", timeout=WAIT_S)


@pytest.mark.parametrize(
    ("listen", "tls", "certificate", "speaks"),
    [
        (None, None, True, False),
        ("", None, True, False),
        ("127.0.0.1:7071", None, True, False),
        ("127.0.0.1:7071", True, True, True),
        ("0.0.0.0:7071", None, True, True),
        ("0.0.0.0:7071", False, True, False),
        ("0.0.0.0:7071", None, False, False),
    ],
)
def test_where_it_speaks_tls(
    listen: str | None, tls: bool | None, certificate: bool, speaks: bool
) -> None:
    server = WITH_CERTIFICATE if certificate else ServerConfig()
    config = Config(http=HttpConfig(listen=listen, insecure=True, tls=tls), server=server)
    check_fields(config, "test")
    assert http_speaks_tls(config) is speaks


def test_it_needs_a_certificate() -> None:
    with pytest.raises(InvalidConfig, match=r"http\.tls: there is no certificate"):
        check_fields(Config(http=HttpConfig(tls=True)), "test")
