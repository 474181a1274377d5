"""B18: what a task keeps of its rate while others, at another address, do their worst."""

from __future__ import annotations

import os
import time

from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Service
from tests.bench.stage import Loaded, Stage
from tests.support.hostile import hostile

_TARGET = Target("at least", 0.8)
_UNIT = "records/s"
_REQUEST_BYTES = 1 << 18
_SETTINGS = {
    "callers": {
        "calls_per_s_max": 100,
        "connection_calls_max": 100,
        "request_bytes_max": _REQUEST_BYTES,
    }
}
_LEAD_S = 2.0
_FIGURES = {
    "half-open": ("B18", "beside 300 connections that say nothing"),
    "idle": ("B18i", "beside 3,000 idle connections"),
    "flood": ("B18f", "beside a flood of tiny calls"),
    "large": ("B18l", "beside requests at the size limit"),
    "endless-headers": ("B18e", "beside headers without end"),
}


def measure(stage: Stage) -> list[Figure]:
    """Read a cached topic in full, alone and beside each kind of hostile callers in turn."""
    topic = stage.topic(stage.options.records)
    alone: dict[str, list[float]] = {kind: [] for kind in _FIGURES}
    beside: dict[str, list[float]] = {kind: [] for kind in _FIGURES}
    os.environ["REQUEST_BYTES"] = str(_REQUEST_BYTES)
    with stage.service("b18", _SETTINGS) as service:
        service.mine(topic.name, topic.records, stage.patience_s(topic.records))
        _rate(stage, service, topic)
        for _ in stage.runs("B18"):
            for kind in _FIGURES:
                alone[kind].append(_rate(stage, service, topic))
                with hostile(kind, service.target):
                    time.sleep(_LEAD_S)
                    beside[kind].append(_rate(stage, service, topic))
    note = "callers.calls_per_s_max = 100, connection_calls_max = 100, request_bytes_max = 256 KiB"
    return [
        ratio(
            name,
            title,
            Side("beside them", _UNIT, tuple(beside[kind])),
            Side("alone", _UNIT, tuple(alone[kind])),
            _TARGET,
            [note] if kind == "half-open" else [],
        )
        for kind, (name, title) in _FIGURES.items()
    ]


def _rate(stage: Stage, service: Service, topic: Loaded) -> float:
    job = stage.cache_job(service, topic)
    with stage.workers("cache") as (task,):
        seconds = task.run("arrow", job, stage.patience_s(topic.records))["seconds"]
    return float(topic.records / seconds)
