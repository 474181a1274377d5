"""G10 on a whole service: random damage to random files, at rest and while they are served.

Each round takes a fresh copy of one store, damages some of its files at random, has the service
start on it (or damages them while it runs), and reads everything, from the log and from snapshots.
What is sealed lies in the store's own directory, or in a bucket, whose objects are damaged then.
Of the topic that the source still has not a record may be missing or wrong; of the one that the
source has no more what is missing has to be a named gap. ``CACHESVC_DAMAGES`` says how many bits
and cuts in each place; the seed of every round is its place and number, and
``CACHESVC_DAMAGES_ROUND`` the first number.
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
from cachesvc.v1 import stores_pb2
from tests.faults.stage import CALL_S, Calls, eventually, objects
from tests.faults.streams import beyond_gaps
from tests.support.frames import flip_bit
from tests.support.kafka_broker import KafkaBroker
from tests.support.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from tests.support.service import ServiceError, ServiceProcess
from tests.support.tasks import full
from tests.support.topics import (
    create_topic,
    delete_records_before,
    produce,
    read_all,
)

DAMAGES = int(os.environ.get("CACHESVC_DAMAGES", "6"))
FIRST_ROUND = int(os.environ.get("CACHESVC_DAMAGES_ROUND", "0"))
A_ROUND = 6 if DAMAGES <= 12 else 12
KINDS = {"segment": 5, "journal": 3, "snapshot": 2, "catalogue": 1, "positions": 1}
"""What is damaged, and how often; most of a store is segments."""
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
        sealed: Where what is sealed lies: the store's own directory, or that of a bucket's objects.
        whole: The store as it was when the service was killed, and what is sealed, if elsewhere.
        truths: By topic, what was mined.
        kept: The topic that the source still has.
        gone: The one that it has no more.
        committed: Where the task was, one commit after the other; the catalogue has none of it yet.
    """

    service: ServiceProcess
    sealed: Path
    whole: Path
    truths: Mapping[str, Rows]
    kept: str
    gone: str
    committed: Sequence[int]

    def renew(self) -> None:
        """Makes everything as it was."""
        _replace(self.service.store, self.whole / "store")
        if self.sealed != self.service.store:
            _replace(self.sealed, self.whole / "bucket")


def _replace(directory: Path, by: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(by, directory, ignore=shutil.ignore_patterns("*.sock"))


def _bucket(server: S3Server, prefix: str, keys: Path) -> stores_pb2.Store:
    """A bucket that takes all that is sealed, and of which nothing is kept beside it."""
    for name, secret in (("access", ACCESS_KEY), ("secret", SECRET_KEY)):
        (keys / name).write_text(secret)
    return stores_pb2.Store(
        name="bucket",
        kind="s3",
        default=True,
        bucket=BUCKET,
        prefix=prefix,
        endpoint=f"http://127.0.0.1:{server.port}",
        access_key_file=str(keys / "access"),
        secret_key_file=str(keys / "secret"),
        cache_bytes_max=0,
    )


def _stage(
    kafka: KafkaBroker,
    topic_name: Callable[[str], str],
    directory: Path,
    server: S3Server | None,
) -> Stage:
    kept, gone = topic_name("kept"), topic_name("gone")
    service = ServiceProcess(directory, kafka.bootstrap, SETTINGS, {"snapshot_expression": ".*"})
    sealed = service.store
    with service, Calls(service.address) as calls:
        if server is not None:
            sealed = server.bucket / kept
            made = stores_pb2.CreateStoreRequest(store=_bucket(server, kept, directory))
            calls.admin.CreateStore(made, timeout=CALL_S)
        for topic in (kept, gone):
            create_topic(kafka.bootstrap, topic)
            _mine(kafka, service, topic, range(0, SEALED, PIECE))
        calls.run_job("seal")
        assert calls.run_job("snapshot")["snapshots_made"] == 2
        for topic in (kept, gone):
            _mine(kafka, service, topic, range(SEALED, SEALED + UNSEALED, PIECE))
            assert len(calls.segments(topic)) > 4
        assert len(list(sealed.glob("log/**/*.parquet"))) > 8
        assert len(list(sealed.glob("snapshots/**/*.parquet"))) == 2
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
    whole.mkdir()
    shutil.move(service.store, whole / "store")
    if sealed != service.store:
        shutil.move(sealed, whole / "bucket")
    return Stage(service, sealed, whole, truths, kept, gone, [at for at, _ in committed])


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


@pytest.mark.parametrize("place", ["directory", "bucket"])
def test_random_damage_is_repaired_or_becomes_a_named_gap(
    place: str,
    kafka: KafkaBroker,
    topic_name: Callable[[str], str],
    tmp_path: Path,
    s3_server: S3Server,
) -> None:
    stage = _stage(kafka, topic_name, tmp_path, s3_server if place == "bucket" else None)
    done: Counter[str] = Counter()
    for number in range(-(-DAMAGES // A_ROUND)):
        count = min(A_ROUND, DAMAGES - number * A_ROUND)
        seed = FIRST_ROUND + number
        said = _round(stage, random.Random(f"{place} {seed}"), count, done)
        try:
            _check(stage, done, rebuilt=_REBUILT in said)
        except BaseException:
            print(f"round {seed}:", *said, sep="\n  ")
            raise
        finally:
            stage.service.stop()
        print(f"{place} {seed}: {sum(done[kind] for kind in KINDS)} damages by now", flush=True)
    print(f"{place}, {sum(done[kind] for kind in KINDS)} damages:", dict(done))


def _round(stage: Stage, chance: random.Random, count: int, done: Counter[str]) -> list[str]:
    """Damages some files of a copy of the store, on which the service runs then."""
    service = stage.service
    stage.renew()
    at_rest = chance.random() < 0.5
    if not at_rest:
        service.start()
    said = [f"at rest: {at_rest}"]
    for _ in range(count):
        kind, path = _chosen(stage, chance, at_rest=at_rest)
        if path.exists():
            said.append(f"{path}: {_damage(path, chance)}")
        done[kind] += 1
    if at_rest and not _starts(service):
        done[_REBUILT] += 1
        said.append(_REBUILT)
        _rebuild(service)
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


def _chosen(stage: Stage, chance: random.Random, *, at_rest: bool) -> tuple[str, Path]:
    kinds = [each for each in KINDS if at_rest or each not in AT_REST]
    (kind,) = chance.choices(kinds, [KINDS[each] for each in kinds])
    store = stage.service.store
    if kind in AT_REST:
        return kind, store / AT_REST[kind]
    found = {
        "segment": stage.sealed.glob("log/**/*.parquet"),
        "journal": store.glob("journal/**/*.journal"),
        "snapshot": stage.sealed.glob("snapshots/**/*.parquet"),
    }
    return kind, chance.choice(sorted(found[kind]))


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


def _rebuild(service: ServiceProcess) -> None:
    done = subprocess.run(
        [*(sys.executable, "-m", "cachesvc", "store", "rebuild"), "--config", service.config_path],
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
