"""Moving a log to another store while it is read, on a directory and on a real S3 server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from cachesvc.errors import StoreUnwritable
from cachesvc.jobs.move import Move
from cachesvc.log.log_store import LogStore
from cachesvc.model import LOCAL_STORE, Segment
from cachesvc.policy.coverage import OffsetRange
from cachesvc.store.local_files import LocalFiles
from tests.integration.test_stores import Place, age, nothing, opened, s3_place, sealed, sweep
from tests.support.frames import ORDERS, Reject, flip_bit, frame, records, records_of
from tests.support.s3_server import S3Server
from tests.support.tcp_proxy import TcpProxy
from tests.unit.log.running import append, ensure, read_all, roll, until

HUGE = 1 << 40


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        return Place(LocalFiles(tmp_path / "elsewhere"), tmp_path / "elsewhere")
    return s3_place(request.getfixturevalue("s3_server"), tmp_path)


def mover(store: LogStore, target: str, bytes_per_s_max: int = HUGE) -> Move:
    """Moves all to a store, which takes what is sealed as well."""
    store.stores.choose = lambda _: target

    def misplaced() -> list[Segment]:
        every = (segment for log in store.in_order() for segment in log.segments)
        return [segment for segment in every if segment.store != target]

    return Move(store, misplaced, 600.0, bytes_per_s_max)


def test_a_log_moves_there_and_back_and_old_files_are_swept(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            log = await ensure(store, ORDERS, 0)
            await append(store, log, [frame(0, 10, records(0, 9), [Reject(9)])])
            await roll(store, log)
            await sealed(store, 10, 20)
            before = list(log.segments)
            counts = await mover(store, "cold").run(nothing)
            assert counts["segments_moved"] == 2
            assert counts["bytes_moved"] == sum(segment.bytes for segment in before)
            assert {segment.store for segment in log.segments} == {"cold"}
            assert place.objects() == sorted(segment.path for segment in log.segments)
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 9) + records(
                10, 20
            )
            kept = [(s.bytes, s.level, s.newest_mined_ms, s.reject_count) for s in log.segments]
            assert kept == [(s.bytes, s.level, s.newest_mined_ms, s.reject_count) for s in before]
            with store.stores.rejects_file(log.segments[0]).open("rb", 0) as file:
                assert file.read(4) == b"PAR1"
            await asyncio.sleep(1.1)  # what a file's time may lag behind
            assert (await sweep(store).run(nothing))["files_deleted"] == 3
            assert not list((tmp_path / "own" / "log").rglob("*.parquet"))
            assert (await mover(store, "cold").run(nothing))["segments_moved"] == 0
            assert (await mover(store, LOCAL_STORE).run(nothing))["segments_moved"] == 2
            await sweep(store).run(nothing)
            assert place.objects() == []
        async with opened(tmp_path, place) as store:
            log = store.logs[ORDERS]
            assert records_of(await read_all(store.reader, log, 10)) == records(10, 20)

    asyncio.run(run())


def test_who_reads_meanwhile_is_not_disturbed(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            log = await sealed(store, 0, 10)
            for begin in range(10, 60, 10):
                await sealed(store, begin, begin + 10)
            old = store.stores.file(log.segments[0])
            with old.open("rb", 0) as file:
                assert file.read(4) == b"PAR1"
                # So slowly that there is time to read a few times.
                size = sum(segment.bytes for segment in log.segments)
                moving = asyncio.ensure_future(mover(store, "cold", size // 3).run(nothing))
                reads = 0
                while not moving.done():
                    assert records_of(await read_all(store.reader, log, 0)) == records(0, 60)
                    reads += 1
                assert (await moving)["segments_moved"] == 6
                assert reads > 1
                file.seek(-4, 2)
                assert file.read(4) == b"PAR1", "the old file is there for those that have it"
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 60)

    asyncio.run(run())


def test_it_takes_as_long_as_the_rate_says(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            log = await sealed(store, 0, 10)
            await sealed(store, 10, 20)
            size = sum(segment.bytes for segment in log.segments)
            began = asyncio.get_running_loop().time()
            told: list[tuple[int, int, str]] = []
            await mover(store, "cold", size).run(lambda *each: told.append(each))
            assert asyncio.get_running_loop().time() - began >= 1.0
            assert told == [(0, 2, "orders/0"), (1, 2, "orders/0"), (2, 2, "")]

    asyncio.run(run())


def test_damage_does_not_move(place: Place, tmp_path: Path) -> None:
    async def run() -> None:
        async with opened(tmp_path, place) as store:
            log = await sealed(store, 0, 10)
            log = await sealed(store, 10, 20)
            damaged = tmp_path / "own" / log.segments[0].path
            flip_bit(damaged, 8 * (damaged.stat().st_size // 3))
            counts = await mover(store, "cold").run(nothing)
            assert (counts["segments_moved"], counts["segments_damaged"]) == (1, 1)
            assert store.mending.damaged(ORDERS) == [OffsetRange(0, 10)]
            assert records_of(await read_all(store.reader, log.current, 10)) == records(10, 20)

    asyncio.run(run())


def test_what_comes_back_changed_is_never_named(place: Place, tmp_path: Path) -> None:
    fetch = place.files.fetch

    def lying(path: str, target: Path) -> None:
        fetch(path, target)
        if path.endswith(".parquet"):
            flip_bit(target, 40)

    async def run() -> None:
        async with opened(tmp_path, place) as store:
            log = await sealed(store, 0, 10)
            place.files.fetch = lying  # type: ignore[method-assign]
            with pytest.raises(Exception, match="is not what was put"):
                await mover(store, "cold").run(nothing)
            assert [segment.store for segment in log.segments] == [LOCAL_STORE]
            assert place.objects() == []
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 10)

    asyncio.run(run())


def test_a_target_that_is_away_stops_nothing_else_and_it_goes_on_behind(
    s3_server: S3Server, tmp_path: Path
) -> None:
    async def run() -> None:
        with TcpProxy(s3_server.port) as proxy:
            place = s3_place(s3_server, tmp_path, port=proxy.port)
            async with opened(tmp_path, place) as store:
                log = await sealed(store, 0, 10)
                move = mover(store, "cold")
                proxy.cut()
                with pytest.raises(StoreUnwritable):
                    await move.run(nothing)
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 10)
                now_ms = 5
                assert await move.next_run_ms(now_ms) == now_ms, "soon again"
                proxy.restore()
                assert (await move.run_due(nothing))["segments_moved"] == 1
                assert await move.next_run_ms(now_ms) > now_ms

    asyncio.run(run())


def test_a_journal_that_waits_for_a_store_that_is_away_is_sealed_where_its_topic_moves(
    s3_server: S3Server, tmp_path: Path
) -> None:
    async def run() -> None:
        with TcpProxy(s3_server.port) as proxy:
            place = s3_place(s3_server, tmp_path, port=proxy.port)
            proxy.cut()
            async with opened(tmp_path, place) as store:
                store.stores.choose = lambda _: "cold"
                log = await ensure(store, ORDERS, 0)
                for begin in (0, 10):
                    await append(store, log, [frame(begin, begin + 10, records(begin, begin + 10))])
                    store.writer.roll(log)
                await until(lambda: "cold" in store.sealer.failures, 60)
                assert store.sealer.waiting_for("cold")[0] == 2
                store.stores.choose = lambda _: LOCAL_STORE
                await until(lambda: len(log.segments) == 2, 60)
                assert [segment.store for segment in log.segments] == [LOCAL_STORE] * 2
                assert [segment.base_offset for segment in log.segments] == [0, 10]
                await until(lambda: not store.sealer.failures)
                assert records_of(await read_all(store.reader, log, 0)) == records(0, 20)

    asyncio.run(run())


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from cachesvc.log.manifest import Manifest
from tests.integration import test_move, test_stores
from cachesvc.store.local_files import LocalFiles

async def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main(root, elsewhere):
    place = test_stores.Place(LocalFiles(elsewhere), elsewhere)
    async with test_stores.opened(root, place) as store:
        for begin in (0, 10, 20):
            await test_stores.sealed(store, begin, begin + 10)
        merges, merge = 0, store.manifest.merge
        async def second(*arguments):
            nonlocal merges
            merges += 1
            return await (merge(*arguments) if merges == 1 else killed())
        store.manifest.merge = second
        await test_move.mover(store, "cold").run(test_stores.nothing)

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def test_killed_between_put_and_commit_it_goes_on_where_it_was(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    place = Place(LocalFiles(elsewhere), elsewhere)
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(elsewhere)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -9, ended.stderr

    async def run() -> None:
        async with opened(tmp_path, place) as store:
            log = store.logs[ORDERS]
            assert [segment.store for segment in log.segments] == ["cold", "local", "local"]
            assert len(place.objects()) == 2, "one was put, and nobody names it"
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)
            assert (await mover(store, "cold").run(nothing))["segments_moved"] == 2
            assert not list((tmp_path / "own" / "staging").glob("*"))
            age(place.root)
            await sweep(store).run(nothing)
            assert place.objects() == sorted(segment.path for segment in log.segments)
            assert records_of(await read_all(store.reader, log, 0)) == records(0, 30)

    asyncio.run(run())
