"""A copy of the catalogue and the changes noted since are what it was, or it is told."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from cachesvc.errors import StoreUnwritable
from cachesvc.store import layout
from cachesvc.store.access_port import TokenRecord
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.catalogues import catch_up, open_catalogue
from cachesvc.store.change_log import ChangeLog, Statement, read_changes
from cachesvc.store.ports import Catalogue, ConnectionRecord, JobRunRecord
from tests.support.frames import ORDERS, flip_bit
from tests.support.full_disk import full_disk

COPY = "copy.duckdb"


def change(catalogue: Catalogue, number: int) -> None:
    """One change, by any of several ways: statements, tables, several of them at once."""
    kind = number % 5
    if kind == 0:
        catalogue.put_connection(ConnectionRecord(f"kafka-{number}", "{}", number, number))
    elif kind == 1:
        catalogue.put_partition(ORDERS.topic_id.partition(number), number)
    elif kind == 2:
        catalogue.raise_epochs([ORDERS.topic_id], number)
    elif kind == 3:
        catalogue.add_job_run(JobRunRecord("sweep", number, number, True, "", {"files": 1}))
    else:
        catalogue.access.put_token(TokenRecord(f"{number}", "ops", "ab", 1, None, number))


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that is in a catalogue, but for the number of its last change and when it was made."""
    with closing(duckdb.connect(str(path), read_only=True)) as connection:
        tables = connection.execute("select table_name from duckdb_tables()").fetchall()
        return {
            name: sorted(connection.execute(f'from "{name}"').fetchall(), key=repr)
            for (name,) in tables
            if name not in ("changes", "meta")
        }


def files(store: Path) -> list[Path]:
    return sorted(store.glob(f"{layout.CATALOGUE}{layout.CHANGES_INFIX}*"))


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    with closing(open_catalogue(tmp_path)) as opened:
        yield opened


def test_any_copy_with_what_was_noted_since_is_the_catalogue(tmp_path: Path) -> None:
    chance = random.Random(5)
    number = 0
    for _ in range(3):  # a service that is started again and again
        with closing(open_catalogue(tmp_path)) as catalogue:
            for _ in range(chance.randrange(1, 8)):
                change(catalogue, number)
                if chance.random() < 0.2:
                    catalogue.part_changes()
                if chance.random() < 0.2 or number == 0:
                    catalogue.copy_to(tmp_path / f"copy-{number}.duckdb")
                number += 1
    for copy in tmp_path.glob("copy-*.duckdb"):
        repeated = catch_up(tmp_path, copy)
        assert repeated.whole, copy
        assert rows(copy) == rows(tmp_path / layout.CATALOGUE), copy


def test_without_a_copy_all_changes_are_the_catalogue(tmp_path: Path) -> None:
    with closing(open_catalogue(tmp_path)) as catalogue:
        for number in range(9):
            change(catalogue, number)
    repeated = catch_up(tmp_path, tmp_path / COPY)
    assert (repeated.changes, repeated.whole) == (9, True)
    assert rows(tmp_path / COPY) == rows(tmp_path / layout.CATALOGUE)


def test_a_change_that_failed_is_not_made_again(tmp_path: Path, catalogue: Catalogue) -> None:
    change(catalogue, 0)
    with full_disk(files(tmp_path)[0].stat().st_size), pytest.raises(StoreUnwritable):
        change(catalogue, 5)
    with pytest.raises(StoreUnwritable):
        catalogue.put_connection(ConnectionRecord("x", None, 1, 1))  # type: ignore[arg-type]
    change(catalogue, 1)
    repeated = catch_up(tmp_path, tmp_path / COPY)
    assert (repeated.changes, repeated.whole) == (2, True)
    catalogue.close()
    assert rows(tmp_path / COPY) == rows(tmp_path / layout.CATALOGUE)


def test_what_was_noted_and_never_committed_is_over_with_the_next_start(tmp_path: Path) -> None:
    with closing(open_catalogue(tmp_path)) as catalogue:
        change(catalogue, 0)
        killed = tmp_path / "killed"
        killed.mkdir()
        for file in tmp_path.glob(f"{layout.CATALOGUE}*"):
            if file not in files(tmp_path):
                shutil.copy(file, killed)
        change(catalogue, 5)  # noted, and the kill came before the commit
        shutil.copy(files(tmp_path)[0], killed)
    for _ in range(2):
        with closing(open_catalogue(killed)) as catalogue:
            change(catalogue, 10)
    repeated = catch_up(killed, killed / COPY)
    assert (repeated.changes, repeated.whole) == (3, True)
    assert rows(killed / COPY) == rows(killed / layout.CATALOGUE)


def _delete(path: Path) -> None:
    path.unlink()


def _flip(path: Path) -> None:
    flip_bit(path, 4 * len(path.read_bytes()))


def test_what_is_missing_or_damaged_is_told(tmp_path: Path) -> None:
    begin = tmp_path / "begin.duckdb"
    with closing(open_catalogue(tmp_path)) as catalogue:
        catalogue.copy_to(begin)
        for number in range(12):
            change(catalogue, number)
            if number % 4 == 3:
                catalogue.part_changes()
    kept = {path: path.read_bytes() for path in files(tmp_path)}
    assert len(kept) == 4, "the last is empty so far"
    for number, (path, data) in enumerate(kept.items()):
        for damage in (_delete, _flip)[: 2 if data else 1]:
            damage(path)
            shutil.copy(begin, tmp_path / COPY)
            repeated = catch_up(tmp_path, tmp_path / COPY)
            assert not repeated.whole, path
            assert repeated.changes <= 4 * (number + 1)
            path.write_bytes(data)


def test_what_two_copies_have_is_let_go_of(tmp_path: Path, catalogue: Catalogue) -> None:
    numbers = []
    for number in range(6):
        change(catalogue, number)
        numbers.append(catalogue.part_changes())
        if number == 4:
            catalogue.copy_to(tmp_path / COPY)
    catalogue.forget_changes(numbers[4])
    assert len(files(tmp_path)) == 2
    assert catch_up(tmp_path, tmp_path / COPY).whole


def test_a_catalogue_without_files_of_changes_has_none(tmp_path: Path) -> None:
    with closing(DuckDBCatalogue(tmp_path / layout.CATALOGUE)) as catalogue:
        change(catalogue, 0)
        assert catalogue.part_changes() == 0
        catalogue.forget_changes(0)
    assert not files(tmp_path)


def test_a_full_disk_keeps_no_catalogue_from_being_opened(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / layout.CATALOGUE, 0)
    log.append([Statement("select 1", [])])
    log.close()
    with full_disk(files(tmp_path)[0].stat().st_size):
        log = ChangeLog(tmp_path / layout.CATALOGUE, 1)
        with pytest.raises(StoreUnwritable):
            log.append([Statement("select 2" * 1_000, [])])
    log.append([Statement("select 3", [])])
    log.close()
    found = read_changes(tmp_path / layout.CATALOGUE, 0)
    assert [each.number for each in found.found] == [1, 2]
    assert found.found[1].statements[0].text == "select 3"
    assert found.whole
