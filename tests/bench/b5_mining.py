"""B5: how fast a topic is mined, compared with a loop that throws its records away."""

from __future__ import annotations

from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Settings
from tests.bench.stage import PARTITIONS, Loaded, Stage, in_turn

_TARGET = Target("at least", 0.6, 1.5)
_UNIT = "records/s"
_SEALS_PER_PARTITION = 4
_SEGMENT_RECORDS_MAX = 1_000_000


def measure(stage: Stage) -> list[Figure]:
    """Time from the first subscription to the source's end, with full journals sealed."""
    topic = stage.topic(stage.options.records)
    limit = min(_SEGMENT_RECORDS_MAX, topic.records // (PARTITIONS * _SEALS_PER_PARTITION))
    sealing: Settings = {"store": {"segment_records_max": limit}}
    mined: list[float] = []
    default: list[float] = []
    bare: list[float] = []
    for run in stage.runs("B5"):
        in_turn(
            run,
            lambda: mined.append(_mine(stage, topic, sealing)),
            lambda: bare.append(_discard(stage, topic)),
            lambda: default.append(_mine(stage, topic, None)),
        )
    under = Side("bare aiokafka loop", _UNIT, tuple(bare))
    note = f"a journal is full at {limit:,} records, so that a log of this size is sealed as well"
    return [
        ratio("B5", "mining", Side("mining", _UNIT, tuple(mined)), under, _TARGET, [note]),
        ratio("B5d", "mining, default limits", Side("mining", _UNIT, tuple(default)), under),
    ]


def _mine(stage: Stage, topic: Loaded, settings: Settings | None) -> float:
    patience_s = stage.patience_s(topic.records)
    with stage.service("b5", settings) as service:
        seconds = service.mine(topic.name, topic.records, patience_s)
        with stage.workers("cache") as (task,):
            job = stage.cache_job(service, topic)
            digest = task.run("digest-arrow", job, patience_s)["digest"]
        stage.check_digest("B5", topic, digest)
    return topic.records / seconds


def _discard(stage: Stage, topic: Loaded) -> float:
    with stage.workers("direct") as (worker,):
        answer = worker.run("bare", stage.direct_job(topic), stage.patience_s(topic.records))
    stage.check(
        "B5, bare loop: count",
        answer["records"] == topic.records,
        f"{answer['records']:,} records instead of {topic.records:,}",
    )
    return topic.records / float(answer["seconds"])
