"""What the catalogue on DuckDB promises beyond the port: it is a file, and it lasts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from cachesvc.errors import DamagedFile, PreconditionFailed, StoreFormatUnsupported
from cachesvc.model import Mode, Segment
from cachesvc.store.access_port import PrincipalRecord
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.ports import (
    Catalogue,
    JobRunRecord,
    PositionCommit,
    SubscriptionChange,
    SubscriptionRecord,
)
from tests.support.frames import ORDERS
from tests.support.full_disk import full_disk

COPIES = SubscriptionRecord("copies", "main", ("orders",), "", Mode.FULL, 1, False, 10)
SEGMENT = Segment(ORDERS, 0, 9, 9, 100, 1, 2, 3, 0, "log/0-9.parquet", 1, "rejects/0-9.parquet")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.duckdb"


def everything(catalogue: Catalogue) -> list[object]:
    return [
        catalogue.list_partitions(),
        catalogue.list_segments(),
        catalogue.list_retired(),
        catalogue.list_subscriptions(),
        catalogue.list_positions(),
        catalogue.list_job_runs("", 100),
        catalogue.list_paused_jobs(),
    ]


def fill(catalogue: Catalogue) -> list[object]:
    """Enters something of everything and answers what it is."""
    later = replace(SEGMENT, base_offset=9, end_offset=12, path="log/9-12.parquet")
    catalogue.put_partition(ORDERS, 0)
    catalogue.raise_epochs([ORDERS.topic_id], 1)
    catalogue.replace_segments([], [SEGMENT, later], 1)
    catalogue.expire_segments([SEGMENT], {ORDERS: 9}, 2)
    catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 3})])
    catalogue.commit_positions([PositionCommit("copies", {ORDERS: 12}, 4, True)])
    catalogue.add_job_run(JobRunRecord("sweep", 1, 2, False, "no", {"files_deleted": 1}))
    catalogue.set_job_paused("sweep", paused=True)
    return everything(catalogue)


def test_everything_is_there_again(path: Path) -> None:
    with closing(DuckDBCatalogue(path)) as catalogue:
        before = fill(catalogue)
    for epoch in (2, 3):
        with closing(DuckDBCatalogue(path)) as catalogue:
            assert everything(catalogue) == before
            assert catalogue.raise_epochs([ORDERS.topic_id], 0) == {ORDERS.topic_id: epoch}


def test_everything_is_there_after_a_crash(path: Path, tmp_path: Path) -> None:
    """A copy of the files while it is open is what a killed process leaves behind."""
    with closing(DuckDBCatalogue(path)) as catalogue:
        before = fill(catalogue)
        left_behind = tmp_path / "left-behind"
        left_behind.mkdir()
        for file in path.parent.glob("catalogue.duckdb*"):
            shutil.copy(file, left_behind)
    with closing(DuckDBCatalogue(left_behind / path.name)) as catalogue:
        assert everything(catalogue) == before


def test_a_copy_is_a_catalogue_as_it_was_then(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / 'it\'s a "copy".duckdb'
    with closing(DuckDBCatalogue(path)) as catalogue:
        before = fill(catalogue)
        for _ in range(2):
            catalogue.copy_to(copy)
        catalogue.delete_subscription("copies")
    with closing(DuckDBCatalogue(copy)) as catalogue:
        assert everything(catalogue) == before
        assert catalogue.raise_epochs([ORDERS.topic_id], 0) == {ORDERS.topic_id: 2}


def test_principals_from_before_they_could_be_disabled_are_not(path: Path) -> None:
    ops = PrincipalRecord("ops", "[]", 1, 1)
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.access.put_principal(ops)
    with duckdb.connect(str(path)) as connection:
        connection.execute("alter table access_principals drop column disabled")
    for disabled in (False, True):
        with closing(DuckDBCatalogue(path)) as catalogue:
            assert catalogue.access.list_principals() == [replace(ops, disabled=disabled)]
            catalogue.access.put_principal(replace(ops, disabled=True))


def test_segments_from_before_there_were_times_of_mining_count_from_their_file(path: Path) -> None:
    backfilled = replace(SEGMENT, base_offset=9, path="log/9-12.parquet", backfilled_ms=7)
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.replace_segments([], [SEGMENT, backfilled], 1)
    with duckdb.connect(str(path)) as connection:
        connection.execute("alter table segments drop column oldest_mined_ms")
        connection.execute("alter table segments drop column newest_mined_ms")
    newer = replace(SEGMENT, base_offset=12, path="log/12-15.parquet", newest_mined_ms=99)
    for _ in range(2):
        with closing(DuckDBCatalogue(path)) as catalogue:
            assert catalogue.list_segments()[:2] == [
                replace(SEGMENT, oldest_mined_ms=3, newest_mined_ms=3),
                replace(backfilled, oldest_mined_ms=7, newest_mined_ms=7),
            ]
            catalogue.replace_segments([newer], [newer], 1)
            assert catalogue.list_segments()[2] == newer


def test_a_subscription_that_is_made_leaves_the_commits_of_others_where_they_are(
    path: Path,
) -> None:
    commits = path.with_name(path.name + ".positions")
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.commit_positions([PositionCommit("copies", {ORDERS: 12}, 4, True)])
        before = commits.read_bytes()
        assert before
        catalogue.put_subscriptions([SubscriptionChange(replace(COPIES, name="others"))])
        assert commits.read_bytes() == before
        # As after a kill: what is durable, without a clean end.
        killed = path.with_name("killed.duckdb")
        for suffix in ("", ".wal", ".positions"):
            shutil.copy(path.with_name(path.name + suffix), killed.with_name(killed.name + suffix))
    with closing(DuckDBCatalogue(killed)) as catalogue:
        assert catalogue.list_positions() == {"copies": {ORDERS: 12}}
        assert [each.name for each in catalogue.list_subscriptions()] == ["copies", "others"]


def test_a_commit_of_nothing_is_not_written(path: Path) -> None:
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        catalogue.commit_positions([PositionCommit("copies", {}, None)])
        assert not path.with_name(path.name + ".positions").exists()


def test_a_torn_end_of_its_own_log_costs_the_last_change_at_most(path: Path) -> None:
    with closing(DuckDBCatalogue(path)) as catalogue:
        for offset in range(5):
            catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: offset})])
        wal = path.with_name(path.name + ".wal")
        torn = path.with_name("torn.duckdb")
        shutil.copy(path, torn)
        torn.with_name("torn.duckdb.wal").write_bytes(wal.read_bytes()[:-5])
    with closing(DuckDBCatalogue(torn)) as catalogue:
        assert catalogue.list_positions() == {"copies": {ORDERS: 3}}


def set_version(path: Path, version: int) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("update meta set format_version = ?", [version])


def test_a_newer_format_is_refused_and_left_alone(path: Path) -> None:
    DuckDBCatalogue(path).close()
    set_version(path, 2)
    before = path.read_bytes()
    with pytest.raises(StoreFormatUnsupported, match=r"format 2, this version .* up to 1"):
        DuckDBCatalogue(path)
    assert path.read_bytes() == before
    assert not path.with_name(path.name + ".wal").exists()
    set_version(path, 1)  # nobody holds the file
    DuckDBCatalogue(path).close()


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 500)


def cut_off(path: Path) -> None:
    DuckDBCatalogue(path).close()
    path.write_bytes(path.read_bytes()[:6_000])


def other_database(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table customers (id integer)")


def without_version(path: Path) -> None:
    DuckDBCatalogue(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from meta")


def directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [no_database, cut_off, other_database, without_version, directory])
def test_what_is_no_catalogue_is_refused_and_left_alone(
    path: Path, make: Callable[[Path], None]
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(DamagedFile, match=r"(?s)cannot be opened as a DuckDB.*left as it is"):
        DuckDBCatalogue(path)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_failed_change_leaves_nothing_of_it(path: Path) -> None:
    with closing(DuckDBCatalogue(path)) as catalogue:
        before = fill(catalogue)
        wrong = replace(SEGMENT, path=None)  # type: ignore[arg-type]
        with pytest.raises(PreconditionFailed) as caught:
            catalogue.replace_segments(catalogue.list_segments(), [SEGMENT, wrong], 9)
        assert caught.value.reason == "STORE_WRITE_FAILED"
        assert everything(catalogue) == before


def test_a_full_disk_is_told_and_goes_by(path: Path) -> None:
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 3})])
        before = everything(catalogue)
        with full_disk(path.with_name(path.name + ".wal").stat().st_size):
            for _ in range(2):
                with pytest.raises(PreconditionFailed) as caught:
                    catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 5})])
                assert caught.value.reason == "STORE_WRITE_FAILED"
            assert everything(catalogue) == before
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 6})])
        before = everything(catalogue)
    with closing(DuckDBCatalogue(path)) as catalogue:
        assert everything(catalogue) == before
        assert catalogue.list_positions() == {"copies": {ORDERS: 6}}


def test_a_commit_is_whole_where_the_catalogue_has_no_room_for_it(path: Path) -> None:
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 3})])
        with full_disk(path.with_name(path.name + ".wal").stat().st_size):
            catalogue.commit_positions([PositionCommit("copies", {ORDERS: 5}, 4)])
            for _ in range(2):
                with pytest.raises(PreconditionFailed):
                    catalogue.list_positions()
        left_behind = path.with_name("left-behind.duckdb")
        for file in path.parent.glob("catalogue.duckdb*"):
            shutil.copy(file, file.with_name(file.name.replace("catalogue", "left-behind")))
        assert catalogue.list_positions() == {"copies": {ORDERS: 5}}
    with closing(DuckDBCatalogue(left_behind)) as catalogue:
        assert catalogue.list_positions() == {"copies": {ORDERS: 5}}


def test_commits_go_into_the_catalogue_many_at_a_time(path: Path) -> None:
    beside = path.with_name(path.name + ".positions")
    partitions = [ORDERS.topic_id.partition(number) for number in range(10_000)]
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.put_subscriptions([SubscriptionChange(COPIES)])
        largest = 0
        for offset in range(10):
            commit = PositionCommit("copies", dict.fromkeys(partitions, offset), offset)
            catalogue.commit_positions([commit])
            largest = max(largest, beside.stat().st_size)
        assert 1 << 20 <= largest < 3 << 20
        assert catalogue.list_positions() == {"copies": dict.fromkeys(partitions, 9)}
        assert beside.stat().st_size == 0


def test_a_copy_has_every_commit_once_they_are_settled(path: Path) -> None:
    copy = path.with_name("copy.duckdb")
    with closing(DuckDBCatalogue(path)) as catalogue:
        catalogue.put_subscriptions([SubscriptionChange(COPIES, {ORDERS: 3})])
        catalogue.commit_positions([PositionCommit("copies", {ORDERS: 5}, 4)])
        catalogue.settle()
        catalogue.copy_to(copy)
    with closing(DuckDBCatalogue(copy)) as catalogue:
        assert catalogue.list_positions() == {"copies": {ORDERS: 5}}
