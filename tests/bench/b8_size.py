"""B8: how much room sealed segments take, compared with Kafka's own log."""

from __future__ import annotations

from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Settings
from tests.bench.stage import Loaded, Stage, in_turn, require_broker

_TARGET = Target("at most", 0.6, 0.4)
_SEALED_SOON: Settings = {
    "store": {"warm_bytes_max": 0, "segment_age_s_max": 2.0},
    "jobs.compact": {"lone_age_s": 0.0},
}


def measure(stage: Stage) -> list[Figure]:
    """Seal everything, compact, and look at the sizes of files."""
    topic = stage.topic(stage.options.records)
    segments: list[float] = []
    kafka: list[float] = []
    for run in stage.runs("B8"):
        in_turn(
            run,
            lambda: segments.append(_segment_bytes(stage, topic)),
            lambda: kafka.append(_kafka_bytes(stage, topic)),
        )
    over = Side("segments", "B", tuple(segments))
    under = Side("Kafka's log, zstd", "B", tuple(kafka))
    return [ratio("B8", "size on disk, after compaction", over, under, _TARGET)]


def _segment_bytes(stage: Stage, topic: Loaded) -> float:
    patience_s = stage.patience_s(topic.records)
    with stage.service("b8", _SEALED_SOON) as service:
        service.mine(topic.name, topic.records, patience_s)
        service.await_all_sealed(topic.name, patience_s)
        service.run_job("compact", patience_s)
        live = service.segments(topic.name)
        told = sum(segment.bytes for segment in live)
        on_disk = sum((service.store / segment.path).stat().st_size for segment in live)
        stage.check("B8: sizes", told == on_disk, f"{told} B told, {on_disk} B on disk")
        with stage.workers("cache") as (task,):
            job = stage.cache_job(service, topic)
            digest = task.run("digest-arrow", job, patience_s)["digest"]
        stage.check_digest("B8", topic, digest)
    return float(on_disk)


def _kafka_bytes(stage: Stage, topic: Loaded) -> float:
    data = require_broker(stage).data_directory
    files = data.glob(f"{topic.name}-[0-9]*/*.log")
    return float(sum(file.stat().st_size for file in files))
