"""B20: a sync task with one transform, against the same task with none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tests.bench.digest import Json
from tests.bench.report import Figure, Side, ratio
from tests.bench.service import Service
from tests.bench.stage import Loaded, Stage, in_turn

_UNIT = "records/s"
_NONE = "no transform"
_SQL = "select record_offset, value->>'$.after.dest' as dest, value->'$.after.id' as id from batch"
_HERE = "tests.bench.transforming"
_TRANSFORMS: Mapping[str, tuple[str, Json]] = {
    "r": ("rename two fields", {"kind": "rename", "fields": {"op": "what", "after.dest": "to"}}),
    "d": ("drop two fields", {"kind": "drop", "fields": ["source", "after.tailnum"]}),
    "c": ("cast two fields", {"kind": "cast", "fields": {"ts_ms": "timestamp_ms", "op": "string"}}),
    "l": ("flatten", {"kind": "flatten"}),
    "i": ("filter", {"kind": "filter", "condition": 'op == "c" and after.distance >= 0'}),
    "u": ("unwrap Debezium's events", {"kind": "debezium"}),
    "pr": (
        "Python on records",
        {"kind": "python", "on": "records", "function": f"{_HERE}:on_records"},
    ),
    "pb": (
        "Python on batches",
        {"kind": "python", "on": "batches", "function": f"{_HERE}:on_batches"},
    ),
    "s": ("sql", {"kind": "sql", "query": _SQL}),
}
"""By the end of the figure's name: what it is, and the settings. None of them drops a record."""


def measure(stage: Stage) -> list[Figure]:
    """Time from making the task to the end of a cached topic; the sink only counts."""
    topic = stage.topic(stage.options.records)
    rates: dict[str, list[float]] = {name: [] for name in ("", *_TRANSFORMS)}
    with stage.service("b20") as service:
        service.mine(topic.name, topic.records, stage.patience_s(topic.records))
        for run in stage.runs("B20"):
            one = partial(_one, stage, topic, service, rates)
            in_turn(run, *(partial(one, name) for name in rates))
    under = Side(_NONE, _UNIT, tuple(rates[""]))
    return [
        ratio(f"B20{name}", f"sync task: {title}", Side(title, _UNIT, tuple(rates[name])), under)
        for name, (title, _) in _TRANSFORMS.items()
    ]


def _one(
    stage: Stage, topic: Loaded, service: Service, rates: dict[str, list[float]], name: str
) -> None:
    transforms: Sequence[Json] = [_TRANSFORMS[name][1]] if name else []
    job: Json = {"service": service.target, "topic": topic.name, "transforms": transforms}
    with stage.workers("transforming") as (worker,):
        done = worker.run("run", job, stage.patience_s(topic.records))
    rates[name].append(topic.records / done["seconds"])
    found = done["rows"], done["refused"]
    title = _TRANSFORMS[name][0] if name else _NONE
    stage.check(f"B20 {title}: records", found == (topic.records, 0), f"{found}")
