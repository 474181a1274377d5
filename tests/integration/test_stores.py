"""A log whose sealed files lie elsewhere: in a directory, or in a bucket of a real S3 server."""

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from threading import Timer
from typing import Any
from unittest.mock import Mock

import pytest

from cachesvc.errors import CacheError, PreconditionFailed, StoreUnreadable, StoreUnwritable
from cachesvc.jobs.compact import Compact
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.sweep import Sweep
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.policy.coverage import OffsetRange
from cachesvc.policy.retention import RetentionClock
from cachesvc.settings.jobs import CompactConfig
from cachesvc.store import s3_files
from cachesvc.store.block_cache import BlockCache
from cachesvc.store.file_store import FileStore
from cachesvc.store.local_files import LocalFiles
from cachesvc.store.s3_files import S3Files
from cachesvc.subscriptions.retention import Retention
from tests.support.frames import ORDERS, full_frames, records, records_of
from tests.support.s3_server import S3Server
from tests.support.tcp_proxy import TcpProxy
from tests.unit.log.running import append, ensure, read_all, roll, running, until

Body = Callable[[], Coroutine[Any, Any, None]]
LONG_AGO_S = 86_400


class Place:
    """A store elsewhere, and where a look at its files finds them."""

    def __init__(self, files: FileStore, root: Path) -> None:
        self.files = files
        self.root = root

    def objects(self) -> list[str]:
        found = (self.root / "log").rglob("*.parquet")
        return sorted(path.relative_to(self.root).as_posix() for path in found)


def s3_place(
    server: S3Server,
    tmp_path: Path,
    *,
    port: int | None = None,
    patience_s: float | None = None,
) -> Place:
    prefix = secrets.token_hex(4)
    cache = BlockCache(tmp_path / "blocks" / prefix, 64 << 20)
    settings = server.settings(prefix, port=port, patience_s=patience_s)
    return Place(S3Files(settings, cache), server.bucket / prefix)


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        return Place(LocalFiles(tmp_path / "elsewhere"), tmp_path / "elsewhere")
    return s3_place(request.getfixturevalue("s3_server"), tmp_path)


def opened(tmp_path: Path, place: Place) -> Any:
    """A store whose sealed files go elsewhere, and are read from there alone."""
    return running(
        tmp_path / "own",
        stores={"cold": place.files},
        warm_bytes_max=0,
        memory_bytes_max=0,
        chunk_cache_bytes_max=0,
    )


async def sealed(store: LogStore, begin: int, end: int) -> PartitionLog:
    log = await ensure(store, ORDERS, 0)
    await append(store, log, full_frames(begin, end, 5))
    await roll(store, log)
    await until(lambda: not log.journals)
    return log


def to_cold(store: LogStore) -> None:
    store.stores.choose = lambda _: "cold"


def nothing(done: int, total: int, message: str) -> None:
    """Progress that nobody looks at."""


def retention() -> Retention:
    return Retention(RetentionClock.MINED, 1e6)


def sweep(store: LogStore) -> Sweep:
    return Sweep(store, RetiredFiles(store, retention(), 0), 600)


def age(root: Path) -> None:
    """Makes all files older than any doubt about clocks."""
    then = time.time() - LONG_AGO_S
    for path in root.rglob("*"):
        os.utime(path, (then, then))


def test_what_was_sealed_elsewhere_is_read_from_there(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            to_cold(store)
            log = await sealed(store, 0, 20)
            log = await sealed(store, 20, 30)
            assert [segment.store for segment in log.segments] == ["cold", "cold"]
            assert place.objects() == sorted(segment.path for segment in log.segments)
            assert not list((tmp_path / "own" / "log").rglob("*.parquet"))
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)
        async with opened(tmp_path, place) as store:
            log = store.logs[ORDERS]
            assert records_of(await read_all(store.reader, log, 7)) == records(7, 30)
            assert not list((tmp_path / "own" / "staging").glob("*"))

    asyncio.run(run())


