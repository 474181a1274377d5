"""Errors of calls: what is said, and the exit code."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tests.support.ports import free_ports
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT", 2),
        (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", 3),
        (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CONNECTION", 4),
        (grpc.StatusCode.FAILED_PRECONDITION, "CONNECTION_REQUIRED", 5),
        (grpc.StatusCode.ABORTED, "SUBSCRIPTION_TAKEN_OVER", 5),
        (grpc.StatusCode.INTERNAL, "INTERNAL", 1),
        (grpc.StatusCode.UNAVAILABLE, "SOURCE_UNREACHABLE", 1),
        (grpc.StatusCode.UNAVAILABLE, "SOURCE_CHANGED", 1),
        (grpc.StatusCode.DATA_LOSS, "DAMAGED_FILE", 1),
    ],
)
def test_exit_codes(
    run: Run, service: FakeService, code: grpc.StatusCode, reason: str, exit_code: int
) -> None:
    service.refuse("ListTopics", code, "it is so", reason, b="2", a="1")
    result = run("topics")
    assert result.exit_code == exit_code
    assert result.stdout == ""
    start = f"error: it is so (service {service.address}, a=1, b=2, {reason}, request "
    assert result.stderr.startswith(start)
    assert result.stderr.count("\n") == 1


def test_what_to_do(run: Run, service: FakeService) -> None:
    code = grpc.StatusCode.NOT_FOUND
    service.refuse("GetSubscription", code, "there is none", "UNKNOWN_SUBSCRIPTION")
    result = run("subscriptions", "show", "x")
    assert result.stderr.endswith("; `cachesvc subscriptions` lists them\n")


def test_an_error_in_the_midst_of_a_stream(run: Run, service: FakeService) -> None:
    service.refuse("ListSegments", grpc.StatusCode.NOT_FOUND, "no topic", "UNKNOWN_TOPIC")
    result = run("segments", "--topic", "x")
    assert result.exit_code == 4
    assert result.stdout == ""


def test_an_error_without_details(run: Run, service: FakeService) -> None:
    service.refuse("ListTopics", grpc.StatusCode.UNIMPLEMENTED, "no such method")
    result = run("topics")
    assert result.exit_code == 1
    assert f"no such method (service {service.address}, UNIMPLEMENTED, request " in result.stderr


def test_nobody_listens(run: Run) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    result = run("topics", "--address", address)
    assert result.exit_code == 3
    assert f"error: no service answers at {address} (" in result.stderr
    assert f"start it with `cachesvc serve --listen {address}`" in result.stderr
    assert "give --ca-file" in result.stderr


def test_a_proxy_for_the_web_is_not_for_us(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert run("topics").exit_code == 0


def test_a_flag_wins_over_the_environment(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CACHESVC_ADDRESS", "127.0.0.1:1")
    assert run("jobs", "--address", service.address).exit_code == 0
    assert run("jobs", "--address", service.address, "history").exit_code == 0
    assert run("jobs", "history", "--address", service.address).exit_code == 0


@pytest.mark.parametrize("address", ["localhost", "::1:7070", "host:0", "host:x"])
def test_an_address_that_is_none(run: Run, address: str) -> None:
    result = run("topics", "--address", address)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {address!r}")


def test_a_certificate_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    result = run("topics", "--ca-file", str(tmp_path / "ca.pem"))
    assert result.exit_code == 2
    assert "ca.pem cannot be read: No such file or directory; give a PEM file" in result.stderr
