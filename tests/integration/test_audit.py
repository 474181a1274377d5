"""Who changed what, of a real service, over kills."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.v1 import admin_pb2, admin_pb2_grpc, audit_pb2, connections_pb2
from tests.faults.stage import eventually
from tests.support.ports import HOST
from tests.support.service import ServiceProcess


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    directory = tmp_path_factory.mktemp("audit")
    settings: dict[str, dict[str, Any]] = {
        "audit": {"file": str(directory / "audit.jsonl")},
        # So long a call asks brokers that are away.
        "mining": {"answer_timeout_s": 120},
    }
    # It takes connections and says nothing; where they are refused a call may end at once.
    with socket.create_server((HOST, 0), backlog=1_000) as silent:
        bootstrap = f"{HOST}:{silent.getsockname()[1]}"
        with ServiceProcess(directory, bootstrap, settings) as running:
            yield running


def _stub(channel: grpc.Channel) -> Any:
    return admin_pb2_grpc.AdminStub(channel)


def _entries(service: ServiceProcess, **wanted: Any) -> list[audit_pb2.AuditEntry]:
    with grpc.insecure_channel(service.address) as channel:
        request = audit_pb2.ListAuditRequest(**wanted)
        return list(_stub(channel).ListAudit(request, timeout=30).entries)


def test_the_command_shows_what_others_changed_and_tried(service: ServiceProcess) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cachesvc", *words, "--address", service.address]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert run("jobs", "pause", "expire").returncode == 0
    assert run("subscriptions", "delete", "nobody").returncode == 4
    shown = run("audit", "--json", "--limit", "2")
    assert shown.returncode == 0, shown.stderr
    refused, paused = json.loads(shown.stdout)
    assert (paused["call"], json.loads(paused["request"])) == ("PauseJob", {"name": "expire"})
    assert (paused["outcome"], paused["principal"]) == ("OK", "anonymous")
    assert (refused["call"], refused["outcome"]) == ("DeleteSubscription", "NOT_FOUND")
    assert refused["reason"] == "UNKNOWN_SUBSCRIPTION"
    assert refused["address"].startswith("ipv4:127.0.0.1:")


def test_a_call_that_a_kill_cuts_off_is_not_forgotten(service: ServiceProcess) -> None:
    """Nobody answers at the address, so that accepting a cluster takes its time."""

    def accept() -> None:
        request = connections_pb2.AcceptClusterRequest(name="default", cluster_id="other")
        with grpc.insecure_channel(service.address) as channel, suppress(grpc.RpcError):
            _stub(channel).AcceptCluster(request, timeout=120)

    def newest() -> list[audit_pb2.AuditEntry]:
        return _entries(service, call="AcceptCluster", limit=1)

    calling = threading.Thread(target=accept)
    calling.start()
    found = eventually(newest, "the call to be noted")
    assert found[0].outcome == "STARTED"
    service.kill()
    calling.join(60)
    service.start()
    eventually(lambda: newest()[0].outcome != "STARTED", "what became of it")
    found = newest()
    assert found[0].outcome == "INTERRUPTED"
    assert not found[0].HasField("took_ms")
    with grpc.insecure_channel(service.address) as channel:
        _stub(channel).ResumeJob(admin_pb2.ResumeJobRequest(name="expire"), timeout=30)
    resumed, *before = _entries(service)
    assert (resumed.call, resumed.outcome) == ("ResumeJob", "OK")
    assert resumed.number == 1 + max(entry.number for entry in before)
    path = Path(service.config_path).with_name("audit.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    told = [line["outcome"] for line in lines if line["number"] == found[0].number]
    assert told == ["STARTED", "INTERRUPTED"]
