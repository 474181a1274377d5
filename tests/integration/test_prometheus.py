"""Prometheus itself watches a real service; and many scrapers do no harm to its tasks."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil
import pytest
from confluent_kafka import Producer

from cachesvc.client import Client, Mode
from tests.faults.stage import eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.prometheus import Prometheus
from tests.support.service import ServiceProcess
from tests.support.tasks import full
from tests.support.topics import create_topic, produce

SCRAPED_S = float(os.environ.get("CACHESVC_SCRAPES_S", "3"))
SCRAPES_PER_S = 100
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180 + 3 * SCRAPED_S)]
Name = Callable[[str], str]
RECORDS = 500
RATE = 500
TASKS = 4


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    settings = {"alarms": {"interval_s": 0.2, "raise_after_s": 0, "clear_after_s": 0}}
    directory = tmp_path_factory.mktemp("watched")
    with ServiceProcess(directory, kafka.bootstrap, settings, http=True) as running:
        yield running


def _cachesvc(service: ServiceProcess, *words: str) -> str:
    command = [sys.executable, "-m", "cachesvc", *words, "--address", service.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_alert_fires_and_ends(
    service: ServiceProcess,
    kafka: KafkaBroker,
    topic_name: Name,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    topic = topic_name("scraped")
    create_topic(kafka.bootstrap, topic, 1)
    produce(kafka.bootstrap, topic, objects(0, RECORDS, 1))
    asyncio.run(full(service.address, "scraped", topic))
    # As they come, but for how long something has to be wrong.
    rules = re.sub(r"for: \w+", "for: 1s", _cachesvc(service, "monitoring", "rules"))
    directory = tmp_path_factory.mktemp("prometheus") / "server"
    with Prometheus(directory, service.web.removeprefix("http://"), rules) as prometheus:

        def alarms() -> list[str]:
            firing = prometheus.firing()
            return [labels["kind"] for name, labels in firing if name == "CachesvcAlarm"]

        def scraped() -> list[str]:
            """Nothing once the last scrape was one; what it failed of before."""
            return [] if (failed := prometheus.errors()) == [""] else failed or ["none yet"]

        eventually(lambda: not scraped(), f"a scrape, {scraped()}")
        mined = f'cachesvc_mined_records_total{{topic="{topic}"}}'
        eventually(lambda: set(prometheus.query(mined).values()) == {RECORDS}, mined)
        eventually(lambda: alarms() == [], "nothing to be wrong")
        _cachesvc(service, "mining", "stop", "default")
        eventually(lambda: alarms() == ["task_stopped"], "the alert")
        _cachesvc(service, "mining", "start", "default")
        eventually(lambda: alarms() == [], "its end")
        eventually(lambda: not scraped(), "another scrape")


@dataclass
class Reading:
    """What a task got: numbers of records, and how old they were in milliseconds."""

    numbers: list[int] = field(default_factory=list)
    ages_ms: list[float] = field(default_factory=list)

    def percentile_ms(self, begin: int, end: int, share: float) -> float:
        """Of the ages of records in a range of numbers."""
        found = zip(self.numbers, self.ages_ms, strict=True)
        ages = sorted(age for number, age in found if begin <= number < end)
        return ages[min(len(ages) - 1, int(len(ages) * share))]


async def _read(address: str, topic: str, name: str, started: asyncio.Event, count: int) -> Reading:
    found = Reading()
    async with (
        Client(address) as client,
        client.subscribe(name, topics=[topic], mode=Mode.FULL_AND_INCREMENTAL) as stream,
    ):
        started.set()
        async for batch in stream:
            now_s = time.time()
            for record in batch:
                value = json.loads(record.value or b"")
                found.numbers.append(value["number"])
                found.ages_ms.append((now_s - value["at_s"]) * 1000)
            if len(found.numbers) >= count:
                return found
    raise AssertionError("the stream ended")


async def _produce(producer: Producer, topic: str, begin: int, end: int) -> None:
    begin_s = time.monotonic()
    for number in range(begin, end):
        await asyncio.sleep(begin_s + (number - begin) / RATE - time.monotonic())
        value = json.dumps({"number": number, "at_s": time.time()}).encode()
        producer.produce(topic, value, partition=0)
        producer.poll(0)
    await asyncio.to_thread(producer.flush, 60)


def test_many_scrapes_do_no_harm(
    service: ServiceProcess, kafka: KafkaBroker, topic_name: Name
) -> None:
    """``CACHESVC_SCRAPES_S=60`` has it last a minute; -s shows the figures."""
    topic = topic_name("steady")
    create_topic(kafka.bootstrap, topic, 1)
    half = round(RATE * SCRAPED_S)
    count = 2 * half
    command = ["-m", "tests.support.scraper", f"{service.web}/metrics", str(SCRAPES_PER_S)]
    process = psutil.Process(service.pid)

    async def body() -> tuple[list[Reading], dict[str, list[float]], list[float]]:
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
        started = [asyncio.Event() for _ in range(TASKS)]
        async with asyncio.timeout(120 + 3 * SCRAPED_S), asyncio.TaskGroup() as tasks:
            reading = [
                tasks.create_task(_read(service.address, topic, f"steady-{n}", started[n], count))
                for n in range(TASKS)
            ]
            for each in started:
                await each.wait()
            cpu_s = [_cpu_s(process)]
            await _produce(producer, topic, 0, half)
            cpu_s.append(_cpu_s(process))
            scraper = await asyncio.create_subprocess_exec(
                sys.executable, *command, str(SCRAPED_S), stdout=asyncio.subprocess.PIPE
            )
            assert scraper.stdout is not None
            begun = tasks.create_task(scraper.stdout.read())
            await _produce(producer, topic, half, count)
            found = json.loads(await begun)
            cpu_s.append(_cpu_s(process))
            await scraper.wait()
        return [each.result() for each in reading], found, cpu_s

    readings, scrapes, cpu_s = asyncio.run(body())
    assert scrapes["failures"] == []
    assert len(scrapes["took_ms"]) == round(SCRAPES_PER_S * SCRAPED_S)
    for found in readings:
        assert found.numbers == list(range(count)), "every record once, in order"
    before, meanwhile = (
        [found.percentile_ms(begin, begin + half, 0.5) for found in readings] for begin in (0, half)
    )
    took_ms = sorted(scrapes["took_ms"])
    print(
        f"\n{len(took_ms):,} scrapes, median {took_ms[len(took_ms) // 2]:.1f} ms, "
        f"99 % {took_ms[int(len(took_ms) * 0.99)]:.1f} ms; "
        + "; ".join(
            f"records {what}: median {_worst(readings, begin, half, 0.5):.1f} ms, "
            f"99 % {_worst(readings, begin, half, 0.99):.1f} ms, {spent:.2f} s of CPU"
            for what, begin, spent in (
                ("without", 0, cpu_s[1] - cpu_s[0]),
                ("meanwhile", half, cpu_s[2] - cpu_s[1]),
            )
        )
    )
    # A machine with others on it is slow at times; harm would be a queue that grows.
    assert max(meanwhile) < 10 * max(before) + 3_000, (before, meanwhile)


def _worst(readings: list[Reading], begin: int, half: int, share: float) -> float:
    return max(found.percentile_ms(begin, begin + half, share) for found in readings)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