def test_a_topic_may_lie_in_two_stores_and_merging_moves_it(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            await sealed(store, 0, 10)
            to_cold(store)
            log = await sealed(store, 10, 20)
            assert [segment.store for segment in log.segments] == ["local", "cold"]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)
            await Compact(store, CompactConfig(segment_bytes_target=1 << 30), retention()).run(
                nothing
            )
            (merged,) = log.segments
            assert merged.store == "cold"
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)
            store.stores.choose = lambda _: "local"
            await sealed(store, 20, 30)
            await Compact(store, CompactConfig(segment_bytes_target=1 << 30), retention()).run(
                nothing
            )
            assert [segment.store for segment in log.segments] == ["local"]
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)
            await asyncio.sleep(1.1)  # what a file's time may lag behind
            counts = await sweep(store).run(nothing)
            assert counts["files_deleted"] == 4
            assert place.objects() == []

    asyncio.run(run())


def test_what_a_crash_left_between_put_and_manifest_is_swept(place: Place, tmp_path: Path) -> None:
    async def crash(*_: object) -> None:
        raise asyncio.CancelledError

    async def run() -> None:
        async with opened(tmp_path, place) as store:
            to_cold(store)
            log = await ensure(store, ORDERS, 0)
            await append(store, log, full_frames(0, 10, 5))
            store.manifest.add = crash
            store.writer.roll(log)
            await until(lambda: len(place.objects()) == 1)
        (orphan,) = place.objects()
        async with opened(tmp_path, place) as store:
            to_cold(store)
            log = store.logs[ORDERS]
            store.writer.roll(log)
            await until(lambda: bool(log.segments))
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 10)
            counts = await sweep(store).run(nothing)
            assert counts["files_deleted"] == 0, "it may be of a build on a clock that differs"
            age(place.root)
            counts = await sweep(store).run(nothing)
            assert counts["files_deleted"] == 1
            assert place.objects() == [log.segments[0].path] != [orphan]

    asyncio.run(run())


