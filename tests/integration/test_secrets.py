"""G13, the connections' part: secrets are in no log, answer, file of the store, or output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import connections_pb2 as pb
from cachesvc.v1 import log_cache_pb2 as log_cache
from tests.faults.stage import CALL_S, Calls, eventually, refusal
from tests.support.sasl_stand_in import SaslStandIn
from tests.support.service import ServiceProcess

IN_VARIABLE = "s3cret-of-the-variable"
IN_FILE = "s3cret-of-the-file"
OF_KEY = "s3cret-of-the-key"
PART = "s3cret"


def texts(directory: Path, leave_out: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a directory, with what is in it."""
    for path in directory.rglob("*"):
        if path.is_file() and path != leave_out:
            yield path, path.read_bytes()


def key_pair(directory: Path) -> tuple[str, str]:
    """A certificate, and a key that only a passphrase opens."""
    certificate, key = directory / "c.pem", directory / "k.pem"
    command = "openssl req -x509 -newkey rsa:2048 -days 2 -subj /CN=localhost -passout"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), f"pass:{OF_KEY}", *files], check=True, capture_output=True)
    return str(certificate), str(key)


def command_lines(pids: Iterable[int]) -> str:
    """How processes were started, which everybody on the machine can see."""
    return " ".join(" ".join(psutil.Process(pid).cmdline()) for pid in pids)


def run(*arguments: str) -> str:
    """What a command says, on both streams."""
    done = subprocess.run(
        [sys.executable, "-m", "cachesvc", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def _listed(calls: Calls) -> list[pb.Connection]:
    answer = calls.admin.ListConnections(pb.ListConnectionsRequest(), timeout=CALL_S)
    return list(answer.connections)


def test_secrets_are_seen_by_brokers_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", IN_VARIABLE)
    monkeypatch.setenv("KEY_PASSWORD", OF_KEY)
    file = tmp_path / "password"
    file.write_text(f"{IN_FILE}\n")
    with SaslStandIn(IN_VARIABLE) as right, SaslStandIn("another") as wrong:
        # Dotted keys, because the table of the connection is written as one.
        sasl = {"mechanism": "PLAIN", "username": "u", "password_env": "BROKER_PASSWORD"}
        settings = {f"sasl.{name}": value for name, value in sasl.items()}
        service = ServiceProcess(tmp_path / "service", right.address, connection=settings)
        with service, Calls(service.address) as calls:
            second = pb.ConnectionSasl(mechanism="PLAIN", username="u", password_file=str(file))
            made = pb.Connection(name="wrong", bootstrap_servers=[wrong.address], sasl=second)
            request = pb.CreateConnectionRequest(connection=made)
            answers = [str(calls.admin.CreateConnection(request, timeout=CALL_S))]
            certificate, key = key_pair(tmp_path)
            tls = pb.ConnectionTls(
                certificate_file=certificate, key_file=key, key_password_env="KEY_PASSWORD"
            )
            made = pb.Connection(name="key", bootstrap_servers=[wrong.address], tls=tls)
            request = pb.CreateConnectionRequest(connection=made)
            answers.append(str(calls.admin.CreateConnection(request, timeout=CALL_S)))
            eventually(lambda: {IN_VARIABLE} == set(right.seen), "a login")
            eventually(lambda: {IN_FILE} == set(wrong.seen), "a login that fails")
            reasons = {"", "AUTHENTICATION_FAILED", "TLS_HANDSHAKE_FAILED"}
            eventually(
                lambda: {each.error_reason for each in _listed(calls)} == reasons, "looks", 30
            )
            listed = _listed(calls)
            assert [each.reachable for each in listed] == [True, False, False]
            answers += [
                str(listed),
                str(calls.admin.GetConnection(pb.GetConnectionRequest(name="wrong"))),
                str(calls.admin.GetConfig(admin.GetConfigRequest())),
            ]
            subscribe = log_cache.SubscribeRequest(
                subscription="s", connection="wrong", topics=["t"], mode=log_cache.FULL
            )
            call = calls.log_cache.Subscribe(subscribe, timeout=CALL_S)
            code, reason, metadata = refusal(lambda: next(call))
            assert reason == "AUTHENTICATION_FAILED", code
            answers.append(json.dumps(metadata) + call.details())
            config = tmp_path / "service" / "cachesvc.toml"
            at = ("--address", service.address)
            answers += [
                run("config", "show", "--config", str(config)),
                run("config", "show", "--service", *at),
                run("connection", "list", "--json", *at),
                run("connection", "show", "wrong", *at),
                run("connection", "update", "wrong", "--set", "agent=x", *at),
            ]
            answers.append(command_lines([service.pid, *service.reader_pids()]))
            assert all(answers)
        assert "BROKER_PASSWORD" in "".join(answers), "where it is found may be told"
        assert PART not in "".join(answers)
    seen = dict(texts(tmp_path, leave_out=file))
    assert service.log_path in seen and service.store / "catalogue.duckdb" in seen
    assert [path for path, data in seen.items() if PART.encode() in data] == []
    assert os.environ["BROKER_PASSWORD"] == IN_VARIABLE
