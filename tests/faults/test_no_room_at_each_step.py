"""G11 at each step of a store: no room, or a disk that takes nothing, is told and costs no record.

On file systems of a few megabytes that are really full, on one that becomes read-only under a
process with open files, and on a real S3 server without room. Whatever is tried fails with a reason
or is done; all that was appended can be read meanwhile, and once there is room the same succeeds,
before and after a restart.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cachesvc.bounds import Bounds
from cachesvc.errors import CacheError
from cachesvc.jobs.backup import Backup
from cachesvc.jobs.compact import Compact
from cachesvc.jobs.move import Move
from cachesvc.jobs.seal import Seal
from cachesvc.log import sealing
from cachesvc.log.log_store import LogStore
from cachesvc.model import LOCAL_STORE, Mode
from cachesvc.policy.retention import RetentionClock
from cachesvc.settings.jobs import CompactConfig
from cachesvc.snapshots.maker import SnapshotMaker
from cachesvc.snapshots.shelf import Shelf
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.file_store import FileStore
from cachesvc.store.frames import Frame
from cachesvc.store.ports import PositionCommit, SubscriptionChange, SubscriptionRecord
from cachesvc.store.s3_files import S3Files
from cachesvc.subscriptions.retention import Retention
from tests.faults.stage import noise
from tests.support.frames import ORDERS, Record, frame, records_of
from tests.support.s3_server import S3Server
from tests.support.small_disk import disk
from tests.unit.log.running import append, ensure, read_all, roll, running

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

SIZE = "6m"
A_FRAME = 50
TASK = SubscriptionRecord("task", "main", ("orders",), "", Mode.FULL, 1, False, 10)
RETENTION = Retention(RetentionClock.MINED, 1e6)
BOUNDS = Bounds(64 << 20, 1 << 30, 1, 60.0)
NO_ROOM, READ_ONLY = "No space left on device", "Read-only file system"
NO_ROOM_IN_BUCKET = "InsufficientStorage"
Step = Callable[[LogStore, Path], Awaitable[object]]


def rows(begin: int, end: int) -> list[Record]:
    """Records that hardly compress, each with a key of its own."""
    return [Record(at, f'{{"text":"{noise(at, 2_000)}"}}', b"k%d" % at) for at in range(begin, end)]


def _frame(begin: int) -> Frame:
    return frame(begin, begin + A_FRAME, rows(begin, begin + A_FRAME))


async def _append(store: LogStore, _: Path) -> None:
    log = store.logs[ORDERS]
    await append(store, log, [_frame(log.log_end_offset)])


async def _seal(store: LogStore, _: Path) -> None:
    await Seal(store).run(nobody)


async def _compact(store: LogStore, _: Path) -> None:
    config = CompactConfig(segment_bytes_target=1 << 30)
    counts = await Compact(store, config, RETENTION).run(nobody)
    assert counts["segments_made"] == 1


async def _snapshot(store: LogStore, _: Path) -> None:
    maker = SnapshotMaker(store, Shelf(store, lambda: (), 1), BOUNDS)
    made = await maker.make(store.logs[ORDERS], debezium=False, progress=lambda *_: None)
    assert made is not None


async def _backup(store: LogStore, disk: Path) -> None:
    counts = await Backup(store, disk / "backups", 0.0, 1, other_stores=True).run(nobody)
    assert counts["files"]


async def _move(store: LogStore, _: Path) -> None:
    """All of it to where it does not lie."""
    other = "cold" if store.stores.choose(ORDERS.topic_id) == LOCAL_STORE else LOCAL_STORE
    store.stores.choose = lambda _: other
    log = store.logs[ORDERS]

    def misplaced() -> list[Any]:
        return [segment for segment in log.segments if segment.store != other]

    await Move(store, misplaced, 1.0, 1 << 40).run(nobody)


async def _catalogue(store: LogStore, _: Path) -> None:
    """A subscription whose name takes a block of its own, and a position."""
    for number in range(40):
        named = SubscriptionRecord(
            "x" * 20_000, "main", (str(number),), "", Mode.FULL, 1, False, 10
        )
        change = SubscriptionChange(named, {ORDERS: 1})
        await store.catalogue.call(lambda port, c=change: port.put_subscriptions([c]))  # type: ignore[misc]


async def _copy_of_catalogue(store: LogStore, _: Path) -> None:
    await store.copies.write()


def nobody(*_: object) -> None:
    """Progress that nobody looks at."""


STEPS: Mapping[str, Step] = {
    "append": _append,
    "seal": _seal,
    "compact": _compact,
    "snapshot": _snapshot,
    "backup": _backup,
    "move": _move,
    "catalogue": _catalogue,
    "copy of the catalogue": _copy_of_catalogue,
}
WRITES_ELSEWHERE = ("seal", "compact", "snapshot", "move")


@contextmanager
def full(path: Path, left: int) -> Iterator[None]:
    """No room on a file system, but for some bytes."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        block = b"x" * 4_096
        try:
            while True:
                file.write(block)
        except OSError:
            pass
        file.truncate(max(0, file.tell() - left))
    try:
        yield
    finally:
        filler.unlink()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_RETRY_S", (0.05, 0.05))


