"""What keeps a service from starting: each says what, where and what to do, and harms nothing."""

import socket
import subprocess
import sys
from pathlib import Path

import duckdb

from tests.support.ports import HOST, free_ports
from tests.support.service import ServiceProcess

CONFIG, REFUSED = 2, 5
NOWHERE = f"{HOST}:1"


def _serve(store: Path, *arguments: str, timeout_s: float = 60) -> tuple[int, str]:
    """Exit code and last line of a service that does not start."""
    command = [sys.executable, "-m", "cachesvc", "serve", "--store", str(store), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    return ended.returncode, ended.stderr.strip().splitlines()[-1]


def _plain(listen: str = f"{HOST}:0") -> list[str]:
    return ["--kafka", NOWHERE, "--topics", "orders", "--listen", listen]


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"
        code, line = _serve(tmp_path / "store", *_plain(address))
    assert code == REFUSED
    assert address in line
    assert "--listen" in line


def test_a_store_that_another_process_holds(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path, NOWHERE) as service:
        code, line = _serve(service.store, *_plain())
        assert code == REFUSED
        assert str(service.store) in line
        assert str(service.pid) in line
        assert service.running


def test_a_store_of_a_newer_format(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path, NOWHERE) as service:
        catalogue = service.store / "catalogue.duckdb"
    with duckdb.connect(str(catalogue)) as connection:
        connection.execute("update meta set format_version = 99")
    before = catalogue.read_bytes()
    code, line = _serve(service.store, *_plain())
    assert code == REFUSED
    assert "99" in line
    assert "nothing was changed" in line
    assert catalogue.read_bytes() == before


def test_a_catalogue_that_is_none(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.duckdb"
    catalogue.write_bytes(b"something else" * 1_000)
    before = catalogue.read_bytes()
    code, line = _serve(tmp_path, *_plain())
    assert code != 0
    assert str(catalogue) in line
    assert catalogue.read_bytes() == before


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, line = _serve(tmp_path / "file" / "store", *_plain())
    assert code == REFUSED
    assert str(tmp_path / "file" / "store") in line


def test_an_unknown_setting(tmp_path: Path) -> None:
    config = tmp_path / "cachesvc.toml"
    config.write_text(
        '[store]\nmemory_byte_max = 1\n[[connections]]\nname = "a"\nbootstrap_servers = ["b:1"]\n'
    )
    code, line = _serve(tmp_path / "store", "--config", str(config))
    assert code == CONFIG
    assert str(config) in line
    assert "store.memory_byte_max" in line
    assert not (tmp_path / "store").exists()


def test_listening_beyond_loopback_needs_tls_or_consent(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    code, line = _serve(tmp_path / "store", *_plain(f"0.0.0.0:{port}"))
    assert code == CONFIG
    assert "--insecure" in line
    assert not (tmp_path / "store").exists()


def test_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    certificate, key = tmp_path / "service.pem", tmp_path / "service.key"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    tls = {"tls_certificate_file": str(certificate), "tls_key_file": str(key)}
    service = ServiceProcess(tmp_path, NOWHERE, {"server": tls}, ca_file=certificate)
    with service:
        listed = subprocess.run(
            [
                *(sys.executable, "-m", "cachesvc", "subscriptions", "--json"),
                *("--address", service.address, "--ca-file", str(certificate)),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert listed.stdout.strip() == "[]"
