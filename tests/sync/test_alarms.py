"""Alarms of tasks: what stands, and what a webhook is told of it."""

import time
from pathlib import Path
from typing import Any

import pytest

from cachesvc.sync import InvalidTask, Task, TaskStatus, parse_task
from cachesvc.sync.alarms import Alarms, standing
from cachesvc.sync.runner.progress import Trouble
from tests.client.fake_log import Logs
from tests.client.fake_server import FakeLogCache, serving
from tests.client.running import eventually, in_event_loop
from tests.support.webhook import WebhookServer
from tests.sync.stage import MemorySink, reached, task_config
from tests.sync.test_around import ORDERS, Stage


def status(**changes: Any) -> TaskStatus:
    facts: dict[str, Any] = {"state": "running", "mode": "FULL", "started_ms": 0, **changes}
    return TaskStatus(name="task", subscription="task", **facts)


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"outside": True}, ["AROUND_CACHE"]),
        ({"refused": 3}, ["RECORDS_REFUSED"]),
        ({"trouble": Trouble("AWAY", "gone", 1_000)}, []),
        ({"trouble": Trouble("AWAY", "gone", 1_000), "state": "failed"}, ["TASK_FAILED"]),
    ],
)
def test_what_somebody_has_to_know(changes: dict[str, Any], kinds: list[str]) -> None:
    assert list(standing(status(**changes), 2_000)) == kinds


def test_trouble_that_lasts_is_an_alarm() -> None:
    found = standing(status(trouble=Trouble("AWAY", "gone", 1_000)), 61_000)
    assert found == {"TASK_TROUBLE": "AWAY: gone"}


def test_each_is_raised_once_and_cleared_once_it_is_over() -> None:
    alarms = Alarms("task")
    alarms.stand({"AROUND_CACHE": "a", "RECORDS_REFUSED": "1"}, 10)
    alarms.stand({"AROUND_CACHE": "a", "RECORDS_REFUSED": "2"}, 20)
    alarms.stand({}, 30)
    alarms.stand({"AROUND_CACHE": "b"}, 40)
    told = [(each.kind, each.event, each.raised_ms, each.cleared_ms) for each in alarms.waiting]
    assert told == [
        ("AROUND_CACHE", "raised", 10, None),
        ("RECORDS_REFUSED", "raised", 10, None),
        ("AROUND_CACHE", "cleared", 10, 30),
        ("AROUND_CACHE", "raised", 40, None),
    ]
    assert len({each.notice for each in alarms.waiting}) == 4


@in_event_loop
async def test_time_around_the_cache_is_told_and_its_end_as_well(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with WebhookServer() as webhook:
        webhook.status = 503
        stage.tables = {"alarms": {"webhook_url": webhook.url}}
        async with stage.up():
            task = stage.task()
            task.start()
            await eventually(reached(stage.sink, ORDERS, 20))
        await eventually(lambda: bool(webhook.posts))
        webhook.status = 200
        async with stage.up():
            await eventually(lambda: not task.status().outside)
            await eventually(lambda: len({each["notice"] for each in webhook.taken}) == 2)
            await task.stop()
    # One that was taken as the task was stopped may come again.
    raised, cleared = {each["notice"]: each for each in webhook.taken}.values()
    assert (raised["kind"], raised["event"], raised["task"]) == ("AROUND_CACHE", "raised", "task")
    assert "the broker itself" in raised["message"]
    assert cleared["event"] == "cleared" and cleared["cleared_ms"] >= raised["raised_ms"]


@in_event_loop
async def test_a_task_that_fails_says_so_with_its_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK", "s3cret")
    sink = MemorySink()
    sink.refuses = {3}
    with WebhookServer() as webhook:
        told = {"webhook_url": webhook.url, "webhook_token_env": "HOOK"}
        async with serving(FakeLogCache(Logs({ORDERS: range(5)}))) as target:
            task = Task(task_config(target, alarms=told), sink=sink)
            task.start()
            with pytest.raises(Exception, match="offset 3"):
                await task.wait()
    assert [(each["kind"], each["event"]) for each in webhook.taken] == [("TASK_FAILED", "raised")]
    assert "BAD" in webhook.taken[0]["message"] and webhook.tokens == ["Bearer s3cret"]


@in_event_loop
async def test_a_webhook_that_does_not_answer_holds_up_no_end() -> None:
    sink = MemorySink()
    sink.refuses = {3}
    with WebhookServer() as webhook:
        webhook.hang()
        told = {"webhook_url": webhook.url, "webhook_timeout_s": 0.2}
        async with serving(FakeLogCache(Logs({ORDERS: range(5)}))) as target:
            task = Task(task_config(target, alarms=told), sink=sink)
            task.start()
            began = time.monotonic()
            with pytest.raises(Exception, match="offset 3"):
                await task.wait()
            assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("alarms", "words"),
    [
        ({"webhook_url": "ftp://x/"}, "alarms.webhook_url: is no URL"),
        ({"webhook_url": "http://user:word@x/"}, "alarms.webhook_url: is no URL"),
        ({"webhook_url": "http://x:port/"}, "alarms.webhook_url: is no URL"),
        ({}, "alarms"),
    ],
)
def test_what_is_no_webhook_is_refused(alarms: dict[str, Any], words: str) -> None:
    source = {"service": "127.0.0.1:1", "topics": ["orders"], "mode": "FULL"}
    with pytest.raises(InvalidTask, match=words):
        parse_task({"name": "task", "source": source, "alarms": alarms})
