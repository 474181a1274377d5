"""What a real service lets one caller have, and where it answers operators."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cachesvc.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    log_cache_pb2,
    log_cache_pb2_grpc,
    models_pb2,
)
from tests.support.ports import HOST, free_ports
from tests.support.service import ServiceProcess

NOWHERE = f"{HOST}:1"
_WAVES = 10
Service = tuple[ServiceProcess, str]
"""A service, and where it answers operators."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    (port,) = free_ports(1)
    settings: dict[str, dict[str, Any]] = {
        "server": {"admin_listen": f"{HOST}:{port}"},
        "callers": {"calls_per_s_max": 50, "request_bytes_max": 65_536},
    }
    directory = tmp_path_factory.mktemp("callers")
    with ServiceProcess(directory, NOWHERE, settings) as running:
        yield running, f"{HOST}:{port}"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cachesvc", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def _reason(error: grpc.RpcError) -> tuple[str, error_details_pb2.RetryInfo | None]:
    status = rpc_status.from_call(cast(grpc.Call, error))
    assert status is not None
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    details = list(status.details)
    assert details[0].Unpack(info)
    return info.reason, retry if len(details) > 1 and details[1].Unpack(retry) else None


def test_operators_are_answered_at_an_address_of_their_own(service: Service) -> None:
    running, admin = service
    there = _run("jobs", "--address", admin, "--json")
    assert there.returncode == 0, there.stderr
    assert {job["name"] for job in json.loads(there.stdout)} >= {"expire", "sweep"}
    assert _run("lag", "--address", admin).returncode == 0, "both services are there"
    refused = _run("jobs", "--address", running.address)
    assert refused.returncode == 5
    assert "server.admin_listen" in refused.stderr
    socket = f"unix:{Path(running.store) / 'service.sock'}"
    assert _run("jobs", "--address", socket).returncode == 0
    with grpc.insecure_channel(running.address) as channel:
        stub: Any = admin_pb2_grpc.AdminStub(channel)
        with pytest.raises(grpc.RpcError) as elsewhere:
            list(stub.RunJob(admin_pb2.RunJobRequest(name="seal"), timeout=30))
        assert _reason(elsewhere.value)[0] == "ADMIN_ELSEWHERE"
        with pytest.raises(grpc.RpcError) as unknown:
            stub.DescribeModel(models_pb2.DescribeModelRequest(topic="x"), timeout=30)
        assert _reason(unknown.value)[0] != "ADMIN_ELSEWHERE", "tasks begin with it"
        tasks: Any = log_cache_pb2_grpc.LogCacheStub(channel)
        tasks.ListSubscriptions(log_cache_pb2.ListSubscriptionsRequest(), timeout=30)


def test_who_calls_too_often_or_asks_too_much_is_told_so(service: Service) -> None:
    running, _ = service
    with grpc.insecure_channel(running.address) as channel:
        tasks: Any = log_cache_pb2_grpc.LogCacheStub(channel)
        request = log_cache_pb2.ListSubscriptionsRequest()
        answered, errors = 0, list[grpc.RpcError]()
        for _ in range(_WAVES):
            # On a machine that takes seconds to send them they are not too many.
            calls = [tasks.ListSubscriptions.future(request, timeout=60) for _ in range(150)]
            errors += [error for call in calls if (error := call.exception()) is not None]
            answered += sum(call.exception() is None for call in calls)
            if len(errors) >= 50:
                break
        assert answered and len(errors) >= 50, f"{len(errors)} refused, {answered} answered"
        reasons = [_reason(error) for error in errors]
        assert {reason for reason, _ in reasons} == {"RATE_LIMITED"}
        assert all(retry is not None for _, retry in reasons)
        too_large = log_cache_pb2.GetSubscriptionRequest(subscription="x" * 70_000)
        with pytest.raises(grpc.RpcError) as large:
            tasks.GetSubscription(too_large, timeout=30)
        assert _reason(large.value) == ("REQUEST_TOO_LARGE", None)