def test_an_object_that_vanished_is_a_missing_range(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            to_cold(store)
            log = await sealed(store, 0, 10)
            log = await sealed(store, 10, 20)
            (place.root / log.segments[0].path).unlink()
            with pytest.raises(CacheError, match="missing"):
                await store.reader.read(log, 0)
            assert await store.mend(log, 0)
            assert store.mending.damaged(ORDERS) == [OffsetRange(0, 10)]
            assert records_of(await read_all(store.reader, log.current, 10)) == records(10, 20)

    asyncio.run(run())


def test_of_an_object_with_damage_the_rest_is_kept(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            to_cold(store)
            log = await sealed(store, 0, 10)
            path = place.root / log.segments[0].path
            data = bytearray(path.read_bytes())
            data[len(data) // 3] ^= 4
            path.write_bytes(data)
            with pytest.raises(CacheError):
                await store.reader.read(log, 0)
            assert await store.mend(log, 0)
            assert store.mending.damaged(ORDERS) == [OffsetRange(0, 10)]
            kept = list((tmp_path / "own" / "quarantine").rglob("*.parquet.*"))
            assert [each.read_bytes() for each in kept] == [bytes(data)]

    asyncio.run(run())


def test_a_place_belongs_to_one_service(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            to_cold(store)
            await sealed(store, 0, 10)
        async with opened(tmp_path / "another", place) as store:
            with pytest.raises(PreconditionFailed, match="belongs to another service"):
                await sweep(store).run(nothing)
        assert len(place.objects()) == 1

    asyncio.run(run())


def test_a_store_in_use_cannot_be_removed(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            to_cold(store)
            await sealed(store, 0, 10)
        with pytest.raises(PreconditionFailed, match="'cold'") as caught:
            async with running(tmp_path / "own"):
                pass
        assert caught.value.reason == "UNKNOWN_STORE"
        async with opened(tmp_path, place):
            pass

    asyncio.run(run())


def test_a_server_that_is_away_stops_neither_appends_nor_other_stores(
    s3_server: S3Server, tmp_path: Path
) -> None:
    async def run() -> None:
        with TcpProxy(s3_server.port) as proxy:
            place = s3_place(s3_server, tmp_path, port=proxy.port)
            async with opened(tmp_path, place) as store:
                to_cold(store)
                log = await sealed(store, 0, 10)
                proxy.cut()
                await append(store, log, full_frames(10, 20, 5))
                store.writer.roll(log)
                await until(lambda: "cold" in store.sealer.failures, 60)
                assert isinstance(store.sealer.failures["cold"], StoreUnwritable)
                await append(store, log, full_frames(20, 30, 5))
                assert records_of(await read_all(store.reader, log, 10)) == records(10, 30)
                with pytest.raises(StoreUnreadable):
                    await store.reader.read(log, 0)
                proxy.restore()
                await until(lambda: len(log.segments) == 2, 60)
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)

    asyncio.run(run())


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_put_that_is_cut_leaves_nothing_or_all(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    if in_parts:  # as files of more than 64 MiB are put
        monkeypatch.setattr(s3_files, "SINGLE_PUT_BYTES_MAX", 0)
        monkeypatch.setattr(s3_files, "_PART_BYTES", 5 << 20)
    data = os.urandom((12 if in_parts else 8) << 20)
    source = tmp_path / "source"
    source.write_bytes(data)
    with TcpProxy(s3_server.port) as proxy:
        place = s3_place(s3_server, tmp_path, port=proxy.port)
        for delay_s in (0.0, 0.005, 0.02, 0.05):
            name = f"log/{delay_s}.parquet"
            cutting = _cut_after(proxy, delay_s)
            try:
                place.files.put(name, source)
            except StoreUnwritable:
                assert _content(place.root / name) in (None, data)
            finally:
                cutting()
            _put_at_last(place, name, source)
            # The server may be at work on what was cut, and then puts it in place of the same.
            limit_s = time.monotonic() + 60
            while (found := _content(place.root / name)) != data:
                shown = "nothing" if found is None else f"{len(found)} bytes"
                assert time.monotonic() < limit_s, f"cut after {delay_s} s: {shown} at {name}"
                time.sleep(0.05)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def test_a_name_that_is_taken_by_what_cannot_be_looked_at_is_tried_again(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = s3_place(s3_server, tmp_path)
    source = tmp_path / "source"
    source.write_bytes(b"the same")
    place.files.put("log/x.parquet", source)

    for error in (StoreUnreadable("away"), FileNotFoundError("it has gone meanwhile")):
        monkeypatch.setattr(S3Files, "size", Mock(side_effect=error))
        with pytest.raises(StoreUnwritable):
            place.files.put("log/x.parquet", source)
    monkeypatch.undo()
    place.files.put("log/x.parquet", source)


def _put_at_last(place: Place, name: str, source: Path) -> None:
    """As sealing does it: again, where a connection that was cut was still taken for good."""
    give_up_s = time.monotonic() + 60
    while True:
        try:
            return place.files.put(name, source)
        except StoreUnwritable:
            if time.monotonic() > give_up_s:
                raise
            time.sleep(0.1)


def _cut_after(proxy: TcpProxy, delay_s: float) -> Callable[[], None]:
    """Cuts connections a moment from now; what is returned waits for that and restores them."""
    timer = Timer(delay_s, proxy.drop_connections)
    timer.start()
    return timer.join


def test_wrong_credentials_are_named_and_never_shown(s3_server: S3Server, tmp_path: Path) -> None:
    settings = s3_server.settings("x", secret="not-the-secret")
    files = S3Files(settings, BlockCache(tmp_path / "blocks", 0))
    with pytest.raises(StoreUnreadable, match="SignatureDoesNotMatch") as caught:
        list(files.list("log"))
    assert caught.value.metadata["code"] == "SignatureDoesNotMatch"
    assert "not-the-secret" not in f"{caught.value} {settings!r}"
