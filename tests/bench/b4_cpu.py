"""B4: what 16 tasks on one topic cost in CPU time, everything included."""

from __future__ import annotations

from collections.abc import Sequence

from tests.bench.digest import Json
from tests.bench.processes import cpu_seconds, run_all
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.stage import Loaded, Stage, in_turn

TASKS = 16
_CLIENTS = ("aiokafka", "confluent")
_TARGETS = {"B4": Target("at most", 0.35, 0.125), "B4a": Target("at most", 0.25, 0.125)}
_UNIT = "s CPU"


def measure(stage: Stage) -> list[Figure]:
    """Add up service, reader, tasks and broker, mining from an empty store included."""
    topic = stage.topic(stage.options.records)
    records: list[float] = []
    arrow: list[float] = []
    direct: list[float] = []
    for run in stage.runs("B4"):
        in_turn(
            run,
            lambda: records.append(_cache(stage, topic, "records")),
            lambda: direct.append(min(_direct(stage, topic, client) for client in _CLIENTS)),
            lambda: arrow.append(_cache(stage, topic, "arrow")),
        )
    under = Side("direct", _UNIT, tuple(direct))
    title = f"CPU of everything, {TASKS} tasks × {topic.records:,} records"
    notes = [] if stage.broker else ["the broker is not counted: it is not ours to look at"]
    over = Side("cache, Python records", _UNIT, tuple(records))
    columns = Side("cache, Arrow", _UNIT, tuple(arrow))
    return [
        ratio("B4", title, over, under, _TARGETS["B4"], notes),
        ratio("B4a", f"{title}, as Arrow", columns, under, _TARGETS["B4a"]),
    ]


def _cache(stage: Stage, topic: Loaded, encoding: str) -> float:
    patience_s = stage.patience_s(TASKS * topic.records)
    with stage.service("b4") as service, stage.workers("cache", TASKS) as tasks:
        job = stage.cache_job(service, topic)
        servers = [service.pid, *_broker(stage)]
        before = cpu_seconds(servers)
        answers = run_all(tasks, encoding, job, patience_s)
        service.await_sealed(topic.name, patience_s)
        used = cpu_seconds(servers) - before + _tasks(answers)
        _check(stage, topic, f"B4, cache, {encoding}", answers)
        digest = tasks[0].run(f"digest-{encoding}", job, patience_s)["digest"]
        stage.check_digest(f"B4, cache, {encoding}", topic, digest)
    return used


def _direct(stage: Stage, topic: Loaded, client: str) -> float:
    patience_s = stage.patience_s(TASKS * topic.records)
    with stage.workers("direct", TASKS) as tasks:
        before = cpu_seconds(_broker(stage))
        answers = run_all(tasks, client, stage.direct_job(topic), patience_s)
        used = cpu_seconds(_broker(stage)) - before + _tasks(answers)
    _check(stage, topic, f"B4, direct, {client}", answers)
    return used


def _check(stage: Stage, topic: Loaded, name: str, answers: Sequence[Json]) -> None:
    for answer in answers:
        stage.check_tally(name, topic, answer["tally"])


def _tasks(answers: Sequence[Json]) -> float:
    return sum(float(answer["cpu_s"]) for answer in answers)


def _broker(stage: Stage) -> list[int]:
    pid = stage.broker.pid if stage.broker else None
    return [] if pid is None else [pid]
