"""``cachesvc connection test``."""

from __future__ import annotations

import json
from pathlib import Path

import grpc

from cachesvc.v1 import connection_test_pb2 as pb
from cachesvc.v1 import connections_pb2 as connections
from tests.support.ports import free_ports
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService


def answer(name: str, status: int, detail: str, **more: str) -> pb.TestConnectionResponse:
    check = pb.ConnectionCheck(name=name, status=status, detail=detail, **more)  # type: ignore[arg-type]
    return pb.TestConnectionResponse(check=check)


GOOD = (
    answer("name", pb.CHECK_PASSED, "b:9093: 10.0.0.1"),
    answer("tls", pb.CHECK_WARNING, "ends", hint="renew it", reason="CERTIFICATE_EXPIRES_SOON"),
    answer("write", pb.CHECK_SKIPPED, "nothing is written to a pure source"),
)
BAD = answer("port", pb.CHECK_FAILED, "b:9093: refused", hint="start it", reason="PORT_CLOSED")


def test_a_line_per_check_and_its_hint(run: Run, service: FakeService) -> None:
    service.answer("TestConnection", *GOOD)
    result = run("connection", "test", "orders", "--timeout", "3")
    assert result.exit_code == 0, result.output
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "✓ name b:9093: 10.0.0.1",
        "! tls ends",
        "→ renew it (CERTIFICATE_EXPIRES_SOON)",
        "– write nothing is written to a pure source",
    ]
    assert service.requests == [pb.TestConnectionRequest(name="orders", timeout_s=3)]


def test_other_addresses_are_tried_before_they_are_saved(run: Run, service: FakeService) -> None:
    stored = connections.Connection(name="orders", bootstrap_servers=["a:1"], topic_expression="o")
    service.answer("GetConnection", connections.GetConnectionResponse(connection=stored))
    service.answer("ListConnections", connections.ListConnectionsResponse(connections=[stored]))
    service.answer("TestConnection", *GOOD)
    for name in (["orders"], []):
        service.requests.clear()
        result = run("connection", "test", *name, "--kafka", "b:1,c:1")
        assert result.exit_code == 0, result.output
        request = service.requests[-1]
        assert isinstance(request, pb.TestConnectionRequest)
        meant = request.settings
        assert list(meant.bootstrap_servers) == ["b:1", "c:1"]
        assert (meant.name, meant.topic_expression) == ("orders", "o")
    service.answer("ListConnections", connections.ListConnectionsResponse())
    result = run("connection", "test", "--kafka", "b:1")
    assert result.exit_code == 4
    assert "the service has: none" in result.stderr


def test_a_failed_check_is_exit_code_1(run: Run, service: FakeService) -> None:
    service.answer("TestConnection", GOOD[0], BAD)
    result = run("connection", "test")
    assert result.exit_code == 1
    assert "✗ port" in result.stdout
    assert result.stderr == "error: the test of the connection failed: port\n"


def test_json_is_one_list(run: Run, service: FakeService) -> None:
    service.answer("TestConnection", GOOD[0], BAD)
    result = run("connection", "test", "--json")
    assert result.exit_code == 1
    name, port = json.loads(result.stdout)
    assert name == {
        "name": "name",
        "status": "CHECK_PASSED",
        "detail": "b:9093: 10.0.0.1",
        "hint": "",
        "reason": "",
        "took_s": 0.0,
    }
    assert (port["status"], port["reason"]) == ("CHECK_FAILED", "PORT_CLOSED")


def test_an_unknown_connection(run: Run, service: FakeService) -> None:
    code = grpc.StatusCode.NOT_FOUND
    service.refuse("TestConnection", code, "there is no connection 'x'", "UNKNOWN_CONNECTION")
    result = run("connection", "test", "x")
    assert result.exit_code == 4
    assert "there is no connection 'x'" in result.stderr


def _file(directory: Path, *names: str) -> str:
    port = free_ports(1)[0]
    path = directory / "cachesvc.toml"
    tables = [
        f'[[connections]]\nname = "{name}"\nbootstrap_servers = ["127.0.0.1:{port}"]\n'
        for name in names
    ]
    path.write_text("\n".join([f'[store]\npath = "{directory}"\n', *tables]))
    return str(path)


def test_a_connection_of_a_file_needs_no_service(
    run: Run, service: FakeService, tmp_path: Path
) -> None:
    result = run("connection", "test", "--config", _file(tmp_path, "only"), "--json")
    assert result.exit_code == 1
    found = {check["name"]: check for check in json.loads(result.stdout)}
    assert found["name"]["status"] == "CHECK_PASSED"
    assert found["port"]["reason"] == "PORT_CLOSED"
    assert found["clock"]["status"] == "CHECK_SKIPPED"
    assert found["clock"]["detail"] == "port failed"
    assert service.requests == []


def test_a_file_with_several_connections_needs_a_name(run: Run, tmp_path: Path) -> None:
    file = _file(tmp_path, "one", "two")
    unnamed = run("connection", "test", "--config", file)
    assert unnamed.exit_code == 4
    assert "it has: one, two" in unnamed.stderr
    assert run("connection", "test", "two", "--config", file).exit_code == 1
    assert "no connection 'three'" in run("connection", "test", "three", "--config", file).stderr
