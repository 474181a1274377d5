"""``cachesvc connection``: what is sent to the service, and what is shown of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.serving.connection_messages import message_of
from cachesvc.settings.connection import parse_connection
from cachesvc.v1 import connections_pb2 as pb
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, TIME_MS

CONFIG = parse_connection(
    {
        "name": "orders",
        "bootstrap_servers": ["k1:9092", "[::1]:9092"],
        "tls": {"ca_file": "/etc/ca.pem"},
        "sasl": {"mechanism": "SCRAM-SHA-512", "username": "u", "password_env": "PASSWORD"},
    },
    "test",
)
MESSAGE = message_of(
    CONFIG,
    reachable=True,
    created_ms=TIME_MS,
    updated_ms=TIME_MS,
    cluster_id="ours",
    foreign_addresses=[pb.ForeignAddress(address="[::1]:9092", cluster_id="theirs")],
    secrets_elsewhere=["sasl.password_env"],
)


@pytest.fixture
def answering(service: FakeService) -> FakeService:
    service.answer("GetConnection", pb.GetConnectionResponse(connection=MESSAGE))
    service.answer("CreateConnection", pb.CreateConnectionResponse(connection=MESSAGE))
    service.answer("UpdateConnection", pb.UpdateConnectionResponse(connection=MESSAGE))
    return service


def test_show(run: Run, answering: FakeService) -> None:
    result = run("connection", "show", "orders")
    assert result.exit_code == 0, result.output
    shown = dict(line.split(":", 1) for line in result.stdout.splitlines())
    assert {name: value.strip() for name, value in shown.items()} == {
        "name": "orders",
        "type": "source",
        "bootstrap_servers": "k1:9092, [::1]:9092",
        "topic_expression": ".*",
        "non_json_policy": "reject",
        "log_caching": "yes",
        "store": "default",
        "agent": "-",
        "model_load_time": "02:00",
        "snapshot_expression": "-",
        "debezium_expression": "-",
        "tls.ca_file": "/etc/ca.pem",
        "tls.check_hostname": "yes",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password_env": "PASSWORD",
        "sasl.insecure": "no",
        "reachable": "yes",
        "cluster": "ours",
        "set aside": "[::1]:9092 leads to theirs",
        "secrets elsewhere": "sasl.password_env",
        "in the file": "no",
        "created": TIME,
        "updated": TIME,
    }
    as_json = json.loads(run("connection", "show", "orders", "--json").stdout)
    assert as_json["sasl"]["password_env"] == "PASSWORD"
    assert answering.requests[0] == pb.GetConnectionRequest(name="orders")


@pytest.mark.parametrize(
    ("state", "shown"),
    [({}, "not known yet"), ({"error": "no route"}, "no: no route"), ({"reachable": True}, "yes")],
)
def test_show_reachability(
    run: Run, service: FakeService, state: dict[str, Any], shown: str
) -> None:
    message = message_of(CONFIG, **state)
    service.answer("GetConnection", pb.GetConnectionResponse(connection=message))
    service.answer("ListConnections", pb.ListConnectionsResponse(connections=[message]))
    lines = run("connection", "show", "orders").stdout.splitlines()
    assert [line.split(":", 1)[1].strip() for line in lines if line.startswith("reach")] == [shown]
    listed = run("connection")
    assert listed.exit_code == 0
    assert f"  {shown.partition(':')[0]}" in listed.stdout
    assert listed.stdout == run("connection", "list").stdout == run("connections").stdout


def test_create_from_flags(
    run: Run, answering: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--kafka", "k1:9092,k2:9092", "--topics", "a.*"]
    settings = ["type=both", "log_caching=false", "tls.ca_file=ca.pem", "target.acks=all"]
    for setting in settings:
        flags += ["--set", setting]
    result = run("connection", "create", "orders", *flags)
    assert result.exit_code == 0, result.output
    (request,) = answering.seen(pb.CreateConnectionRequest)
    sent = request.connection
    assert list(sent.bootstrap_servers) == ["k1:9092", "k2:9092"]
    assert (sent.topic_expression, sent.type, sent.log_caching) == ("a.*", "both", False)
    assert sent.tls.ca_file == str(tmp_path / "ca.pem"), "relative to the working directory"
    assert sent.target.acks == "all"
    assert not sent.HasField("sasl")


def test_create_from_a_file(run: Run, answering: FakeService, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(
        '[[connections]]\nname = "other"\nbootstrap_servers = ["b:1"]\n'
        '[[connections]]\nname = "orders"\nbootstrap_servers = ["b:2"]\n'
        '[connections.sasl]\nmechanism = "PLAIN"\nusername = "u"\npassword_file = "p"\n'
        "insecure = true\n"
    )
    flags = ("--set", "agent=x", "--json")
    result = run("connection", "create", "orders", "--file", str(file), *flags)
    assert result.exit_code == 0, result.output
    (request,) = answering.seen(pb.CreateConnectionRequest)
    assert list(request.connection.bootstrap_servers) == ["b:2"]
    assert request.connection.sasl.password_file == str(tmp_path / "p")
    assert request.connection.agent == "x"
    assert json.loads(result.stdout)["name"] == "orders"


def test_update_changes_what_it_names(run: Run, answering: FakeService) -> None:
    changes = ("--set", "sasl.password_file=/p", "--unset", "sasl.password_env", "--unset", "tls")
    result = run("connection", "update", "orders", *changes)
    assert result.exit_code == 0, result.output
    (request,) = answering.seen(pb.UpdateConnectionRequest)
    sent = request.connection
    assert not sent.HasField("tls")
    assert (sent.sasl.username, sent.sasl.password_file) == ("u", "/p")
    assert sent.sasl.password_env == ""
    assert not sent.HasField("created_ms"), "state is the service's"


def test_accept(run: Run, service: FakeService) -> None:
    accepted = pb.AcceptClusterResponse(connection=MESSAGE, previous_cluster_id="former")
    service.answer("AcceptCluster", accepted)
    assert run("connection", "accept", "orders").stdout == (
        "accepted: orders leads to cluster ours from now on; before: former\n"
    )
    result = run("connection", "accept", "orders", "--cluster", "ours", "--json")
    assert json.loads(result.stdout)["previous_cluster_id"] == "former"
    assert service.requests == [
        pb.AcceptClusterRequest(name="orders"),
        pb.AcceptClusterRequest(name="orders", cluster_id="ours"),
    ]
    same = pb.AcceptClusterResponse(connection=MESSAGE, previous_cluster_id="ours")
    service.answer("AcceptCluster", same)
    assert run("connection", "accept", "orders").stdout == (
        "nothing to accept: orders leads to cluster ours, as before\n"
    )
    reason = "CLUSTER_AMBIGUOUS"
    refused = grpc.StatusCode.FAILED_PRECONDITION
    service.refuse("AcceptCluster", refused, "the addresses lead to several clusters", reason)
    result = run("connection", "accept", "orders")
    assert result.exit_code == 5
    assert "the addresses lead to several clusters" in result.stderr


def test_delete(run: Run, service: FakeService) -> None:
    assert run("connection", "delete", "orders").stdout == "deleted orders\n"
    assert service.requests == [pb.DeleteConnectionRequest(name="orders")]
    assert json.loads(run("connection", "delete", "orders", "--json").stdout) == {
        "deleted": "orders"
    }
    service.refuse(
        "DeleteConnection",
        grpc.StatusCode.FAILED_PRECONDITION,
        "subscriptions use it",
        "CONNECTION_IN_USE",
        subscriptions="billing",
    )
    result = run("connection", "delete", "orders")
    assert result.exit_code == 5
    assert "subscriptions=billing" in result.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("agnt", "--unset: agnt: no such setting; did you mean agent?"),
        ("tls.nothing", "--unset: tls.nothing: no such setting"),
        ("name", "a connection keeps its name"),
        ("bootstrap_servers", "bootstrap_servers: is missing"),
    ],
)
def test_what_cannot_be_unset(run: Run, answering: FakeService, setting: str, message: str) -> None:
    result = run("connection", "update", "orders", "--unset", setting)
    assert result.exit_code == 2
    assert message in result.stderr
    assert answering.seen(pb.UpdateConnectionRequest) == []


def test_what_is_not_there_may_be_unset(run: Run, answering: FakeService) -> None:
    result = run("connection", "update", "orders", "--unset", "kerberos.krb5_file")
    assert result.exit_code == 0, result.output
    assert not answering.seen(pb.UpdateConnectionRequest)[0].connection.HasField("kerberos")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "settings: bootstrap_servers: is missing; give one or more HOST:PORT"),
        (("--kafka", "b"), "settings: bootstrap_servers[0]: 'b' is not HOST:PORT"),
        (("--kafka", "b:1", "--set", "tls"), "--set 'tls': give SETTING=VALUE"),
        (("--kafka", "b:1", "--set", "name=x"), "--set name: a connection keeps its name"),
        (
            ("--kafka", "b:1", "--set", "agnt=x"),
            "agnt: no such setting; did you mean agent?",
        ),
        (("--kafka", "b:1", "--set", "type.x=y"), "settings: type: "),
        (("--kafka", "b:1", "--set", "name.x=y"), "name.x: name is no table"),
        (
            ("--kafka", "b:1", "--set", "log_caching=maybe"),
            "log_caching: expected `bool`, got",
        ),
        (
            ("--kafka", "b:1", "--set", "sasl.username=u"),
            "sasl.mechanism: is missing; give one of",
        ),
        (("--file", "absent.toml"), "absent.toml: cannot be read"),
        (
            ("--kafka", "b:1", "--topics", ""),
            "not 0; give an RE2 expression\n",
        ),
        (("--kafka", "b:1", "--topics", "(?=a)"), "RE2 expression, which has neither look-arounds"),
        (
            ("--kafka", "b:1", "--set", "agent=a b"),
            "agent: is not as it has to be; give a",
        ),
        (("--kafka", "b:1", "--set", "model_load_time=24:00"), "; give HH:MM, from 00:00 to 23:59"),
        (
            ("--kafka", "b:1", "--set", "tls=yes"),
            "tls: expected `object | null`, got",
        ),
    ],
)
def test_what_is_wrong_is_refused_before_it_is_sent(
    run: Run, service: FakeService, arguments: tuple[str, ...], message: str
) -> None:
    result = run("connection", "create", "orders", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert service.requests == []


def test_a_file_without_it(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    for text, message in (
        ('connections = "x"', "it has no [[connections]] with name = 'orders'"),
        ("[[connections]", "not TOML"),
    ):
        file.write_text(text)
        result = run("connection", "create", "orders", "--file", str(file))
        assert result.exit_code == 2
        assert message in result.stderr
