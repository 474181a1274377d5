"""B6: how old records are when they reach 16 tasks, at a steady rate; B6s: with scrapes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from tests.bench.digest import Json
from tests.bench.latency import percentile_ms
from tests.bench.processes import ROOT, Worker, child_environment
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.stage import PARTITIONS, Stage, in_turn
from tests.support.ports import HOST, free_ports

TASKS = 16
RATE = 5_000
WARM_UP_S = 5
MEASURED_S = 20
_TARGET = Target("at most", 2, 1)
_SUBSCRIBE_S = 60.0
_HELD_SHARE = 0.98
SCRAPES_PER_S = 100
_SCRAPED_TARGET = Target("at most", 1.25, 1.1)


@dataclass(frozen=True, slots=True)
class _Ages:
    """Of all records of all tasks in one run, in milliseconds."""

    p50: float
    p99: float
    held_up: bool


def measure(stage: Stage) -> list[Figure]:
    """Compare the clock in a record's key with the clock when a task has it in hand."""
    cache: list[_Ages] = []
    direct: list[_Ages] = []
    for run in stage.runs("B6"):
        in_turn(
            run,
            lambda: cache.append(_cache(stage)),
            lambda: direct.append(_direct(stage)),
        )
    title = f"at {RATE:,} records/s × {TASKS} tasks"
    notes = [f"{MEASURED_S} s after {WARM_UP_S} s to warm up; one clock; direct: aiokafka"]
    held_up = sum(ages.held_up for ages in [*cache, *direct])
    if held_up:
        notes.append(f"the machine was too slow: the producer fell behind in {held_up} passes")
    return [
        ratio(
            "B6",
            f"produce to delivery, p99 {title}",
            Side("cache", "ms", tuple(ages.p99 for ages in cache)),
            Side("direct", "ms", tuple(ages.p99 for ages in direct)),
            _TARGET,
            notes,
        ),
        ratio(
            "B6m",
            f"produce to delivery, median {title}",
            Side("cache", "ms", tuple(ages.p50 for ages in cache)),
            Side("direct", "ms", tuple(ages.p50 for ages in direct)),
        ),
    ]


def measure_scraped(stage: Stage) -> list[Figure]:
    """Compare ages while ``/metrics`` is scraped many times a second with those without that."""
    scraped: list[_Ages] = []
    alone: list[_Ages] = []
    for run in stage.runs("B6s"):
        in_turn(
            run,
            lambda: scraped.append(_cache(stage, scraped=True)),
            lambda: alone.append(_cache(stage)),
        )
    return [
        ratio(
            "B6s",
            f"produce to delivery, p99, with {SCRAPES_PER_S} scrapes a second",
            Side("scraped", "ms", tuple(ages.p99 for ages in scraped)),
            Side("not scraped", "ms", tuple(ages.p99 for ages in alone)),
            _SCRAPED_TARGET,
        ),
        ratio(
            "B6sm",
            f"produce to delivery, median, with {SCRAPES_PER_S} scrapes a second",
            Side("scraped", "ms", tuple(ages.p50 for ages in scraped)),
            Side("not scraped", "ms", tuple(ages.p50 for ages in alone)),
        ),
    ]


def _cache(stage: Stage, *, scraped: bool = False) -> _Ages:
    web = f"{HOST}:{free_ports(1)[0]}"
    with (
        stage.empty_topic() as topic,
        stage.service("b6", {"http": {"listen": web}}) as service,
        stage.workers("cache", TASKS) as tasks,
        _scraping(stage, f"http://{web}/metrics") if scraped else nullcontext(),
    ):
        return _follow(stage, "cache", topic, tasks, {"target": service.target})


@contextmanager
def _scraping(stage: Stage, url: str) -> Iterator[None]:
    """Scrapes as long as a pass takes, if all goes well."""
    seconds = WARM_UP_S + MEASURED_S
    command = [sys.executable, "-m", "tests.support.scraper", url, str(SCRAPES_PER_S), str(seconds)]
    scraper = subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=ROOT, env=child_environment(), text=True
    )
    try:
        yield
        found = json.loads(scraper.communicate(timeout=stage.patience_s(0))[0])
    finally:
        scraper.kill()
        scraper.wait()
    answered = len(found["took_ms"])
    stage.check(
        "B6s: scrapes", not found["failures"], f"{answered} answered, {found['failures'][:3]}"
    )


def _direct(stage: Stage) -> _Ages:
    with stage.empty_topic() as topic, stage.workers("direct", TASKS) as tasks:
        return _follow(stage, "direct", topic, tasks, {"bootstrap": stage.bootstrap})


def _follow(stage: Stage, side: str, topic: str, tasks: Sequence[Worker], where: Json) -> _Ages:
    """Return how old records were, those of the time to warm up left out."""
    records = RATE * (WARM_UP_S + MEASURED_S)
    job = {
        "topic": topic,
        "ends": {str(p): len(range(p, records, PARTITIONS)) for p in range(PARTITIONS)},
        "warm_offset": RATE * WARM_UP_S // PARTITIONS,
        **where,
    }
    patience_s = stage.patience_s(TASKS * records)
    with stage.workers("live") as (producer,):
        writing = {"bootstrap": stage.bootstrap, "topic": topic, "rate": RATE}
        for task in tasks:
            task.tell("follow", job)
        for task in tasks:
            task.answer(_SUBSCRIBE_S, "subscribed")
        producer.tell("produce", {**writing, "records": records, "partitions": PARTITIONS})
        producer.answer(patience_s, "prepared")
        written = producer.answer(patience_s)
    answers = [task.answer(patience_s) for task in tasks]
    for answer in answers:
        stage.check(
            f"B6, {side}: checksums",
            answer["digest"] == written["digest"],
            f"{answer['digest']} instead of {written['digest']}",
        )
    measured = [answer["latencies"] for answer in answers]
    held_up = records / written["seconds"] < _HELD_SHARE * RATE
    return _Ages(percentile_ms(measured, 0.5), percentile_ms(measured, 0.99), held_up)
