"""Three readers that joined over TCP share a connection, under SIGKILL and SIGSTOP."""

import asyncio
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cachesvc.client import Batch, Client, Mode
from cachesvc.v1 import admin_pb2 as admin
from cachesvc.v1 import mining_tasks_pb2 as tasks
from tests.faults.stage import (
    CALL_S,
    Calls,
    HandStartedReader,
    anomalies,
    check_manifest,
    eventually,
    objects,
)
from tests.support.kafka_broker import KafkaBroker
from tests.support.ports import HOST, free_ports
from tests.support.service import ServiceProcess
from tests.support.tasks import Delivered, full
from tests.support.topics import RecordWriter, create_topic, produce, read_all

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]

TOKEN = "a-token-that-nobody-guesses"
ENVIRONMENT = {"JOIN_TOKEN": TOKEN}
NAMES = ("agent-1", "agent-2", "agent-3")
PARTITIONS = 2
TIMEOUT_S = 6
SMALL = {"segment_bytes_max": 262_144, "memory_bytes_max": 262_144}
Name = Callable[[str], str]


class Agents:
    """Readers that join over TCP, by name."""

    def __init__(self, service: ServiceProcess, address: str, stack: ExitStack) -> None:
        self._service = service
        self._address = address
        self._stack = stack
        self.running: dict[str, HandStartedReader] = {}

    def start(self, name: str, token_env: str = "JOIN_TOKEN", **more: str) -> HandStartedReader:
        reader = HandStartedReader(
            self._service,
            name,
            self._address,
            ["--token-env", token_env],
            {**ENVIRONMENT, **more},
        )
        self.running[name] = self._stack.enter_context(reader)
        return reader


@contextmanager
def _stage(kafka: KafkaBroker, path: Path) -> Iterator[tuple[ServiceProcess, Calls, Agents]]:
    address = f"{HOST}:{free_ports(1)[0]}"
    token_file = path / "token"
    token_file.write_text(TOKEN)
    mining = {
        "readers": 0,
        "reader_timeout_s": TIMEOUT_S,
        "rebalance_interval_s": 1,
        "listen": address,
        "join_token_file": str(token_file),
    }
    with ExitStack() as stack:
        settings: Mapping[str, Mapping[str, Any]] = {"store": SMALL, "mining": mining}
        service = stack.enter_context(ServiceProcess(path, kafka.bootstrap, settings))
        calls = stack.enter_context(Calls(service.address))
        yield service, calls, Agents(service, address, stack)


class Task:
    """A sync task that follows topics for as long as the test lasts, and keeps what it saw."""

    def __init__(self, address: str, topics: list[str]) -> None:
        self.seen = Delivered()
        self.positions: dict[tuple[str, int], int] = {}
        self._address = address
        self._topics = topics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()))

    async def _follow(self) -> None:
        async with (
            Client(self._address) as client,
            client.subscribe(
                "follows", topics=self._topics, mode=Mode.FULL_AND_INCREMENTAL
            ) as stream,
        ):
            async for event in stream.events():
                if isinstance(event, Batch):
                    self.seen.add(event)
                    self.positions[event.topic, event.partition] = event.next_position
                if self._stop.is_set():
                    return

    def has(self, ends: Mapping[tuple[str, int], int]) -> bool:
        return all(self.positions.get(name, 0) >= end for name, end in ends.items())

    def __enter__(self) -> "Task":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def _producing(bootstrap: str, topics: list[str]) -> Iterator[None]:
    stop = threading.Event()

    def produce_all_the_time() -> None:
        with RecordWriter(bootstrap, "lz4") as writer:
            number = 0
            while not stop.wait(0.05):
                for topic in topics:
                    for record in objects(number, number + 20, PARTITIONS):
                        writer.write_record(topic, record)
                number += 20

    thread = threading.Thread(target=produce_all_the_time)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _owners(calls: Calls) -> dict[str, str]:
    return {topic: name for name, reader in calls.readers().items() for topic in reader.topics}


def _joined_ms(calls: Calls, name: str) -> int:
    """When a reader joined; 0 for one that is not there."""
    found = calls.readers().get(name)
    return found.joined_ms if found else 0


def _goes_on(calls: Calls, topics: list[str]) -> None:
    """Every topic is mined further than it is now."""

    def mined() -> dict[str, int]:
        return {
            topic: sum(found.log_end_offset for found in calls.offsets(topic).values())
            for topic in topics
        }

    before = mined()
    eventually(
        lambda: all(now > before[topic] for topic, now in mined().items()), "mining to go on"
    )


