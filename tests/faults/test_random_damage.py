"""G10 on a whole service: random damage to random files, at rest and while they are served.

Each round takes a fresh copy of one store, damages some of its files at random, has the service
start on it (or damages them while it runs), and reads everything, from the log and from snapshots.
Of the topic that the source still has not a record may be missing or wrong; of the one that the
source has no more what is missing has to be a named gap. ``CACHESVC_DAMAGES`` says how many bits
and cuts; the seed of every round is its number, and ``CACHESVC_DAMAGES_ROUND`` the first of them.
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

from cachesvc.client import Bootstrap, Client, Gap, GapCause, Mode, PreconditionFailed
from cachesvc.v1 import log_cache_pb2 as pb
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
FIRST_ROUND = int(os.environ.get("CACHESVC_DAMAGES_ROUND", "0"))
A_ROUND = 6
KINDS = ("segment", "journal", "snapshot", "catalogue", "positions")
AT_REST = {"catalogue": "catalogue.duckdb", "positions": "catalogue.duckdb.positions"}
"""Files that only a service that starts reads."""
TASK = "the-task"
_REBUILT = "rebuilt"
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
        committed: Where the task was, one commit after the other; the catalogue has none of it yet.
    """

    service: ServiceProcess
    whole: Path
    truths: Mapping[str, Rows]
    kept: str
    gone: str
    committed: Sequence[int]


def _stage(kafka: KafkaBroker, topic_name: Callable[[str], str], directory: Path) -> Stage:
    kept, gone = topic_name("kept"), topic_name("gone")
    service = ServiceProcess(directory, kafka.bootstrap, SETTINGS, {"snapshot_expression": ".*"})
    with service, Calls(service.address) as calls:
        for topic in (kept, gone):
            create_topic(kafka.bootstrap, topic)
            _mine(kafka, service, topic, range(0, SEALED, PIECE))
        calls.run_job("seal")
        assert calls.run_job("snapshot")["snapshots_made"] == 2
        for topic in (kept, gone):
            _mine(kafka, service, topic, range(SEALED, SEALED + UNSEALED, PIECE))
            assert len(calls.segments(topic)) > 4
        eventually((service.store / "catalogue-copy.duckdb").exists, "a copy of the catalogue")
        committed = asyncio.run(_follow(service.address, kept, commit=True))
        assert len(committed) > 5
        assert (service.store / AT_REST["positions"]).stat().st_size
        service.kill()
    truths = {
        topic: [(row.offset, row.value) for row in read_all(kafka.bootstrap, topic)[0]]
        for topic in (kept, gone)
    }
    delete_records_before(kafka.bootstrap, gone, {0: SEALED + UNSEALED})
    whole = directory / "whole"
    shutil.move(service.store, whole)
    return Stage(service, whole, truths, kept, gone, [at for at, _ in committed])


async def _follow(
    address: str, topic: str, *, commit: bool
) -> list[tuple[int, list[tuple[int, bytes | None]]]]:
    """What a task reads up to the topic's end, by batches, and where it is behind each of them."""
    found = []
    async with (
        asyncio.timeout(120),
        Client(address) as client,
        client.subscribe(TASK, topics=[topic], mode=Mode.FULL) as stream,
    ):
        async for batch in stream:
            rows = [(record.offset, record.value) for record in batch]
            found.append((batch.next_position, rows))
            if commit:
                await stream.commit(batch.position)
    return found


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
        seed = FIRST_ROUND + number
        said = _round(stage, random.Random(seed), count, done)
        try:
            _check(stage, done, rebuilt=_REBUILT in said)
        except BaseException:
            print(f"round {seed}:", *said, sep="\n  ")
            raise
        finally:
            stage.service.stop()
    print(f"{sum(done[kind] for kind in KINDS)} damages:", dict(done))


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
        kind, path = _chosen(service.store, chance, at_rest=at_rest)
        if path.exists():
            said.append(f"{path.relative_to(service.store)}: {_damage(path, chance)}")
        done[kind] += 1
    if at_rest and not _starts(service):
        done[_REBUILT] += 1
        said.append(_REBUILT)
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


def _chosen(store: Path, chance: random.Random, *, at_rest: bool) -> tuple[str, Path]:
    kind = chance.choice([each for each in KINDS if at_rest or each not in AT_REST])
    if kind in AT_REST:
        return kind, store / AT_REST[kind]
    patterns = {
        "segment": "log/**/*.parquet",
        "journal": "journal/**/*.journal",
        "snapshot": "snapshots/**/*.parquet",
    }
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


def _check(stage: Stage, done: Counter[str], *, rebuilt: bool) -> None:
    address = stage.service.address
    _check_task(stage, done)
    # Of one topic damage is found by reading snapshots, of the other one by reading the log.
    _check_snapshot(stage, stage.gone, done, rebuilt=rebuilt)
    seen, gaps = asyncio.run(beyond_gaps(address, stage.kept))
    assert gaps == [], "the source has it"
    _compare(seen, stage.truths[stage.kept])
    seen, gaps = asyncio.run(beyond_gaps(address, stage.gone))
    assert {gap.cause for gap in gaps} <= {GapCause.STORE_DAMAGED}, gaps
    done["gaps"] += len(gaps)
    done["records lost"] += sum(gap.end_offset - gap.begin_offset for gap in gaps)
    _compare(seen, [row for row in stage.truths[stage.gone] if not _lost(gaps, row[0])])
    _check_snapshot(stage, stage.kept, done, rebuilt=rebuilt)


def _check_task(stage: Stage, done: Counter[str]) -> None:
    """It goes on where it once was, with all that follows; what was lost comes again."""
    with Calls(stage.service.address) as calls:
        found = calls.log_cache.ListSubscriptions(pb.ListSubscriptionsRequest(), timeout=60)
        of_task = [each for each in found.subscriptions if each.name == TASK]
    (at,) = [each.position.offset for task in of_task for each in task.partitions] or [0]
    assert at in (0, *stage.committed), f"nobody has committed {at}"
    done["positions lost"] += at != stage.committed[-1]
    followed = asyncio.run(_follow(stage.service.address, stage.kept, commit=False))
    seen = [row for _, rows in followed for row in rows]
    _compare(seen, [row for row in stage.truths[stage.kept] if row[0] >= at])


def _check_snapshot(stage: Stage, topic: str, done: Counter[str], *, rebuilt: bool) -> None:
    """Every key is of one record, so that snapshot and log together are the whole topic."""
    address = stage.service.address
    try:
        seen, gaps = asyncio.run(beyond_gaps(address, topic, bootstrap=Bootstrap.SNAPSHOT))
    except PreconditionFailed as refused:
        # A rebuilt catalogue does not name a damaged one.
        if not rebuilt or refused.reason != "SNAPSHOT_UNAVAILABLE":
            raise
        done["no snapshot"] += 1
        return
    assert {gap.cause for gap in gaps} <= {GapCause.STORE_DAMAGED}, gaps
    assert not gaps or topic == stage.gone, "the source has it"
    _compare(seen, [row for row in stage.truths[topic] if not _lost(gaps, row[0])])


def _lost(gaps: Sequence[Gap], offset: int) -> bool:
    return any(gap.begin_offset <= offset < gap.end_offset for gap in gaps)


def _compare(seen: Rows, truth: Rows) -> None:
    """The same, without printing all of it where it is not."""
    wrong = [pair for pair in zip(seen, truth, strict=False) if pair[0] != pair[1]]
    assert (len(seen), wrong[:1]) == (len(truth), [])
