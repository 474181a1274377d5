"""Mining tasks and their topics: stopped, edited, idle and back, with subscribers that wait."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.client import Batch, Client, MiningState, Mode, Progress, Started
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1 import mining_tasks_pb2 as pb
from tests.faults.stage import CALL_S, Calls, anomalies, eventually, objects, refusal
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, full
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

Name = Callable[[str], str]
DAY_MS = 86_400_000
IDLE_S = 3


def task_of(calls: Calls) -> Any:
    """The one mining task; None without any."""
    answer = calls.admin.ListMiningTasks(pb.ListMiningTasksRequest(), timeout=CALL_S)
    return answer.tasks[0] if answer.tasks else None


def topics_of(calls: Calls) -> dict[str, int]:
    task = task_of(calls)
    return {topic.topic: topic.topic_state for topic in task.topics} if task else {}


def history_of(calls: Calls) -> list[Any]:
    """Changes of state of the task and its topics, the oldest first."""
    request = pb.ListMiningTransitionsRequest()
    return list(calls.admin.ListMiningTransitions(request, timeout=CALL_S).transitions)[::-1]


def stop(calls: Calls, topic: str = "") -> None:
    if topic:
        calls.admin.StopMinedTopic(pb.StopMinedTopicRequest(topic=topic), timeout=CALL_S)
    else:
        calls.admin.StopMiningTask(pb.StopMiningTaskRequest(), timeout=CALL_S)


def start(calls: Calls, topic: str = "") -> None:
    if topic:
        calls.admin.StartMinedTopic(pb.StartMinedTopicRequest(topic=topic), timeout=CALL_S)
    else:
        calls.admin.StartMiningTask(pb.StartMiningTaskRequest(), timeout=CALL_S)


class Reading:
    """One stream, read event by event."""

    def __init__(self, stream: Any, topic: str) -> None:
        self._events = stream.events().__aiter__()
        self._topic = topic
        self.seen = Delivered()
        self.words: list[str] = []

    async def until(self, state: MiningState | None = None, end: int = 0) -> Any:
        """Reads until mining is in a state, or everything before an offset has come."""
        async with asyncio.timeout(60):
            while True:
                event = await anext(self._events)
                self.words.append(type(event).__name__)
                if isinstance(event, Batch):
                    self.seen.add(event)
                    if end and event.next_position >= end:
                        return event
                elif isinstance(event, Progress) and state is not None:
                    for partition in event.partitions:
                        name = partition.position.topic
                        if name == self._topic and partition.mining_state is state:
                            return partition


def test_subscribers_drain_wait_and_go_on(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("stopped")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 500))
    service = ServiceProcess(tmp_path, kafka.bootstrap)

    async def scenario(calls: Calls) -> tuple[Delivered, Delivered]:
        async with Client(service.address) as client:
            early = client.subscribe("early", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL)
            late = client.subscribe("late", topics=[topic], mode=Mode.FULL_AND_INCREMENTAL)
            async with early as one, late as two:
                before = Reading(one, topic)
                await before.until(end=500)
                await asyncio.to_thread(stop, calls)
                told = await before.until(MiningState.STOPPED)
                assert told.mining_error == "an operator stopped the task"
                await asyncio.to_thread(produce, kafka.bootstrap, topic, objects(500, 700))
                # Who comes now is given what is cached, and then told.
                after = Reading(two, topic)
                await after.until(MiningState.STOPPED)
                assert after.words[0] == Started.__name__
                assert after.seen.count == 500
                assert calls.offsets(topic)[0].log_end_offset == 500
                await asyncio.to_thread(start, calls)
                await asyncio.gather(before.until(end=700), after.until(end=700))
                assert before.words.count(Started.__name__) == 1, "the stream was never broken"
                return before.seen, after.seen

    with service, Calls(service.address) as calls:
        assert task_of(calls) is None, "enabling a connection mines nothing"
        seen = asyncio.run(scenario(calls))
        truth = read_all(kafka.bootstrap, topic)
        for each in seen:
            assert not anomalies(truth, each, topic)
        history = history_of(calls)
        words = [(each.before, each.after) for each in history if not each.topic]
        assert words == [
            ("WAITING", "RUNNING"),
            ("RUNNING", "STOPPED"),
            ("STOPPED", "WAITING"),
            ("WAITING", "RUNNING"),
        ]
        assert all(each.cause and each.at_ms for each in history)


def test_a_stopped_topic_stays_so_over_a_restart_and_the_others_flow(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    stopped, other = topic_name("stopped"), topic_name("other")
    for topic in (stopped, other):
        create_topic(kafka.bootstrap, topic)
        produce(kafka.bootstrap, topic, objects(0, 100))
    with ServiceProcess(tmp_path, kafka.bootstrap) as service, Calls(service.address) as calls:
        for topic in (stopped, other):
            asyncio.run(full(service.address, f"reads-{topic}", topic))
        stop(calls, stopped)
        epoch = {topic.topic: topic.epoch for topic in task_of(calls).topics}[other]
        for topic in (stopped, other):
            produce(kafka.bootstrap, topic, objects(100, 200))
        eventually(lambda: calls.offsets(other)[0].log_end_offset == 200, "the other to go on")
        (shown,) = [topic for topic in task_of(calls).topics if topic.topic == other]
        assert shown.epoch == epoch, "it went on without a pause"
        service.kill()
        service.start()
        eventually(lambda: topics_of(calls).get(other) == pb.TOPIC_MINING, "mining after it")
        assert topics_of(calls)[stopped] == pb.TOPIC_STOPPED
        assert calls.offsets(stopped)[0].log_end_offset == 100
        # A FULL stream waits for its end, which is not mined, and is told why.
        request = log_cache.SubscribeRequest(
            subscription="full", topics=[stopped], mode=log_cache.FULL
        )
        stream = calls.log_cache.Subscribe(request, timeout=CALL_S)
        kinds, records = [], 0
        for response in stream:
            kinds.append(response.WhichOneof("event"))
            records += response.batch.record_count
            if kinds[-1] == "progress":
                (partition,) = response.progress.partitions
                if partition.mining_state == log_cache.STOPPED:
                    break
        assert (kinds[0], records) == ("started", 100)
        start(calls, stopped)
        for response in stream:
            records += response.batch.record_count
            kinds.append(response.WhichOneof("event"))
        assert (kinds[-1], records) == ("ended", 200)


def test_a_topic_that_nobody_uses_is_paused_and_comes_back(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("idle")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 100))
    settings = {"mining": {"idle_topic_s": IDLE_S}}
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings) as service,
        Calls(service.address) as calls,
    ):
        began_ms = time.time() * 1000
        asyncio.run(full(service.address, "comes-back", topic, commit=True))
        eventually(lambda: topics_of(calls) == {topic: pb.TOPIC_PAUSED_IDLE}, "the pause")
        # It was mined before that, and gone is not idle yet.
        states = [each for each in history_of(calls) if each.topic == topic]
        assert (states[-1].before, states[-1].after) == ("MINING", "PAUSED_IDLE"), states
        assert states[-1].at_ms >= began_ms + IDLE_S * 1000
        eventually(
            lambda: not any(topic in each.topics for each in calls.readers().values()),
            "its reader to let go of it",
        )
        eventually(lambda: calls.topic(topic).mining_state == log_cache.PAUSED, "its word for it")
        produce(kafka.bootstrap, topic, objects(100, 200))
        seen = asyncio.run(full(service.address, "comes-back", topic))
        assert [offset for offset, _ in seen.of(topic)[0]] == list(range(100, 200))


def test_a_task_is_edited_while_it_is_stopped(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic, later = topic_name("edited"), topic_name("later")
    for each in (topic, later):
        create_topic(kafka.bootstrap, each)
        produce(kafka.bootstrap, each, objects(0, 300))
    small = {"segment_records_max": 50, "warm_bytes_max": 0}
    settings = {"store": small, "mining": {"batch_records_max": 50}}
    with (
        ServiceProcess(tmp_path, kafka.bootstrap, settings) as service,
        Calls(service.address) as calls,
    ):
        asyncio.run(full(service.address, "reads", topic))
        edit = pb.EditMiningTaskRequest(
            name="the shop", retention_days=1e-9, start=pb.MiningStart(now=True)
        )
        code, reason, _ = refusal(lambda: calls.admin.EditMiningTask(edit, timeout=CALL_S))
        assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MINING_TASK_NOT_STOPPED")
        eventually(
            lambda: max((s.end_offset for s in calls.segments(topic)), default=0) >= 250,
            "segments",
        )
        assert calls.run_job("expire")["records_expired"] == 0, "the service keeps them for days"
        stop(calls)
        edited = calls.admin.EditMiningTask(edit, timeout=CALL_S).task
        assert (edited.name, edited.state) == ("the shop", pb.TASK_STOPPED)
        assert edited.start.now
        start(calls)
        time.sleep(0.01)  # the retention, in days
        assert calls.run_job("expire")["records_expired"] >= 250
        # A topic that is not cached yet begins now; what lies before is mined for who wants it.
        assert calls.offsets(later)[0].log_start_offset == 300
        with Calls(service.address) as more:
            request = log_cache.SubscribeRequest(
                subscription="later", topics=[later], mode=log_cache.FULL_AND_INCREMENTAL
            )
            stream = more.log_cache.Subscribe(request, timeout=CALL_S)
            (position,) = next(stream).started.positions
            assert position.offset == 0
            first = next(r.batch for r in stream if r.WhichOneof("event") == "batch")
            assert first.base_offset == 0
