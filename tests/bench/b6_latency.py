"""B6: how old records are when they reach 16 tasks, at a steady rate."""

from __future__ import annotations

from collections.abc import Sequence

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
_P99 = 0.99
_SUBSCRIBE_S = 60.0
_HELD_SHARE = 0.98


def measure(stage: Stage) -> list[Figure]:
    """Compare the clock in a record's key with the clock when a task has it in hand."""
    cache: list[float] = []
    direct: list[float] = []
    for run in stage.runs("B6"):
        in_turn(
            run,
            lambda: cache.append(_cache(stage)),
            lambda: direct.append(_direct(stage)),
        )
    title = f"produce to delivery, p99 at {RATE:,} records/s × {TASKS} tasks"
    note = (
        f"{MEASURED_S} s after {WARM_UP_S} s to warm up; one host, so one clock; direct: aiokafka"
    )
    over, under = Side("cache", "ms", tuple(cache)), Side("direct", "ms", tuple(direct))
    return [ratio("B6", title, over, under, _TARGET, [note])]


def _cache(stage: Stage) -> float:
    with (
        stage.empty_topic() as topic,
        stage.service("b6") as service,
        stage.workers("cache", TASKS) as tasks,
    ):
        return _follow(stage, "cache", topic, tasks, {"target": service.target})


def _direct(stage: Stage) -> float:
    with stage.empty_topic() as topic, stage.workers("direct", TASKS) as tasks:
        return _follow(stage, "direct", topic, tasks, {"bootstrap": stage.bootstrap})


def _follow(stage: Stage, side: str, topic: str, tasks: Sequence[Worker], where: Json) -> float:
    """Return the p99 in milliseconds of all records of all tasks, warming up left out."""
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
    if records / written["seconds"] < _HELD_SHARE * RATE:
        held = records / written["seconds"]
        stage.say(f"B6, {side}: the producer was held up: {held:,.0f} records/s")
    return percentile_ms([answer["latencies"] for answer in answers], _P99)
