"""How a service listens: with TLS and a client that trusts it, in plain text only where meant."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cachesvc.client import Client, Mode, TimedOut, Tls, Unavailable
from tests.faults.stage import objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST, free_ports
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

CONFIG = 2
NOWHERE = f"{HOST}:1"


def _certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for this machine, and its key."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return certificate, key


def _tls(certificate: Path, key: Path) -> dict[str, dict[str, object]]:
    return {"server": {"tls_certificate_file": str(certificate), "tls_key_file": str(key)}}


@pytest.mark.kafka
def test_a_client_has_to_trust_the_certificate(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    topic = topic_name("tls")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 500))
    certificate, key = _certificate(tmp_path, "service")
    other, _ = _certificate(tmp_path, "other")

    async def read(tls: Tls | None, call_timeout_s: float) -> int:
        async with Client(service.address, tls=tls, call_timeout_s=call_timeout_s) as client:
            await client.list_subscriptions()
            async with client.subscribe("s", topics=[topic], mode=Mode.FULL) as stream:
                return sum([batch.record_count async for batch in stream])

    settings = _tls(certificate, key)
    with ServiceProcess(tmp_path, kafka.bootstrap, settings, ca_file=certificate) as service:
        assert asyncio.run(read(Tls(ca_file=certificate), 60)) == 500
        for stranger in (None, Tls(ca_file=other)):
            with pytest.raises((Unavailable, TimedOut)):
                asyncio.run(read(stranger, 2))


def test_plain_text_beyond_loopback_where_it_is_meant(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    listen: dict[str, object] = {"listen": f"0.0.0.0:{port}", "insecure": True}
    service = ServiceProcess(tmp_path, NOWHERE, {"server": listen})
    service.address = f"{HOST}:{port}"

    async def names() -> list[str]:
        async with Client(service.address) as client:
            return [found.name for found in await client.list_subscriptions()]

    with service:
        assert asyncio.run(names()) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("key of another", "service.key"),
        ("no certificate", "service.pem"),
        ("no key", "service.key"),
        ("not PEM", "service.pem"),
        ("key not named", "server.tls_key_file"),
    ],
)
def test_certificates_that_are_of_no_use(tmp_path: Path, change: str, named: str) -> None:
    certificate, key = _certificate(tmp_path, "service")
    _, other_key = _certificate(tmp_path, "other")
    match change:
        case "key of another":
            other_key.replace(key)
        case "no certificate":
            certificate.unlink()
        case "no key":
            key.unlink()
        case "not PEM":
            certificate.write_text("something else")
    lines = [f'tls_certificate_file = "{certificate}"', f'tls_key_file = "{key}"']
    if change == "key not named":
        lines.pop()
    config = tmp_path / "cachesvc.toml"
    config.write_text(
        "\n".join(
            [
                "[store]",
                f'path = "{tmp_path / "store"}"',
                "[server]",
                'listen = "127.0.0.1:0"',
                *lines,
                "[[connections]]",
                'name = "default"',
                f'bootstrap_servers = ["{NOWHERE}"]',
            ]
        )
    )
    command = [sys.executable, "-m", "cachesvc", "serve", "--config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == CONFIG, ended.stderr
    line = ended.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert named in line
