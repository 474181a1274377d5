"""B7: how long the first record from a random old offset of a long log takes."""

from __future__ import annotations

import random
import statistics
import zlib

from tests.bench.digest import Json
from tests.bench.options import RECORDS_MAX
from tests.bench.report import Figure, Side, Target, absolute
from tests.bench.service import Service, Settings
from tests.bench.stage import PARTITIONS, Loaded, Stage
from tests.support.flights import flights

PLACES = 30
_TARGET = Target("at most", 100, 20)
_PARQUET: Settings = {"store": {"warm_bytes_max": 0, "segment_age_s_max": 0.1}}
# The newest part of the log is in memory, and not old.
_OLD_SHARE = 0.8


def measure(stage: Stage) -> list[Figure]:
    """Start a stream at a position, with a new client each time, until its first record."""
    topic = stage.topic(stage.options.long_records)
    patience_s = stage.patience_s(topic.records)
    figures: list[Figure] = []
    with stage.service("b7") as service:
        stage.say(f"B7: mining {topic.records:,} records")
        service.mine(topic.name, topic.records, patience_s)
        figures += _figures(stage, topic, service, "B7", "", _TARGET)
        stage.say("B7: sealing everything, leaving Parquet alone")
        service.restart(_PARQUET)
        service.await_all_sealed(topic.name, patience_s)
        figures += _figures(stage, topic, service, "B7p", ", from Parquet alone", None)
    return figures


def _figures(
    stage: Stage, topic: Loaded, service: Service, name: str, variant: str, target: Target | None
) -> list[Figure]:
    medians: list[float] = []
    slowest: list[float] = []
    for run in stage.runs(name):
        times_ms = first_records(stage, topic, service, name, run)
        medians.append(statistics.median(times_ms))
        slowest.append(max(times_ms))
    title = f"first record from an old offset{variant}"
    notes = [f"{PLACES} random places in a log of {topic.records:,} records"]
    if topic.records < RECORDS_MAX:
        notes.append(f"scaled down: the target is for {RECORDS_MAX:,} records")
    median = Side(f"median of {PLACES}", "ms", tuple(medians))
    worst = Side(f"slowest of {PLACES}", "ms", tuple(slowest))
    return [
        absolute(name, title, median, target, notes),
        absolute(f"{name}s", f"{title}, the slowest", worst, target),
    ]


def first_records(
    stage: Stage, topic: Loaded, service: Service, name: str, run: int
) -> list[float]:
    """Milliseconds to the first record at each of some places, which depend on the run alone."""
    dice = random.Random(f"{name} {run}")
    places: list[tuple[int, int]] = []
    for _ in range(PLACES):
        partition = dice.randrange(PARTITIONS)
        places.append((partition, dice.randrange(int(topic.ends[str(partition)] * _OLD_SHARE))))
    job = {**stage.cache_job(service, topic), "places": places}
    with stage.workers("cache") as (task,):
        found = task.run("first-records", job, stage.patience_s(0))["found"]
    expected = [[offset, _checksum(partition, offset)] for partition, offset in places]
    delivered = [[offset, checksum] for offset, checksum, _ in found]
    detail = f"{delivered} instead of {expected}"
    stage.check(f"{name}: offsets and values", delivered == expected, detail)
    return _milliseconds(found)


def _milliseconds(found: list[Json]) -> list[float]:
    return [1000.0 * float(seconds) for _, _, seconds in found]


def _checksum(partition: int, offset: int) -> int:
    """Of the value that the data set has there; see `load_flights`."""
    ((_, value),) = flights(1, offset * PARTITIONS + partition)
    return zlib.crc32(value)
