"""B11: how fast new records are mined while older ones are mined for somebody, and without that."""

from __future__ import annotations

from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Service
from tests.bench.stage import Loaded, Stage, in_turn

# What the default `backfill_share` of 0.25 leaves: 1 ÷ 1.25.
_TARGET = Target("at least", 0.8)
_UNIT = "records/s"
_OLDER_TIMES = 3
"""The older range is so many times as long: its mining has to outlast that of the new records."""


def measure(stage: Stage) -> list[Figure]:
    """Time from the first subscription to the source's end, by a reader that runs already."""
    topic = stage.topic(stage.options.records)
    older = stage.topic(stage.options.records * _OLDER_TIMES)
    alone: list[float] = []
    beside: list[float] = []
    for run in stage.runs("B11"):
        in_turn(
            run,
            lambda: beside.append(_mine(stage, topic, older, backfill=True)),
            lambda: alone.append(_mine(stage, topic, older, backfill=False)),
        )
    over = Side("beside a backfill", _UNIT, tuple(beside))
    under = Side("alone", _UNIT, tuple(alone))
    note = f"the older range has {older.records:,} records, and was not finished before the topic"
    return [ratio("B11", "mining beside a backfill", over, under, _TARGET, [note])]


def _mine(stage: Stage, topic: Loaded, older: Loaded, *, backfill: bool) -> float:
    patience_s = stage.patience_s(older.records)
    with stage.service("b11") as service:
        _join_at_its_end(stage, service, older)
        if not backfill:
            seconds = service.mine(topic.name, topic.records, patience_s)
            return topic.records / seconds
        with service.reading(older.name):
            service.await_older(older.name, patience_s)
            seconds = service.mine(topic.name, topic.records, patience_s)
            missing = older.records - service.cached_older(older.name)
        stage.check("B11: backfill goes on", missing > 0, "it ended before the topic was mined")
        with stage.workers("cache") as (task,):
            for each in (topic, older):
                job = stage.cache_job(service, each)
                digest = task.run("digest-arrow", job, patience_s)["digest"]
                stage.check_digest(f"B11, {each.records:,} records", each, digest)
    return topic.records / seconds


def _join_at_its_end(stage: Stage, service: Service, older: Loaded) -> None:
    """Have a topic of which everything is missing, and nothing is mined yet."""
    with stage.empty_topic() as first:
        service.want(first)
    service.begin_at(end=True)
    service.want(older.name)
    service.begin_at(end=False)
