"""B1: how many bytes leave the broker for 16 subscribers, compared with one."""

from __future__ import annotations

from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.stage import Loaded, Stage, in_turn, require_broker

SUBSCRIBERS = 16
_TARGET = Target("at most", 1.0)
_NOTE = "direct: 16, because every consumer fetches everything"


def measure(stage: Stage) -> list[Figure]:
    """Count at a proxy before the broker, with a fresh store each time."""
    topic = stage.topic(stage.options.records)
    one: list[float] = []
    many: list[float] = []
    late: list[float] = []
    for run in stage.runs("B1"):
        in_turn(
            run,
            lambda: one.append(_bytes_out(stage, topic, 1, 0)),
            lambda: many.append(_bytes_out(stage, topic, SUBSCRIBERS, 0)),
            lambda: late.append(_bytes_out(stage, topic, SUBSCRIBERS // 2, SUBSCRIBERS // 2)),
        )
    under = Side("1 subscriber", "B", tuple(one))
    over = Side(f"{SUBSCRIBERS} subscribers", "B", tuple(many))
    joined = Side(f"{SUBSCRIBERS}, half of them late", "B", tuple(late))
    title = "bytes out of the broker"
    return [
        ratio("B1", title, over, under, _TARGET, [_NOTE]),
        ratio("B1l", f"{title}, half of them joining late", joined, under, _TARGET),
    ]


def _bytes_out(stage: Stage, topic: Loaded, at_once: int, late: int) -> float:
    broker, proxy = require_broker(stage), stage.proxy
    assert proxy is not None
    patience_s = stage.patience_s((at_once + late) * topic.records)
    service = stage.service("b1", bootstrap=broker.proxied_bootstrap)
    with service, stage.workers("cache", at_once + late) as tasks:
        job = stage.cache_job(service, topic)
        proxy.reset_counts()
        for task in tasks[:at_once]:
            task.tell("digest-arrow", job)
        if late:
            service.await_records(topic.name, topic.records // 2, patience_s)
            for task in tasks[at_once:]:
                task.tell("digest-arrow", job)
        for task in tasks:
            digest = task.answer(patience_s)["digest"]
            stage.check_digest(f"B1, {at_once}+{late} subscribers", topic, digest)
        return float(proxy.bytes_to_client)
