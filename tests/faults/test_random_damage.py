"""G10 on a whole service: random damage to random files, at rest and while they are served.

Each round takes a fresh copy of one store, damages some of its files at random, has the service
start on it (or damages them while it runs), and reads everything. Of the topic that the source
still has not a record may be missing or wrong; of the one that the source has no more what is
missing has to be a named gap. ``CACHESVC_DAMAGES`` says how many bits and cuts; the seed of every
round is its number.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cachesvc.client import Gap, GapCause
from tests.faults.stage import Calls, eventually, objects
from tests.faults.streams import beyond_gaps
from tests.support.frames import flip_bit
from tests.support.kafka_broker import KafkaBroker
from tests.support.service import ServiceError, ServiceProcess
from tests.support.tasks import full
from tests.support.topics import (
    create_topic,
    delete_records_before,
    produce,
    read_all,
)

DAMAGES = int(os.environ.get("CACHESVC_DAMAGES", "12"))
A_ROUND = 6
SEALED, UNSEALED, PIECE = 8_000, 1_000, 1_000
TIMEOUT_S = 180 + 10 * DAMAGES

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(TIMEOUT_S)]

SETTINGS: dict[str, dict[str, object]] = {
    "store": {
        "segment_bytes_max": 256 << 10,
        # Of some segments the journal is there still, of others not.
        "warm_bytes_max": 1 << 20,
        "memory_bytes_max": 65_536,
        "chunk_cache_bytes_max": 65_536,
    },
    "mining": {"batch_records_max": 500},
    # Segments stay as they are.
    "jobs": {"compact": {"interval_s": 86_400.0}},
    "alarms": {"interval_s": 0.2},
}
Rows = Sequence[tuple[int, bytes | None]]


@dataclass(frozen=True)
class Stage:
    """A store to damage, and what is in it.

    Attributes:
        service: Runs on copies of the store.
        whole: The store as it was when the service was killed.
        truths: By topic, what was mined.
        kept: The topic that the source still has.
        gone: The one that it has no more.
    """

    service: ServiceProcess
    whole: Path
    truths: Mapping[str, Rows]
    kept: str
    gone: str


def _stage(kafka: KafkaBroker, topic_name: Callable[[str], str], directory: Path) -> Stage:
    kept, gone = topic_name("kept"), topic_name("gone")
    service = ServiceProcess(directory, kafka.bootstrap, SETTINGS)
    with service, Calls(service.address) as calls:
        for topic in (kept, gone):
            create_topic(kafka.bootstrap, topic)
            _mine(kafka, service, topic, range(0, SEALED, PIECE))
        calls.run_job("seal")
        for topic in (kept, gone):
            _mine(kafka, service, topic, range(SEALED, SEALED + UNSEALED, PIECE))
            assert len(calls.segments(topic)) > 4
        eventually((service.store / "catalogue-copy.duckdb").exists, "a copy of the catalogue")
        service.kill()
    truths = {
        topic: [(row.offset, row.value) for row in read_all(kafka.bootstrap, topic)[0]]
        for topic in (kept, gone)
    }
    delete_records_before(kafka.bootstrap, gone, {0: SEALED + UNSEALED})
    whole = directory / "whole"
    shutil.move(service.store, whole)
    return Stage(service, whole, truths, kept, gone)


def _mine(kafka: KafkaBroker, service: ServiceProcess, topic: str, begins: Sequence[int]) -> None:
    """In pieces, so that there are several segments, whatever comes in one append."""
    for begin in begins:
        produce(kafka.bootstrap, topic, objects(begin, begin + PIECE))
        asyncio.run(full(service.address, f"mine-{topic}", topic))


def test_random_damage_is_repaired_or_becomes_a_named_gap(
    kafka: KafkaBroker, topic_name: Callable[[str], str], tmp_path: Path
) -> None:
    stage = _stage(kafka, topic_name, tmp_path)
    done: Counter[str] = Counter()
    for number in range(-(-DAMAGES // A_ROUND)):
        count = min(A_ROUND, DAMAGES - number * A_ROUND)
        said = _round(stage, random.Random(number), count, done)
        try:
            _check(stage, done)
        except BaseException:
            print(f"round {number}:", *said, sep="\n  ")
            raise
        finally:
            stage.service.stop()
    print(f"{sum(done[kind] for kind in ('segment', 'journal', 'catalogue'))} damages:", dict(done))


def _round(stage: Stage, chance: random.Random, count: int, done: Counter[str]) -> list[str]:
    """Damages some files of a copy of the store, on which the service runs then."""
    service = stage.service
    shutil.rmtree(service.store, ignore_errors=True)
    shutil.copytree(stage.whole, service.store, ignore=shutil.ignore_patterns("*.sock"))
    at_rest = chance.random() < 0.5
    if not at_rest:
        service.start()
    said = [f"at rest: {at_rest}"]
    for _ in range(count):
        kind, path = _chosen(service.store, chance, catalogue=at_rest)
        if path.exists():
            said.append(f"{path.relative_to(service.store)}: {_damage(path, chance)}")
        done[kind] += 1
    if at_rest and not _starts(service):
        done["rebuilt"] += 1
        _rebuild(service.store)
        service.start()
    return said


def _starts(service: ServiceProcess) -> bool:
    """Whether it starts; else it has to name the way on."""
    try:
        service.start()
    except ServiceError as refused:
        if "cachesvc store rebuild" in str(refused):
            return False
        raise
    return True


def _chosen(store: Path, chance: random.Random, *, catalogue: bool) -> tuple[str, Path]:
    kind = chance.choice(["segment", "journal", *(["catalogue"] if catalogue else [])])
    if kind == "catalogue":
        return kind, store / "catalogue.duckdb"
    patterns = {"segment": "log/**/*.parquet", "journal": "journal/**/*.journal"}
    return kind, chance.choice(sorted(store.glob(patterns[kind])))


def _damage(path: Path, chance: random.Random) -> str:
    """Flips a bit, mostly, or cuts the file somewhere."""
    size = path.stat().st_size
    if size and chance.random() < 0.75:
        bit = chance.randrange(8 * size)
        flip_bit(path, bit)
        return f"bit {bit} of {8 * size}"
    length = chance.randrange(size + 1)
    os.truncate(path, length)
    return f"cut to {length} of {size} bytes"


def _rebuild(store: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cachesvc", "store", "rebuild", "--store", str(store)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def _check(stage: Stage, done: Counter[str]) -> None:
    address = stage.service.address
    seen, gaps = asyncio.run(beyond_gaps(address, stage.kept))
    assert gaps == [], "the source has it"
    _compare(seen, stage.truths[stage.kept])
    seen, gaps = asyncio.run(beyond_gaps(address, stage.gone))
    assert {gap.cause for gap in gaps} <= {GapCause.STORE_DAMAGED}, gaps
    done["gaps"] += len(gaps)
    done["records lost"] += sum(gap.end_offset - gap.begin_offset for gap in gaps)
    _compare(seen, [row for row in stage.truths[stage.gone] if not _lost(gaps, row[0])])


def _lost(gaps: Sequence[Gap], offset: int) -> bool:
    return any(gap.begin_offset <= offset < gap.end_offset for gap in gaps)


def _compare(seen: Rows, truth: Rows) -> None:
    """The same, without printing all of it where it is not."""
    wrong = [pair for pair in zip(seen, truth, strict=False) if pair[0] != pair[1]]
    assert (len(seen), wrong[:1]) == (len(truth), [])
