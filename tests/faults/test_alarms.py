"""Alarms on a running service: raised, cleared, posted at least once, whatever dies."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Client, Mode
from cachesvc.v1 import alarms_pb2 as pb
from cachesvc.v1.log_cache_pb2 import DeleteSubscriptionRequest
from cachesvc.v1.mining_tasks_pb2 import StartMiningTaskRequest, StopMiningTaskRequest
from tests.faults.stage import Calls, eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import OutRecord, create_topic, produce
from tests.support.webhook import WebhookServer

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
Name = Callable[[str], str]
DAY_MS = 86_400_000


def _settings(webhook: WebhookServer | None = None, **alarms: Any) -> dict[str, dict[str, Any]]:
    """Looks often; clears later than any restart takes."""
    quick: dict[str, Any] = {
        "interval_s": 0.2,
        "raise_after_s": 0.4,
        "clear_after_s": 300,
        "lag_s_max": 0,
    }
    if webhook is not None:
        quick |= {"webhook_url": webhook.url, "webhook_timeout_s": 1}
    return {"alarms": {**quick, **alarms}}


def _alarms(calls: Calls, kind: int, *, past: bool = False) -> list[pb.Alarm]:
    """Those of a kind; others come and go with what the machine does."""
    request = pb.ListAlarmsRequest(past=past)
    found = calls.admin.ListAlarms(request, timeout=30).alarms
    return [alarm for alarm in found if alarm.kind == kind]


def _stands(calls: Calls, kind: int) -> pb.Alarm:
    def found() -> pb.Alarm | None:
        return next(iter(_alarms(calls, kind)), None)

    alarm = eventually(found, pb.AlarmKind.Name(kind))
    assert alarm is not None
    return alarm


def test_killed_between_raise_and_delivery(tmp_path: Path) -> None:
    """Needs no broker: that none is there is what the alarm is about."""
    with WebhookServer() as webhook:
        webhook.hang()
        settings = {**_settings(webhook), "mining": {"answer_timeout_s": 1}}
        service = ServiceProcess(tmp_path, f"{HOST}:1", settings).start()
        try:
            with Calls(service.address) as calls:
                raised = _stands(calls, pb.ALARM_SOURCE_UNREACHABLE)
                webhook.wait_for(1, taken=False)
            service.kill()
            assert not service.events("webhook_told")
            posted = len(webhook.posts)
            webhook.go_on()
            service.start()
            webhook.wait_for(posted + 1, taken=False)
            assert {post["notice"] for post in webhook.posts} == {"1-raised"}
            eventually(lambda: service.events("webhook_told"), "the delivery to be noted")
            with Calls(service.address) as calls:
                assert _stands(calls, pb.ALARM_SOURCE_UNREACHABLE) == raised, "not a second one"
            # What was taken is not posted again.
            posted = len(webhook.posts)
            service.kill()
            service.start()
            with Calls(service.address) as calls:
                _stands(calls, pb.ALARM_SOURCE_UNREACHABLE)
                time.sleep(1)  # for what should not come
            assert len(webhook.posts) == posted
        finally:
            service.stop()


@pytest.mark.kafka
def test_a_blocked_partition(kafka: KafkaBroker, topic_name: Name, tmp_path: Path) -> None:
    topic = topic_name("blocked")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, [OutRecord(b"k", b"{}"), OutRecord(b"k", b"no json")])
    with WebhookServer() as webhook:
        webhook.status = 500
        settings = _settings(webhook, clear_after_s=1)
        service = ServiceProcess(tmp_path, kafka.bootstrap, settings, {"non_json_policy": "stop"})
        with service, Calls(service.address) as calls:
            asyncio.run(_first_batch(service.address, "copies", topic))
            alarm = _stands(calls, pb.ALARM_PARTITION_BLOCKED)
            assert (alarm.topic, alarm.partition) == (topic, 0)
            assert "MALFORMED_JSON" in alarm.message
            webhook.wait_for(2, taken=False)
            # Nobody needs the topic any more.
            request = DeleteSubscriptionRequest(subscription="copies")
            calls.log_cache.DeleteSubscription(request, timeout=30)
            kind = pb.ALARM_PARTITION_BLOCKED
            eventually(lambda: not _alarms(calls, kind), "the alarm to be cleared")
            (past,) = _alarms(calls, kind, past=True)
            assert past.cleared_ms > past.raised_ms
            webhook.status = 200
            told = [f"{past.id}-raised", f"{past.id}-cleared"]

            def taken() -> list[str]:
                return [post["notice"] for post in webhook.taken if post.get("topic") == topic]

            eventually(lambda: len(taken()) >= len(told), f"{told} to be taken")
            assert taken() == told


@pytest.mark.kafka
def test_a_subscription_about_to_lose_data(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("late")
    create_topic(kafka.bootstrap, topic)
    old_ms = int(time.time() * 1000) - 3 * DAY_MS + DAY_MS // 24
    produce(kafka.bootstrap, topic, objects(0, 600, timestamp_ms=old_ms))
    settings = {
        **_settings(clear_after_s=1),
        "store": {"segment_records_max": 100},
        "retention": {"clock": "record", "unread_age_s": 3_600},
        "mining": {"readers": 1, "batch_records_max": 100},
    }
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings) as service,
        Calls(service.address) as calls,
    ):
        asyncio.run(_first_batch(service.address, "late", topic))
        asyncio.run(full(service.address, "early", topic, commit=True))
        alarm = _stands(calls, pb.ALARM_RETENTION_NEAR)
        assert (alarm.subscription, alarm.topic, alarm.partition) == ("late", topic, 0)
        assert "retention takes in" in alarm.message
        asyncio.run(full(service.address, "late", topic, commit=True))
        eventually(lambda: not _alarms(calls, pb.ALARM_RETENTION_NEAR), "the alarm to be cleared")


async def _first_batch(address: str, subscription: str, topic: str) -> None:
    """Commits the first batch alone."""
    async with (
        asyncio.timeout(60),
        Client(address) as client,
        client.subscribe(
            subscription,
            topics=[topic],
            mode=Mode.FULL_AND_INCREMENTAL,
            batch_bytes_max=65_536,
        ) as stream,
    ):
        async for batch in stream:
            await stream.commit(batch.position)
            return


@pytest.mark.kafka
def test_a_task_that_an_operator_stopped(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("stopped")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 10))
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, _settings(clear_after_s=1)) as service,
        Calls(service.address) as calls,
    ):
        asyncio.run(full(service.address, "copies", topic))
        calls.admin.StopMiningTask(StopMiningTaskRequest(connection="default"), timeout=30)
        alarm = _stands(calls, pb.ALARM_TASK_STOPPED)
        assert (alarm.connection, alarm.HasField("topic")) == ("default", False)
        calls.admin.StartMiningTask(StartMiningTaskRequest(connection="default"), timeout=30)
        eventually(lambda: not _alarms(calls, pb.ALARM_TASK_STOPPED), "the alarm to be cleared")