async def history(store: LogStore) -> None:
    """Three segments, a journal, a subscription with a position."""
    log = await ensure(store, ORDERS, 0)
    for _ in range(3):
        await _append(store, Path())
        await roll(store, log)
    await _append(store, Path())
    change, commit = SubscriptionChange(TASK), PositionCommit("task", {ORDERS: 7}, 2)
    await store.catalogue.call(lambda port: port.put_subscriptions([change]))
    await store.catalogue.call(lambda port: port.commit_positions([commit]))


async def _check_log(store: LogStore) -> None:
    """All that the log covers is there."""
    log = store.logs[ORDERS]
    assert log.log_end_offset >= 4 * A_FRAME
    found = records_of(await read_all(store.reader, log, 0))
    assert found == rows(0, log.log_end_offset)


async def _check(store: LogStore) -> None:
    """That, and the position, which may have to go from the file beside it into the catalogue."""
    await _check_log(store)
    kept = await store.catalogue.call(lambda port: port.list_positions())
    assert kept["task"] == {ORDERS: 7}


async def _fails(step: Step, store: LogStore, path: Path) -> str:
    """With which words; none if it is done."""
    try:
        async with asyncio.timeout(60):
            await step(store, path)
    except (CacheError, OSError) as error:
        return str(error)
    return ""


def opened(path: Path, cold: FileStore) -> Any:
    """A store whose files are read anew each time."""
    usual = {"stores": {"cold": cold}, "warm_bytes_max": 0, "memory_bytes_max": 0}
    return running(path, chunk_cache_bytes_max=0, **usual)


def try_step(
    step: Step,
    own: Path,
    cold: FileStore,
    place: str,
    trouble: Callable[[], Any],
    *,
    words: str,
    may_fit: bool = False,
) -> None:
    """The step in trouble, again without, and what is there after each and after a restart."""

    async def run() -> None:
        async with opened(own / "store", cold) as store:
            store.stores.choose = lambda _: place
            await history(store)
            with trouble():
                failure = await _fails(step, store, own)
                assert words in failure or (may_fit and not failure)
                await _check_log(store)
            store.stores.choose = lambda _: place
            assert not await _fails(step, store, own)
            await _check(store)
        async with opened(own / "store", cold) as store:
            await _check(store)
            await _append(store, own)
            await _check(store)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("step", "left"),
    [*((step, 0) for step in STEPS), *((step, 64 << 10) for step in ("append", "seal", "compact"))],
)
def test_a_full_disk(step: str, left: int, tmp_path: Path, s3_server: S3Server) -> None:
    with disk(tmp_path / "disk", SIZE):
        own = tmp_path / "disk"
        try_step(
            STEPS[step],
            own,
            _bucket(s3_server, tmp_path),
            "cold" if step == "move" else LOCAL_STORE,
            lambda: full(own, left),
            words=NO_ROOM,
            may_fit=left > 0,
        )


@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_becomes_read_only(step: str, tmp_path: Path, read_only_library: Path) -> None:
    """In a process of its own, with journals and catalogue open as the system leaves them."""
    run_read_only(step, tmp_path, read_only_library)


def run_read_only(what: str, tmp_path: Path, library: Path) -> None:
    """Runs what ``no_room_process`` has a name for where a disk becomes read-only."""
    own, trigger = tmp_path / "own", tmp_path / "read-only"
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.no_room_process", what, str(own), str(trigger)],
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "READ_ONLY_BELOW": str(own),
            "READ_ONLY_WHILE": str(trigger),
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("step", WRITES_ELSEWHERE)
def test_a_full_bucket(step: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(disk(tmp_path / "s3", SIZE))
        server = stack.enter_context(S3Server(tmp_path / "s3"))
        try_step(
            STEPS[step],
            tmp_path / "own",
            _bucket(server, tmp_path),
            LOCAL_STORE if step == "move" else "cold",
            lambda: full(tmp_path / "s3", 0),
            words=NO_ROOM_IN_BUCKET,
        )


@pytest.mark.parametrize("step", WRITES_ELSEWHERE[:3])
def test_a_full_disk_before_a_bucket(step: str, tmp_path: Path, s3_server: S3Server) -> None:
    """What is to go elsewhere is written on the service's own disk first."""
    with disk(tmp_path / "disk", SIZE):
        own = tmp_path / "disk"
        cold = _bucket(s3_server, tmp_path)
        try_step(STEPS[step], own, cold, "cold", lambda: full(own, 0), words=NO_ROOM)


def _bucket(server: S3Server, tmp_path: Path) -> S3Files:
    return S3Files(server.settings(os.urandom(4).hex()), BlockCache(tmp_path / "blocks", 0))
