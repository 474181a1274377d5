"""Certificates of clients, with a real service."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from cachesvc.client import AccessDenied, Client, TimedOut, Tls, Unavailable
from cachesvc.serving.local_socket import socket_path
from tests.faults.stage import eventually
from tests.support.certificate_service import CertificateService
from tests.support.certificates import Authority, Certificate
from tests.support.commands import run_command


def test_a_certificate_says_who_calls_and_the_services_own_is_renewed(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "stranger")
    task = authority.issue("some task", ["billing.example", "IP:127.0.0.1"])
    nobody = authority.issue("other", ["other.example"])
    foreign = stranger.issue("some task", ["billing.example"])

    async def names(found: Certificate | None, ca: Path, token: str | None = None) -> int:
        tls = Tls(ca) if found is None else Tls(ca, found.certificate, found.key)
        async with Client(address, tls=tls, token=token, call_timeout_s=5) as client:
            return len(await client.list_subscriptions())

    with CertificateService(tmp_path, authority, "san") as service:
        address = service.address
        local = f"unix:{socket_path(service.store)}"
        for name in ("billing.example", "ops"):
            made = run_command(
                service, "access", "set-principal", name, "--role", "admin", address=local
            )
            assert made.returncode == 0, made.stderr
        token = run_command(service, "access", "create-token", "ops", address=local).stdout.strip()
        shown = ["--ca-file", str(service.ca), "--cert-file", str(task.certificate)]
        shown += ["--key-file", str(task.key)]
        caller = json.loads(run_command(service, "access", "whoami", "--json", *shown).stdout)
        assert (caller["principal"], caller["proof"]) == ("billing.example", "certificate")
        assert caller["expires_ms"] > time.time() * 1_000
        whoami = ["access", "whoami", "--json", *shown]
        caller = json.loads(run_command(service, *whoami, CACHESVC_TOKEN=token).stdout)
        assert (caller["principal"], caller["proof"]) == ("ops", "token")
        assert asyncio.run(names(task, service.ca)) == 0
        assert asyncio.run(names(nobody, service.ca, token)) == 0
        with pytest.raises(AccessDenied, match=r"other\.example"):
            asyncio.run(names(nobody, service.ca))
        for unknown in (None, foreign):
            with pytest.raises((Unavailable, TimedOut)):
                asyncio.run(names(unknown, service.ca))
        # Renewed without a restart: the next connection gets what another authority has signed.
        service.renew(stranger.issue("service", ["IP:127.0.0.1"]))
        eventually(lambda: service.events("tls_renewed"), "the other certificate to be taken")
        assert asyncio.run(names(task, stranger.certificate)) == 0
        with pytest.raises((Unavailable, TimedOut)):
            asyncio.run(names(task, service.ca))
