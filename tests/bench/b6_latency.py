"""B6: how old records are when they reach 16 tasks, at a steady rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.digest import Json
from tests.bench.latency import percentile_ms
from tests.bench.processes import Worker
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.stage import PARTITIONS, Stage, in_turn

TASKS = 16
RATE = 5_000
WARM_UP_S = 5
MEASURED_S = 20
_TARGET = Target("at most", 2, 1)
_SUBSCRIBE_S = 60.0
_HELD_SHARE = 0.98


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


def _cache(stage: Stage) -> _Ages:
    with (
        stage.empty_topic() as topic,
        stage.service("b6") as service,
        stage.workers("cache", TASKS) as tasks,
    ):
        return _follow(stage, "cache", topic, tasks, {"target": service.target})


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