def test_three_agents_lose_nothing_under_sigkill_and_sigstop(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    topics = [topic_name(f"agents-{number}") for number in range(6)]
    for topic in topics:
        create_topic(kafka.bootstrap, topic, PARTITIONS)
    chosen = random.Random(7)
    with _stage(kafka, tmp_path) as (service, calls, agents):
        for name in NAMES:
            agents.start(name)
        eventually(lambda: set(calls.readers()) == set(NAMES), "three agents to join")
        assert {reader.host for reader in calls.readers().values()} == {HOST}
        with Task(service.address, topics) as task:
            with _producing(kafka.bootstrap, topics):
                eventually(
                    lambda: set(_owners(calls).values()) == set(NAMES), "topics to be spread"
                )
                _goes_on(calls, topics)
                for fault in (signal.SIGKILL, signal.SIGSTOP) * 2:
                    name = chosen.choice(NAMES)
                    process = agents.running[name].process
                    joined_ms = eventually(partial(_joined_ms, calls, name), f"{name} to be there")
                    process.send_signal(fault)
                    others = set(NAMES) - {name}
                    eventually(
                        lambda left=others: (  # type: ignore[misc]
                            set(owners := _owners(calls)) == set(topics)
                            and set(owners.values()) <= left
                        ),
                        "the others to take over",
                    )
                    _goes_on(calls, topics)
                    if fault is signal.SIGKILL:
                        process.wait()
                        agents.start(name)
                    else:
                        process.send_signal(signal.SIGCONT)
                    eventually(
                        lambda n=name, ms=joined_ms: (  # type: ignore[misc]
                            (back := calls.readers().get(n)) and back.joined_ms > ms and back.topics
                        ),
                        "it to join again and to get topics",
                    )
                    assert (fault is signal.SIGKILL) == (process.poll() is not None)
                    _goes_on(calls, topics)
            truth = {topic: read_all(kafka.bootstrap, topic) for topic in topics}
            ends = {
                (topic, number): rows[-1].offset + 1
                for topic in topics
                for number, rows in truth[topic].items()
            }
            eventually(lambda: task.has(ends), "the task to have everything")
        for topic in topics:
            assert not anomalies(truth[topic], task.seen, topic), "what was followed live"
            late = asyncio.run(full(service.address, f"late-{topic}", topic))
            assert not anomalies(truth[topic], late, topic), "what is in the store"
        # Both that were stopped; another one may have stood still with the machine.
        assert len(service.events("reader_silent")) >= 2
        service.stop()
        for topic in topics:
            check_manifest(service.store, topic, truth[topic])
        assert TOKEN not in service.log_path.read_text()


def test_an_agent_without_the_token_ends_and_changes_nothing(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    with _stage(kafka, tmp_path) as (_, calls, agents):
        stranger = agents.start("stranger", "WRONG", WRONG="another-token-altogether")
        assert stranger.process.wait(60) == 5
        assert calls.readers() == {}
        text = stranger.log_path.read_text()
        assert "JOIN_TOKEN_WRONG" in text or "does not show the join token" in text
        assert "another-token-altogether" not in text


def test_a_pinned_topic_waits_for_its_agent_or_comes_back_to_it(
    kafka: KafkaBroker, topic_name: Name, tmp_path: Path
) -> None:
    strict, loose = topic_name("strict"), topic_name("loose")
    for topic in (strict, loose):
        create_topic(kafka.bootstrap, topic)
        produce(kafka.bootstrap, topic, objects(0, 100))
    with _stage(kafka, tmp_path) as (service, calls, agents):
        for topic in (strict, loose):
            calls.admin.PinTopic(
                tasks.PinTopicRequest(topic=topic, reader="agent-1", strict=topic == strict),
                timeout=CALL_S,
            )
        agents.start("agent-2")
        with Task(service.address, [strict, loose]) as task:
            eventually(lambda: _owners(calls) == {loose: "agent-2"}, "the other to be mined")
            eventually(lambda: task.has({(loose, 0): 100}), "its records")
            assert (strict, 0) not in task.positions
            service.stop()
            service.start()
            agents.start("agent-1")
            eventually(
                lambda: _owners(calls) == {strict: "agent-1", loose: "agent-1"},
                "both to be with the agent that they are pinned to",
            )
            eventually(lambda: task.has({(strict, 0): 100}), "the records that waited")
            for topic in (strict, loose):
                calls.admin.UnpinTopic(tasks.UnpinTopicRequest(topic=topic), timeout=CALL_S)
            eventually(
                lambda: set(_owners(calls).values()) == {"agent-1", "agent-2"},
                "the topics to be spread",
            )
        answer = calls.admin.ListReaders(admin.ListReadersRequest(), timeout=CALL_S)
        assert {reader.name for reader in answer.readers} == {"agent-1", "agent-2"}
