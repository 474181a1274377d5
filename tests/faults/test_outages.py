"""Service or broker are gone for a while: it shows, and everything goes on by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.client import Batch, Client, MiningState, Mode, PartitionProgress, Progress
from cachesvc.v1 import log_cache_pb2 as log_cache
from cachesvc.v1.connections_pb2 import ListConnectionsRequest
from tests.faults.stage import (
    Calls,
    HandStartedReader,
    anomalies,
    check_manifest,
    eventually,
    objects,
    refusal,
)
from tests.support.checker import Observation, check
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, full, until
from tests.support.tcp_proxy import TcpProxy
from tests.support.topics import create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]

AWAY = MiningState.SOURCE_UNREACHABLE
Name = Callable[[str], str]


class Task:
    """A sync task that is always connected, and what it sees of a topic with one partition."""

    def __init__(self, address: str, name: str, topic: str) -> None:
        self.seen = Delivered()
        self.progress: PartitionProgress | None = None
        self._address, self._name, self._topic = address, name, topic
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Streams until cancelled."""
        async with (
            Client(self._address) as client,
            client.subscribe(
                self._name, topics=[self._topic], mode=Mode.FULL_AND_INCREMENTAL
            ) as stream,
        ):
            async for event in stream.events():
                if isinstance(event, Batch):
                    self.seen.add(event)
                elif isinstance(event, Progress):
                    (self.progress,) = event.partitions
                self._changed.set()

    async def until(self, holds: Callable[["Task"], object], what: str) -> None:
        """Waits until something is seen."""
        try:
            async with asyncio.timeout(90):
                while not holds(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pytest.fail(f"{self._name} waits for {what}; {self.seen.count=}, {self.progress}")

    async def until_state(self, state: MiningState) -> PartitionProgress:
        """Waits until a progress event shows a mining state."""
        seen: list[PartitionProgress] = []

        def shows(task: Task) -> bool:
            if task.progress is not None and task.progress.mining_state is state:
                seen.append(task.progress)
            return bool(seen)

        self.progress = None
        await self.until(shows, state.name)
        return seen[0]


@asynccontextmanager
async def _running(*tasks: Task) -> AsyncIterator[None]:
    """All tasks run; one that fails fails the block."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(task.run()) for task in tasks]
        yield
        for each in running:
            each.cancel()


def test_a_reader_started_by_hand_outlives_the_service_and_goes_on(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("outlives")
    create_topic(kafka.bootstrap, topic)
    produce(kafka.bootstrap, topic, objects(0, 500))
    settings = {"mining": {"readers": 0}, "store": {"segment_bytes_max": 65_536}}
    service = ServiceProcess(tmp_path, kafka.bootstrap, settings).start()

    async def run(calls: Calls, reader: HandStartedReader) -> Task:
        task = Task(service.address, "always-on", topic)
        async with _running(task):
            await task.until(lambda task: task.seen.count == 500, "the first records")
            pid = calls.readers()["by-hand"].pid
            for round_ in (1, 2):
                service.kill()
                await asyncio.to_thread(
                    produce, kafka.bootstrap, topic, objects(500 * round_, 500 * (round_ + 1))
                )
                assert reader.process.poll() is None
                await asyncio.to_thread(service.start)
                await task.until(
                    lambda task, count=500 * (round_ + 1): task.seen.count == count,  # type: ignore[misc]
                    "what was produced while the service was gone",
                )
                assert calls.readers()["by-hand"].pid == pid == reader.process.pid
        return task

    try:
        with HandStartedReader(service, "by-hand") as reader, Calls(service.address) as calls:
            task = asyncio.run(run(calls, reader))
        truth = read_all(kafka.bootstrap, topic)
        # One stream: the client connected again by itself, so nothing may come twice either.
        assert not anomalies(truth, task.seen, topic)
        service.stop()
        check_manifest(service.store, topic, truth)
    finally:
        service.kill()


def _connection(calls: Calls) -> Any:
    (found,) = calls.admin.ListConnections(ListConnectionsRequest(), timeout=60).connections
    return found


def test_a_broker_that_is_killed_is_seen_and_missed_until_it_is_back(
    fresh_kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    broker, topic = fresh_kafka, topic_name("outage")
    create_topic(broker.bootstrap, topic)
    produce(broker.bootstrap, topic, objects(0, 2_000))
    settings = {"mining": {"answer_timeout_s": 2}}
    service = ServiceProcess(tmp_path, broker.bootstrap, settings).start()
    whole = log_cache.SubscribeRequest(subscription="full", topics=[topic], mode=log_cache.FULL)
    unknown = log_cache.SubscribeRequest(
        subscription="unknown", topics=["never-heard-of"], mode=log_cache.INCREMENTAL
    )

    async def mining(calls: Calls) -> list[Task]:
        tasks = [Task(service.address, f"task-{number}", topic) for number in range(2)]
        async with _running(*tasks):
            for task in tasks:
                await task.until_state(MiningState.MINING)
            broker.kill()
            for task in tasks:
                progress = await task.until_state(AWAY)
                assert progress.mining_error
            (offsets,) = calls.offsets(topic).values()
            assert offsets.mining_state == log_cache.SOURCE_UNREACHABLE
            assert offsets.mining_error
            eventually(lambda: not _connection(calls).reachable, "Admin to show it")
            assert _connection(calls).error
            # Whoever comes now is served what is there.
            late = await until(service.address, "late", topic, {0: 2_000})
            assert late.count == 2_000
            await asyncio.to_thread(broker.start)
            await asyncio.to_thread(produce, broker.bootstrap, topic, objects(2_000, 3_000))
            for task in tasks:
                await task.until(lambda task: task.seen.count == 3_000, "what came afterwards")
                progress = await task.until_state(MiningState.MINING)
                assert not progress.mining_error
            eventually(lambda: _connection(calls).reachable, "Admin to show it")
        return tasks

    async def starting(calls: Calls) -> Task:
        task = Task(service.address, "early", topic)
        async with _running(task):
            refusals = asyncio.gather(_refused(calls, whole), _refused(calls, unknown))
            await task.until(lambda task: task.seen.count == 3_000, "what is cached")
            progress = await task.until_state(AWAY)
            assert progress.mining_error
            assert progress.log_end_offset == 3_000
            assert calls.topic(topic).mining_state == log_cache.SOURCE_UNREACHABLE
            assert calls.topic(topic).mining_error
            # What cannot be answered without the source is refused for now, and says so.
            refused = (grpc.StatusCode.UNAVAILABLE, "SOURCE_UNREACHABLE")
            assert [(code, reason) for code, reason, _ in await refusals] == [refused] * 2
            eventually(lambda: _connection(calls).error, "the reason why")
            await asyncio.to_thread(broker.start)
            await asyncio.to_thread(produce, broker.bootstrap, topic, objects(3_000, 3_500))
            await task.until(lambda task: task.seen.count == 3_500, "what came afterwards")
            await task.until_state(MiningState.MINING)
        return task

    try:
        with Calls(service.address) as calls:
            tasks = asyncio.run(mining(calls))
            broker.kill()
            service.stop()
            service.start()
            assert not _connection(calls).reachable
            tasks.append(asyncio.run(starting(calls)))
        truth = read_all(broker.bootstrap, topic)
        for task in tasks[:-1]:
            rows = task.seen.of(topic)[0]
            assert not check(truth, [Observation("task", 0, rows, end=3_000)])
        assert not anomalies(truth, tasks[-1].seen, topic)
        assert not anomalies(truth, asyncio.run(full(service.address, "all", topic)), topic)
        service.stop()
    finally:
        service.kill()


def test_a_reader_that_is_cut_off_from_the_brokers_loses_its_topics_to_one_that_is_not(
    kafka: KafkaBroker, kafka_proxy: TcpProxy, topic_name: Name, tmp_path: Path
) -> None:
    topic = topic_name("cut-off")
    create_topic(kafka.bootstrap, topic)
    settings = {"mining": {"readers": 0, "reader_timeout_s": 3}}
    service = ServiceProcess(tmp_path, kafka.bootstrap, settings).start()
    task = Task(service.address, "always-on", topic)
    produced = 0

    def has_it(calls: Calls) -> list[str]:
        return [name for name, found in calls.readers().items() if found.topics]

    def source_error(calls: Calls) -> str:
        return str(calls.readers()["elsewhere"].source_error)

    async def has_what_comes_now(calls: Calls, reader: str) -> None:
        nonlocal produced
        new = objects(produced, produced + 500)
        produced += 500
        await asyncio.to_thread(produce, kafka.bootstrap, topic, new)
        await task.until(lambda task: task.seen.count == produced, f"records from {reader}")
        eventually(lambda: calls.topic(topic).mining_state == log_cache.MINING, "Admin to show it")
        eventually(lambda: has_it(calls) == [reader], f"{reader} alone to have the topic")

    async def run(calls: Calls, stack: ExitStack) -> None:
        way = ["--kafka", kafka.proxied_bootstrap]
        module = ["tests.support.reader_elsewhere"]
        stack.enter_context(HandStartedReader(service, "elsewhere", "", way, module=module))
        async with _running(task):
            await has_what_comes_now(calls, "elsewhere")
            near = stack.enter_context(HandStartedReader(service, "near"))
            eventually(lambda: "near" in calls.readers(), "the other reader")
            kafka_proxy.cut()
            await has_what_comes_now(calls, "near")
            eventually(lambda: "no broker answers" in source_error(calls), "it to say why")
            # For want of another it gets the topic, and mines it once it reaches the brokers again.
            near.process.kill()
            await task.until_state(AWAY)
            kafka_proxy.restore()
            await has_what_comes_now(calls, "elsewhere")
            eventually(lambda: not source_error(calls), "it to reach the brokers")

    try:
        with Calls(service.address) as calls, ExitStack() as stack:
            asyncio.run(run(calls, stack))
        truth = read_all(kafka.bootstrap, topic)
        assert not anomalies(truth, task.seen, topic)
        service.stop()
        check_manifest(service.store, topic, truth)
    finally:
        service.kill()


async def _refused(
    calls: Calls, request: log_cache.SubscribeRequest
) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    call = calls.log_cache.Subscribe(request, timeout=60)
    return await asyncio.to_thread(refusal, lambda: next(call))
