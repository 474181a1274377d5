"""B2 and B3: one task catches up on a whole topic, as Python records and as Arrow batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.bench.processes import BenchError
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.service import Service
from tests.bench.stage import Loaded, Stage, in_turn

CLIENTS = ("aiokafka", "confluent")
_AS = {"B2": "records", "B3": "arrow"}
_TITLES = {"B2": "catch-up as Python records", "B3": "catch-up as Arrow batches"}
_TARGETS = {
    "B2": Target("at least", 6, 8),
    "B2p": Target("at least", 3),
    "B3": Target("at least", 10, 20),
    "B3p": Target("at least", 5),
}
_VARIANTS = {
    "": "",
    "r": ", after a restart of the service",
    "p": ", from Parquet alone (warm_bytes_max = 0)",
}
_UNIT = "records/s"


@dataclass(slots=True)
class _Rates:
    """Records per second, one value per run."""

    direct: list[float] = field(default_factory=list)
    clients: Counter[str] = field(default_factory=Counter)
    cache: dict[str, list[float]] = field(default_factory=dict)


def measure(stage: Stage) -> list[Figure]:
    """Time from making the client to the last record, in a process of its own each."""
    wanted = [name for name in _AS if name in stage.options.only]
    topic = stage.topic(stage.options.records)
    rates = _Rates(cache={name + variant: [] for name in wanted for variant in _VARIANTS})
    parquet = stage.sealed(topic)
    for run in stage.runs(", ".join(wanted)):
        in_turn(
            run,
            lambda: _direct(stage, topic, rates),
            *(_mined(stage, topic, name, rates) for name in wanted),
            *(_from_parquet(stage, topic, name, parquet, rates) for name in wanted),
        )
    return [_figure(name, variant, rates) for name in wanted for variant in _VARIANTS]


def _direct(stage: Stage, topic: Loaded, rates: _Rates) -> None:
    """The faster one of two clients is the bar."""
    best: dict[str, float] = {}
    for client in CLIENTS:
        with stage.workers("direct") as (worker,):
            patience_s = stage.patience_s(topic.records)
            answer = worker.run(client, stage.direct_job(topic), patience_s)
        stage.check_tally(f"direct {client}", topic, answer["tally"])
        best[client] = topic.records / answer["seconds"]
    fastest = max(best, key=best.__getitem__)
    rates.direct.append(best[fastest])
    rates.clients[fastest] += 1


def _mined(stage: Stage, topic: Loaded, name: str, rates: _Rates) -> Callable[[], None]:
    """A fresh store as mining leaves it, read once; then once more after a restart."""

    def measure_it() -> None:
        with stage.service("b2") as service:
            service.mine(topic.name, topic.records, stage.patience_s(topic.records))
            rates.cache[name].append(_catch_up(stage, topic, name, service))
            service.restart()
            rates.cache[name + "r"].append(_catch_up(stage, topic, name, service))

    return measure_it


def _from_parquet(
    stage: Stage, topic: Loaded, name: str, service: Service, rates: _Rates
) -> Callable[[], None]:
    """A service that was just started on segments alone, so that nothing is in its caches."""

    def measure_it() -> None:
        service.start()
        rates.cache[name + "p"].append(_catch_up(stage, topic, name, service))
        service.stop()

    return measure_it


def _catch_up(stage: Stage, topic: Loaded, name: str, service: Service) -> float:
    job = stage.cache_job(service, topic)
    patience_s = stage.patience_s(topic.records)
    with stage.workers("cache") as (task,):
        answer = task.run(_AS[name], job, patience_s)
        digest = task.run(f"digest-{_AS[name]}", job, patience_s)["digest"]
    stage.check_tally(name, topic, answer["tally"])
    stage.check_digest(name, topic, digest)
    if answer["seconds"] <= 0:
        raise BenchError(f"{name}: a stream ended before it had everything")
    return topic.records / float(answer["seconds"])


def _figure(name: str, variant: str, rates: _Rates) -> Figure:
    title = f"{_TITLES[name]}{_VARIANTS[variant]}"
    cache = Side("cache", _UNIT, tuple(rates.cache[name + variant]))
    direct = Side("direct", _UNIT, tuple(rates.direct))
    if variant:
        return ratio(name + variant, title, cache, direct, _TARGETS.get(name + variant))
    faster = ", ".join(f"{client} in {count}" for client, count in rates.clients.items())
    note = f"direct: the faster one of aiokafka and confluent-kafka; {faster} of the runs"
    return ratio(name, title, cache, direct, _TARGETS[name], [note])
