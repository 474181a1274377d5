"""What hands type without looking it up: each spelling does what the others do."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import connections_pb2 as connections
from cachesvc.v1 import filters_pb2 as filters
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import mining_tasks_pb2 as mining_tasks
from cachesvc.v1 import models_pb2 as models
from cachesvc.v1 import watching_pb2 as watching
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import batch, job, record, subscription, topic

GROUPS = ("topics", "subscriptions", "models", "mining", "connection", "jobs")


@pytest.fixture(autouse=True)
def _answers(service: FakeService) -> None:
    service.answer("ListTopics", admin.ListTopicsResponse(topics=[topic()]))
    service.answer("ListSubscriptions", log_cache.ListSubscriptionsResponse())
    service.answer(
        "GetSubscription", log_cache.GetSubscriptionResponse(subscription=subscription("orders"))
    )
    summary = models.ModelSummary(connection="main", topic="orders")
    service.answer(
        "DescribeModel", models.DescribeModelResponse(model=models.Model(summary=summary))
    )
    task = mining_tasks.MiningTask(name="orders", connection="orders")
    service.answer("ListMiningTasks", mining_tasks.ListMiningTasksResponse(tasks=[task]))
    found = connections.Connection(
        name="orders", bootstrap_servers=["kafka:9092"], topic_expression=".*", type="source"
    )
    service.answer("GetConnection", connections.GetConnectionResponse(connection=found))
    service.answer("ListConnections", connections.ListConnectionsResponse(connections=[found]))
    named = job()
    named.name = "orders"
    service.answer("ListJobs", admin.ListJobsResponse(jobs=[named]))


def asked(service: FakeService) -> list[Message]:
    """The requests since this was called last."""
    found, service.requests = service.requests, []
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_a_name_alone_shows_the_one_of_that_name(
    run: Run, service: FakeService, group: str
) -> None:
    shown = run(group, "show", "orders")
    assert shown.exit_code == 0, shown.output
    requests = asked(service)
    named = run(group, "orders")
    assert (named.stdout, named.exit_code) == (shown.stdout, 0)
    assert asked(service) == requests
    as_json = json.loads(run(group, "show", "orders", "--json").stdout)
    assert isinstance(as_json, dict)
    for spelling in (["orders", "--json"], ["--json", "orders"], ["--json", "show", "orders"]):
        assert json.loads(run(group, *spelling).stdout) == as_json


@pytest.mark.parametrize("group", GROUPS)
def test_list_lists(run: Run, service: FakeService, group: str) -> None:
    listed = run(group)
    assert listed.exit_code == 0, listed.output
    requests = asked(service)
    assert run(group, "list").stdout == listed.stdout
    assert asked(service) == requests


@pytest.mark.parametrize("word", ["show", "list"])
def test_a_topic_that_is_called_like_a_subcommand(
    run: Run, service: FakeService, word: str
) -> None:
    assert run("topics", "show", word).exit_code == 0
    assert asked(service) == [admin.ListTopicsRequest(topic=word)]
    assert run("topics", "list").exit_code == 0
    assert asked(service) == [admin.ListTopicsRequest()]
    assert run("topics", "show").exit_code == 2
    assert run("rejects", word).exit_code == 0
    assert asked(service) == [admin.ListRejectsRequest(topic=word, limit=1_000)]


def test_a_name_that_begins_with_a_dash(run: Run, service: FakeService) -> None:
    assert run("topics", "--", "-orders").exit_code == 0
    assert asked(service) == [admin.ListTopicsRequest(topic="-orders")]
    assert run("topics", "--ordres").exit_code == 2


def test_options_of_a_group_hold_for_its_subcommand(run: Run, service: FakeService) -> None:
    wanted = [admin.ListTopicsRequest(connection="main", topic="orders")]
    for spelling in (
        ["show", "orders", "--connection", "main"],
        ["orders", "--connection", "main"],
        ["--connection", "main", "orders"],
        ["--connection", "main", "show", "orders"],
        ["--connection", "other", "show", "orders", "--connection", "main"],
    ):
        assert run("topics", *spelling).exit_code == 0
        assert asked(service) == wanted, spelling


@pytest.mark.parametrize("command", ["segments", "journals", "rejects", "snapshots"])
def test_a_topic_alone_is_the_same_as_the_option(
    run: Run, service: FakeService, command: str
) -> None:
    assert run(command, "--topic", "orders").exit_code == 0
    (wanted,) = asked(service)
    for spelling in (["orders"], ["orders", "--topic", "orders"], ["--json", "orders"]):
        assert run(command, *spelling).exit_code == 0
        assert asked(service) == [wanted]
    refused = run(command, "orders", "--topic", "customers")
    assert refused.exit_code == 2
    assert "contradict each other; give one of them" in refused.stderr
    assert asked(service) == []


def test_one_reader_and_one_connection_of_a_list(run: Run, service: FakeService) -> None:
    readers = [admin.Reader(name=name, connection="main") for name in ("main-0", "main-1")]
    service.answer("ListReaders", admin.ListReadersResponse(readers=readers))
    for command in (["readers"], ["mining", "readers"]):
        (found,) = json.loads(run(*command, "main-1", "--json").stdout)
        assert found["name"] == "main-1"
    unknown = run("readers", "main-2")
    assert unknown.exit_code == 4
    assert "there is no reader 'main-2'; there are: main-0, main-1" in unknown.stderr
    assert "orders" in run("connections", "orders").stdout
    assert run("connections", "other").exit_code == 4


@pytest.mark.parametrize(
    "command", [["topics"], ["topics", "show", "orders"], ["lag"], ["jobs", "history"], ["readers"]]
)
def test_options_stand_before_and_behind_the_command(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("CACHESVC_ADDRESS", "127.0.0.1:1")
    flags = ["--address", service.address, "--json"]
    outputs = []
    for place in range(len(command) + 1):
        result = run(*command[:place], *flags, *command[place:])
        assert result.exit_code == 0, result.output
        outputs.append(result.stdout)
    json.loads(outputs[0])
    assert len(set(outputs)) == 1


def test_the_nearer_address_counts(run: Run, service: FakeService) -> None:
    nowhere, here = ["--address", "127.0.0.1:1"], ["--address", service.address]
    for places in itertools.product((nowhere, []), repeat=2):
        assert run(*places[0], "jobs", *places[1], "history", *here).exit_code == 0
    assert run(*here, "jobs", "history", *nowhere).exit_code == 3
    assert run("--address", "nowhere", "jobs").exit_code == 2


def test_tls_before_the_command(run: Run, tmp_path: Path) -> None:
    result = run("--ca-file", str(tmp_path / "ca.pem"), "topics")
    assert result.exit_code == 2
    assert "ca.pem cannot be read" in result.stderr


@pytest.mark.parametrize("command", ["serve", "reader"])
def test_what_runs_a_process_takes_no_such_options(run: Run, command: str) -> None:
    result = run("--json", command)
    assert result.exit_code == 2
    assert f"mean nothing to {command}; `cachesvc {command} --help`" in result.stderr


@pytest.mark.parametrize("option", ["--count", "--max"])
def test_tail_ends_after_so_many_records(run: Run, service: FakeService, option: str) -> None:
    service.answer("Subscribe", batch(*[record(offset, b"{}") for offset in range(5)]))
    service.hold("Subscribe")
    result = run("tail", "orders", option, "3")
    assert result.exit_code == 0, result.output
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["0/0", "0/1", "0/2"]


def test_tail_hands_a_filter_and_fields_on(run: Run, service: FakeService) -> None:
    service.answer("Subscribe", batch(record(7, b"{}")))
    result = run("tail", "orders", "--filter", "value.n > 5", "--field", "n", "--field", "a.b")
    assert result.exit_code == 0, result.output
    (request,) = service.seen(log_cache.SubscribeRequest)
    assert isinstance(request, log_cache.SubscribeRequest)
    assert request.filter_text == "value.n > 5"
    assert request.projection == filters.Projection(fields=["n", "a.b"])


@pytest.mark.parametrize("spelling", [["--once"], ["--count", "1"], ["--once", "--count", "1"]])
def test_mining_is_watched_once(run: Run, service: FakeService, spelling: list[str]) -> None:
    snapshots = [watching.WatchMiningResponse(at_ms=at, complete=True) for at in (1, 2)]
    service.answer("WatchMining", *snapshots)
    service.hold("WatchMining")
    result = run("mining", "watch", "--json", *spelling)
    assert result.exit_code == 0, result.output
    assert [json.loads(line)["at_ms"] for line in result.stdout.splitlines()] == [1]


def test_once_and_twice_contradict_each_other(run: Run) -> None:
    assert run("mining", "watch", "--once", "--count", "2").exit_code == 2


def test_who_mistypes_a_subcommand_is_told_what_is_meant(run: Run, service: FakeService) -> None:
    result = run("mining", "stpo", "main")
    assert result.exit_code == 2
    assert "No such command 'stpo'" in result.stderr
    assert "'stop'" in result.stderr
    assert asked(service) == [], "nothing was stopped, and nothing else done"
    code, reason = grpc.StatusCode.NOT_FOUND, "UNKNOWN_SUBSCRIPTION"
    service.refuse("GetSubscription", code, "there is no subscription 'lst'", reason)
    result = run("subscriptions", "lst")
    assert result.exit_code == 4
    assert result.stderr.startswith("error: there is no subscription 'lst' (service ")
    assert result.stderr.endswith("; or is `cachesvc subscriptions list` meant?\n")
    assert "meant?" not in run("subscriptions", "billing").stderr
