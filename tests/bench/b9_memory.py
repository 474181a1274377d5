"""B9: how much more memory the service takes when the log is ten times as long."""

from __future__ import annotations

from tests.bench.processes import PeakMemory
from tests.bench.report import Figure, Side, Target, absolute, ratio
from tests.bench.service import Settings
from tests.bench.stage import PARTITIONS, Loaded, Stage, in_turn

_TARGET = Target("at most", 1.1, 1.0)
_MIB = 1024 * 1024
# A log of this size fills the default caches.
_FILLING_RECORDS = 1_000_000
_DEFAULTS = {"memory_bytes_max": 64 * _MIB, "chunk_cache_bytes_max": 96 * _MIB}
_SEALS_PER_PARTITION = 4


def measure(stage: Stage) -> list[Figure]:
    """Take the largest resident size while a fresh store is mined and one task reads it all."""
    options = stage.options
    short, long = stage.topic(options.records), stage.topic(options.records * options.growth)
    settings, notes = _settings(short.records)
    of_short: list[float] = []
    of_long: list[float] = []
    default: list[float] = []
    for run in stage.runs("B9"):
        in_turn(
            run,
            lambda: of_short.append(_peak_bytes(stage, short, settings)),
            lambda: of_long.append(_peak_bytes(stage, long, settings)),
            lambda: default.append(_peak_bytes(stage, long, None)),
        )
    over = Side(f"{long.records:,} records", "B", tuple(of_long))
    under = Side(f"{short.records:,} records", "B", tuple(of_short))
    title = f"memory of the service, log {options.growth} times as long"
    at_most = Side(over.name, "B", tuple(default))
    return [
        ratio("B9", title, over, under, _TARGET, notes),
        absolute("B9d", "memory of the service, default settings", at_most),
    ]


def _settings(records: int) -> tuple[Settings, list[str]]:
    """Return settings under which the shorter log goes through all that the longer one does.

    Its journals become full and are sealed, and its frames fill the caches.
    """
    limit = records // (PARTITIONS * _SEALS_PER_PARTITION)
    store: dict[str, object] = {"segment_records_max": limit}
    notes = [
        f"both logs: a journal is full at {limit:,} records, so that the shorter is sealed too"
    ]
    if records < _FILLING_RECORDS:
        sizes = {
            name: max(_MIB, size * records // _FILLING_RECORDS) for name, size in _DEFAULTS.items()
        }
        told = ", ".join(f"{name} = {size // _MIB} MiB" for name, size in sizes.items())
        notes.append(f"scaled down: {told}, so that the shorter log fills them")
        store |= sizes
    return {"store": store}, notes


def _peak_bytes(stage: Stage, topic: Loaded, settings: Settings | None) -> float:
    patience_s = stage.patience_s(topic.records)
    with (
        stage.service("b9", settings) as service,
        stage.workers("cache") as (task,),
        PeakMemory(service.pid) as memory,
    ):
        service.mine(topic.name, topic.records, patience_s)
        job = stage.cache_job(service, topic)
        digest = task.run("digest-arrow", job, patience_s)["digest"]
        stage.check_digest(f"B9, {topic.records:,} records", topic, digest)
    return float(memory.peak_bytes)
