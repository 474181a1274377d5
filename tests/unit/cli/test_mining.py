from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.message import Message

from cachesvc.v1 import mining_tasks_pb2 as pb
from cachesvc.v1.log_cache_pb2 import Blocked
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_service import FakeService
from tests.unit.cli.messages import TIME, TIME_MS

TASK = pb.MiningTask(
    name="the shop",
    connection="shop",
    state=pb.TASK_STOPPED,
    cause="an operator stopped the task",
    since_ms=TIME_MS,
    created_ms=TIME_MS,
    retention_days=1.5,
    start=pb.MiningStart(now=True),
    topics=[
        pb.MinedTopic(
            topic="orders",
            topic_state=pb.TOPIC_PAUSED_IDLE,
            cause="nobody used it",
        )
    ],
    pins=[pb.TopicPin(topic="orders", reader="far", strict=True)],
)


@pytest.mark.parametrize(
    ("words", "request_", "answer"),
    [
        (("stop", "shop"), pb.StopMiningTaskRequest(connection="shop"), pb.StopMiningTaskResponse),
        (
            ("stop", "shop", "--topic", "orders"),
            pb.StopMinedTopicRequest(connection="shop", topic="orders"),
            pb.StopMinedTopicResponse,
        ),
        (
            ("start", "shop"),
            pb.StartMiningTaskRequest(connection="shop"),
            pb.StartMiningTaskResponse,
        ),
        (
            ("start", "shop", "--topic", "orders"),
            pb.StartMinedTopicRequest(connection="shop", topic="orders"),
            pb.StartMinedTopicResponse,
        ),
        (
            ("edit", "shop", "--name", "the shop", "--retention-days", "1.5"),
            pb.EditMiningTaskRequest(connection="shop", name="the shop", retention_days=1.5),
            pb.EditMiningTaskResponse,
        ),
        (
            ("edit", "shop", "--retention-bytes", "0", "--retention-records", "7"),
            pb.EditMiningTaskRequest(connection="shop", retention_bytes=0, retention_records=7),
            pb.EditMiningTaskResponse,
        ),
        (
            ("edit", "shop", "--start", "1970-01-01T00:00:01Z"),
            pb.EditMiningTaskRequest(connection="shop", start=pb.MiningStart(timestamp_ms=1000)),
            pb.EditMiningTaskResponse,
        ),
    ],
)
def test_commands_on_a_task(
    run: Run, service: FakeService, words: tuple[str, ...], request_: Message, answer: Any
) -> None:
    method = type(request_).__name__.removesuffix("Request")
    service.answer(method, answer(task=TASK))
    text = run("mining", *words).stdout
    assert service.requests == [request_]
    assert "an operator stopped the task" in text
    assert "PAUSED_IDLE" in text
    assert "orders to far (strictly)" in text
    assert json.loads(run("mining", *words, "--json").stdout)["state"] == "TASK_STOPPED"


def test_shows_a_task(run: Run, service: FakeService) -> None:
    service.answer("ListMiningTasks", pb.ListMiningTasksResponse(tasks=[TASK]))
    text = run("mining", "show", "shop").stdout
    for part in ("the shop", "STOPPED", "1.5 days", "now", TIME, "orders"):
        assert part in text
    service.answer("ListMiningTasks", pb.ListMiningTasksResponse())
    absent = run("mining", "show", "shop")
    assert absent.exit_code == 4
    assert "connection 'shop' has no mining task; the first subscription makes it" in absent.stderr


def test_an_edit_that_changes_nothing(run: Run, service: FakeService) -> None:
    result = run("mining", "edit", "shop")
    assert result.exit_code == 2
    advice = "give --name, --retention-days, --retention-bytes, --retention-records or --start"
    assert advice in result.stderr
    assert service.requests == []


def test_a_task_without_topics_has_a_line(run: Run, service: FakeService) -> None:
    task = pb.MiningTask(name="main", connection="main", state=pb.TASK_WAITING)
    service.answer("ListMiningTasks", pb.ListMiningTasksResponse(tasks=[task]))
    assert run("mining").stdout.splitlines()[1].split()[:3] == ["main", "WAITING", "-"]


def test_a_start_that_is_none(run: Run, service: FakeService) -> None:
    result = run("mining", "edit", "shop", "--start", "soon")
    assert result.exit_code == 2
    assert "earliest, now" in result.stderr
    assert service.requests == []


def test_history(run: Run, service: FakeService) -> None:
    change = pb.MiningTransition(
        at_ms=TIME_MS, connection="shop", before="RUNNING", after="STOPPED", cause="somebody"
    )
    service.answer("ListMiningTransitions", pb.ListMiningTransitionsResponse(transitions=[change]))
    line = run("mining", "history", "shop", "--limit", "7").stdout.splitlines()[1]
    assert line.split() == [*TIME.split(), "shop", "-", "RUNNING", "STOPPED", "somebody"]
    assert service.requests == [pb.ListMiningTransitionsRequest(connection="shop", limit=7)]


def test_history_of_the_only_task(run: Run, service: FakeService) -> None:
    service.answer("ListMiningTransitions", pb.ListMiningTransitionsResponse())
    assert run("mining", "history").exit_code == 0
    assert service.requests == [pb.ListMiningTransitionsRequest(limit=100)]


def test_pins(run: Run, service: FakeService) -> None:
    service.answer("PinTopic", pb.PinTopicResponse())
    service.answer("UnpinTopic", pb.UnpinTopicResponse())
    assert "far" in run("mining", "pin", "shop", "orders", "far", "--strict").stdout
    assert "orders" in run("mining", "unpin", "shop", "orders").stdout
    assert service.requests == [
        pb.PinTopicRequest(connection="shop", topic="orders", reader="far", strict=True),
        pb.UnpinTopicRequest(connection="shop", topic="orders"),
    ]


BLOCKED = pb.BlockedPartition(
    connection="shop",
    topic="orders",
    partition=7,
    incarnation=1,
    blocked=Blocked(
        reason="READER_DIED",
        offset=1234,
        bytes=120_000_000,
        detail="readers die",
        since_ms=TIME_MS,
        retry_ms=TIME_MS,
    ),
)


def test_what_is_blocked_is_listed_with_place_size_and_reason(
    run: Run, service: FakeService
) -> None:
    turned_away = pb.BlockedPartition(topic="bills", blocked=Blocked(reason="TOO_LARGE"))
    found = [BLOCKED, turned_away]
    service.answer("ListBlockedPartitions", pb.ListBlockedPartitionsResponse(partitions=found))
    first, second = run("mining", "blocked", "--topic", "orders").stdout.splitlines()[1:]
    for word in ("shop", "orders", "7", "1234", "READER_DIED", TIME, "readers die"):
        assert word in first
    assert "TOO_LARGE" in second
    assert "on request" in second
    (listed, _) = json.loads(run("mining", "blocked", "--json").stdout)
    assert (listed["partition"], listed["blocked"]["bytes"]) == (7, 120_000_000)


@pytest.mark.parametrize("word", ["retry", "unblock"])
@pytest.mark.parametrize("number", [None, 7])
def test_what_is_blocked_is_tried_again(
    run: Run, service: FakeService, word: str, number: int | None
) -> None:
    service.answer("RetryPartitions", pb.RetryPartitionsResponse(partitions=[BLOCKED]))
    more = [] if number is None else ["--partition", str(number)]
    assert "1234" in run("mining", word, "orders", "--connection", "shop", *more).stdout
    (request,) = service.requests
    assert request == pb.RetryPartitionsRequest(connection="shop", topic="orders", partition=number)
