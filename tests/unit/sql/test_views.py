"""A view is of one moment, and stays whatever the store does to its files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from cachesvc.errors import InvalidRequest, NotFound, PreconditionFailed
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId
from cachesvc.sql.journals import JournalRecords
from cachesvc.sql.messages import Cut, LogView, NamedLog
from cachesvc.sql.views import LogViews
from cachesvc.store.local_files import LocalFiles
from tests.support.frames import ORDERS, full_frames
from tests.unit.log.running import append, ensure, filled, roll, running

FETCH_BYTES_MAX = 1 << 20
NAMED = NamedLog("orders", "", typed=False)
PAID = PartitionId("bank", "paid", 1, 4)


async def view_of(
    store: LogStore, place: Path, named: Sequence[NamedLog] = (NAMED,), connection: str = ""
) -> list[LogView]:
    return await LogViews(store, FETCH_BYTES_MAX).take(named, connection, place)


def in_segments(view: LogView) -> list[int]:
    if not view.segments:
        return []
    files = sorted(Path(view.segments).glob("*/*/*.parquet"))
    return sorted(ds.dataset(files).to_table(columns=["offset"]).column(0).to_pylist())


def in_journals(view: LogView) -> list[int]:
    import_reader = JournalRecords(view.journals)
    return [offset for batch in import_reader._batches() for offset in batch.column(0).to_pylist()]


async def sealed_and_not(store: LogStore) -> PartitionLog:
    """Offsets [0, 40) in two segments, [40, 60) in a journal."""
    log = await filled(store, full_frames(0, 20, 10))
    await roll(store, log)
    await append(store, log, full_frames(20, 40, 10))
    await roll(store, log)
    await append(store, log, full_frames(40, 60, 10))
    return log


def test_all_of_a_log_is_there_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "store") as store:
            await sealed_and_not(store)
            (view,) = await view_of(store, tmp_path / "store" / "q")
            assert in_segments(view) == list(range(40))
            assert in_journals(view) == list(range(40, 60))
            assert (view.connection, view.cuts, view.structure) == ("main", [], "")

    asyncio.run(run())


def test_it_stays_when_files_go_and_the_log_grows(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "store", warm_bytes_max=0) as store:
            log = await sealed_and_not(store)
            (view,) = await view_of(store, tmp_path / "store" / "q")
            journal = log.journals[-1].path
            await append(store, log, full_frames(60, 80, 10))
            await roll(store, log)
            for segment in log.segments:
                (store.path / segment.path).unlink()
            journal.unlink(missing_ok=True)
            assert in_segments(view) == list(range(40))
            assert in_journals(view) == list(range(40, 60))

    asyncio.run(run())


def test_a_journal_whose_segment_is_live_is_left_out(tmp_path: Path) -> None:
    """Also in the moment before it is marked as sealed."""

    async def run() -> None:
        async with running(tmp_path / "store") as store:
            log = await sealed_and_not(store)
            await roll(store, log)
            log.journals[-1].sealed = False
            (view,) = await view_of(store, tmp_path / "store" / "q")
            assert in_segments(view) == list(range(60))
            assert view.journals == []

    asyncio.run(run())


def test_what_retention_has_taken_of_a_segment_is_cut(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "store") as store:
            log = await sealed_and_not(store)
            log.advance_start(7)
            (view,) = await view_of(store, tmp_path / "store" / "q")
            assert view.cuts == [Cut(1, 0, 7)]

    asyncio.run(run())


def test_a_file_that_goes_while_it_is_linked_has_the_view_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with running(tmp_path / "store") as store:
            log = await sealed_and_not(store)
            lost = log.segments[0]
            (store.path / lost.path).rename(store.path / "elsewhere")
            views = LogViews(store, FETCH_BYTES_MAX)
            with pytest.raises(PreconditionFailed, match="try again") as caught:
                await views.take([NAMED], "", store.path / "q")
            assert caught.value.reason == "QUERY_VIEW_GONE"
            # As if it had been merged with nothing: another list of segments.
            log.install([lost], [])
            log.advance_start(20)
            (view,) = await views.take([NAMED], "", store.path / "q")
            assert in_segments(view) == list(range(20, 40))

    asyncio.run(run())


def test_a_file_system_without_hard_links_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    async def run() -> None:
        async with running(tmp_path / "store") as store:
            await sealed_and_not(store)
            monkeypatch.setattr("os.link", refuse)
            with pytest.raises(PreconditionFailed, match="hard links") as caught:
                await view_of(store, tmp_path / "store" / "q")
            assert caught.value.reason == "QUERY_LINK_FAILED"

    asyncio.run(run())


def test_which_topic_is_meant(tmp_path: Path) -> None:
    async def run() -> None:
        async with running(tmp_path / "store") as store:
            await ensure(store, ORDERS, 0)
            await ensure(store, PAID, 0)
            await ensure(store, PartitionId("bank", "orders", 1, 0), 0)
            place = store.path / "q"

            async def connections(connection: str, *named: NamedLog) -> list[str]:
                return [view.connection for view in await view_of(store, place, named, connection)]

            paid = NamedLog("paid", "", typed=False)
            assert await connections("", paid) == ["bank"]
            assert await connections("main", NAMED) == ["main"]
            other = NamedLog("orders", "bank", typed=False)
            assert await connections("main", NAMED, other) == ["main", "bank"]
            with pytest.raises(InvalidRequest, match="bank, main") as several:
                await connections("", NAMED)
            assert several.value.reason == "CONNECTION_REQUIRED"
            with pytest.raises(NotFound, match="did you mean 'orders'") as unknown:
                await connections("main", NamedLog("ordres", "", typed=False))
            assert unknown.value.reason == "UNKNOWN_TOPIC"
            with pytest.raises(NotFound, match="2 topics are"):
                await connections("", NamedLog("zzz", "", typed=False))
            with pytest.raises(NotFound, match="jobs run models") as model:
                await connections("", NamedLog("paid", "", typed=True))
            assert model.value.reason == "UNKNOWN_MODEL"

    asyncio.run(run())


def test_segments_of_other_stores_are_brought(tmp_path: Path) -> None:
    cold = tmp_path / "cold"

    async def run() -> None:
        async with running(
            tmp_path / "store", stores={"cold": LocalFiles(cold)}, warm_bytes_max=0
        ) as store:
            log = await filled(store, full_frames(0, 20, 10))
            await roll(store, log)
            store.stores.choose = lambda _: "cold"
            await append(store, log, full_frames(20, 40, 10))
            await roll(store, log)
            await append(store, log, full_frames(40, 60, 10))
            assert [segment.store for segment in log.segments] == ["local", "cold"]
            (view,) = await view_of(store, tmp_path / "store" / "q")
            assert in_segments(view) == list(range(40))
            assert in_journals(view) == list(range(40, 60))
            size = log.segments[1].bytes
            views = LogViews(store, size - 1)
            with pytest.raises(PreconditionFailed, match=f"{size:,} bytes in other stores") as e:
                await views.take([NAMED], "", tmp_path / "store" / "r")
            assert e.value.reason == "QUERY_FETCHES_TOO_MUCH"
            (cold / log.segments[1].path).rename(tmp_path / "away")
            with pytest.raises(PreconditionFailed, match="faster than"):
                await view_of(store, tmp_path / "store" / "s")

    asyncio.run(run())
