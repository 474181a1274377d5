"""B13K: a sync task carries a whole topic into Kafka, against a loop of consumer and producer."""

from __future__ import annotations

from functools import partial

from tests.bench.digest import Json
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Service
from tests.bench.stage import Loaded, Stage, in_turn

_TARGET = Target("at least", 1.5, 3)
_UNIT = "records/s"
# B13K as records are sent by default, B13Kz compressed as they are in the source.
_COMPRESSIONS = {"B13K": "none", "B13Kz": "zstd"}
_TITLES = {"none": "cache → Kafka by a sync task", "zstd": "cache → Kafka by a sync task, zstd"}


def measure(stage: Stage) -> list[Figure]:
    """Time from making the clients to the last confirmation, in a process of its own each."""
    topic = stage.topic(stage.options.records)
    rates: dict[tuple[str, str], list[float]] = {}
    with stage.service("b13") as service:
        service.mine(topic.name, topic.records, stage.patience_s(topic.records))
        for run in stage.runs("B13K"):
            for compression in _COMPRESSIONS.values():
                one = partial(_one, stage, topic, service, compression, rates)
                in_turn(run, partial(one, "task"), partial(one, "loop"))
    return [
        ratio(
            name,
            _TITLES[by],
            Side("sync task", _UNIT, tuple(rates["task", by])),
            Side("consumer and idempotent producer", _UNIT, tuple(rates["loop", by])),
            _TARGET if by == "none" else None,
            ["the loop is written with confluent-kafka; keys, times and partitions are kept"],
        )
        for name, by in _COMPRESSIONS.items()
    ]


def _one(
    stage: Stage,
    topic: Loaded,
    service: Service,
    compression: str,
    rates: dict[tuple[str, str], list[float]],
    side: str,
) -> None:
    patience_s = stage.patience_s(topic.records)
    with stage.empty_topic() as target, stage.workers("sync") as (worker,):
        job: Json = {
            **stage.direct_job(topic),
            "service": service.target,
            "target": target,
            "compression": compression,
        }
        seconds = worker.run(side, job, patience_s)["seconds"]
        rates.setdefault((side, compression), []).append(topic.records / seconds)
        with stage.workers("direct") as (reader,):
            copied = {**stage.direct_job(topic), "topic": target}
            digest = reader.run("digest", copied, patience_s)["digest"]
        stage.check_digest(f"B13K {side}, {compression}", topic, digest)
