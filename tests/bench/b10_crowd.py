"""B10: whether 500 subscribers get as much as one, and all of them about the same."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from tests.bench.digest import Json
from tests.bench.processes import cpu_seconds, run_all
from tests.bench.report import Figure, Side, Target, absolute, ratio
from tests.bench.service import Service
from tests.bench.stage import Loaded, Stage, in_turn

SUBSCRIBERS = 500
IDLE_STREAMS = 5_000
PROCESSES = 4
_RECORDS_MAX = 200_000
_DELIVERED = Target("at least", 1)
_SLOWEST = Target("at least", 0.8)
_UNIT = "records/s"
_MIB = 1 << 20
_IDLE_RECORDS = 10_000
_IDLE_S = 20.0
_SUBSCRIBE_S = 0.05


def measure_idle(stage: Stage) -> list[Figure]:
    """Hold streams on a topic that is cached to its end, while nothing is produced."""
    topic = stage.topic(min(stage.options.records, _IDLE_RECORDS))
    cpu: list[float] = []
    memory: list[float] = []
    opening: list[float] = []
    for _ in stage.runs("B10I"):
        with stage.service("b10i") as service:
            service.mine(topic.name, topic.records, stage.patience_s(topic.records))
            found = _idle(stage, topic, service)
            cpu.append(100 * found.share)
            memory.append(found.grown_bytes / _MIB)
            opening.append(found.opening_s)
    title = f"{IDLE_STREAMS:,} idle streams"
    return [
        absolute(
            "B10i",
            f"{title}, service",
            Side("of a core", "%", tuple(cpu)),
            Target("at most", 25),
            [f"{_IDLE_S} s; {PROCESSES} processes hold the streams, 50 on a connection"],
        ),
        absolute(
            "B10im",
            f"{title}, memory",
            Side("grown by", "MiB", tuple(memory)),
            Target("at most", 1024),
        ),
        absolute(
            "B10io",
            f"{title}, opened in",
            Side("from the first to the last", "s", tuple(opening)),
            Target("at most", 100),
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Idle:
    """What idle streams cost: of a core, in bytes, and the seconds in which they were opened."""

    share: float
    grown_bytes: int
    opening_s: float


def _idle(stage: Stage, topic: Loaded, service: Service) -> _Idle:
    """Open streams, hold them, and look at the service meanwhile."""
    job = {
        **stage.cache_job(service, topic),
        "streams": IDLE_STREAMS // PROCESSES,
        "idle_s": _IDLE_S,
    }
    patience_s = stage.patience_s(0) + IDLE_STREAMS * _SUBSCRIBE_S
    process = psutil.Process(service.pid)
    small_bytes = process.memory_info().rss
    with stage.workers("cache", PROCESSES) as crew:
        asked = time.monotonic()
        for worker in crew:
            worker.tell("idle", job)
        for worker in crew:
            worker.answer(patience_s, "subscribed")
        opening_s = time.monotonic() - asked
        began, before = time.monotonic(), cpu_seconds([service.pid])
        for worker in crew:
            worker.answer(patience_s, "idle")
        share = (cpu_seconds([service.pid]) - before) / (time.monotonic() - began)
        grown_bytes = process.memory_info().rss - small_bytes
        found = [worker.answer(patience_s)["open"] for worker in crew]
    stage.check("B10i: streams stay open", sum(found) == IDLE_STREAMS, f"{found}")
    return _Idle(share, grown_bytes, opening_s)


def measure(stage: Stage) -> list[Figure]:
    """Let streams run through a topic that is cached already; nobody decodes anything."""
    topic = stage.topic(min(stage.options.records, _RECORDS_MAX))
    one: list[float] = []
    crowd: list[float] = []
    fairness: list[float] = []
    opening: list[float] = []
    with stage.service("b10") as service:
        service.mine(topic.name, topic.records, stage.patience_s(topic.records))

        def measure_one() -> None:
            rates = _Rates.of(_deliver(stage, topic, service, processes=1, streams=1))
            one.append(rates.together)

        def measure_crowd() -> None:
            streams = SUBSCRIBERS // PROCESSES
            found = _deliver(stage, topic, service, processes=PROCESSES, streams=streams)
            rates = _Rates.of(found)
            crowd.append(rates.together)
            fairness.append(min(rates.each) / statistics.median(rates.each))
            opening.append(rates.opening_s)

        for run in stage.runs("B10"):
            in_turn(run, measure_one, measure_crowd)
    over = Side(f"{SUBSCRIBERS} subscribers, together", _UNIT, tuple(crowd))
    under = Side("1 subscriber", _UNIT, tuple(one))
    notes = [f"{PROCESSES} processes hold the streams; {topic.records:,} records for each"]
    title = f"{SUBSCRIBERS} subscribers"
    slowest = Side("slowest ÷ median", "", tuple(fairness))
    return [
        ratio("B10", f"{title}, delivered", over, under, _DELIVERED, notes),
        absolute("B10s", f"{title}, the slowest one's rate", slowest, _SLOWEST),
        absolute(
            "B10o",
            f"{title}, opened in",
            Side("from the first asked to the last open", "s", tuple(opening)),
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Rates:
    """Records per second, all counted from when the first stream was open; and when the last was.

    Attributes:
        each: Of each stream.
        together: Of all of them.
        opening_s: From when the first one was asked for to when the last one was open.
    """

    each: tuple[float, ...]
    together: float
    opening_s: float

    @classmethod
    def of(cls, streams: Sequence[Json]) -> _Rates:
        first_s = min(stream["opened_s"] for stream in streams)
        last_s = max(stream["complete_s"] for stream in streams)
        each = tuple(s["records"] / (s["complete_s"] - first_s) for s in streams)
        opening_s = max(s["opened_s"] for s in streams) - min(s["began_s"] for s in streams)
        return cls(each, sum(s["records"] for s in streams) / (last_s - first_s), opening_s)


def _deliver(
    stage: Stage, topic: Loaded, service: Service, *, processes: int, streams: int
) -> list[Json]:
    """Let everybody have everything; return what each stream tells of itself."""
    job: Json = {**stage.cache_job(service, topic), "streams": streams}
    patience_s = stage.patience_s(processes * streams * topic.records)
    with stage.workers("cache", processes) as crew:
        answers = run_all(crew, "crowd", job, patience_s)
        digest = crew[0].run("digest-arrow", job, patience_s)["digest"]
    stage.check_digest("B10", topic, digest)
    found: list[Json] = [stream for answer in answers for stream in answer["streams"]]
    wrong = [stream for stream in found if stream["ends"] != dict(topic.ends)]
    wrong += [stream for stream in found if stream["records"] != topic.records]
    stage.check("B10: counts and last positions", not wrong, f"{wrong[:1]}")
    return found
