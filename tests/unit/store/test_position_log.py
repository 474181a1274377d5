"""Commits outlast a crash in their own file, and a damaged one never becomes another position."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from cachesvc.errors import StoreUnwritable
from cachesvc.store.ports import PositionCommit
from cachesvc.store.position_log import PositionLog
from tests.support.frames import ORDERS, flip_bit
from tests.support.full_disk import full_disk

SECOND = ORDERS.topic_id.partition(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.duckdb.positions"


def commits(count: int) -> list[PositionCommit]:
    return [
        PositionCommit(
            f"copies-{each % 3}", {ORDERS: each, SECOND: each + 1}, each or None, each > 3
        )
        for each in range(count)
    ]


def written(path: Path, count: int) -> list[PositionCommit]:
    """Each in a frame of its own."""
    made = commits(count)
    with closing(PositionLog(path)) as log:
        for each in made:
            log.append([each])
    return made


def read(path: Path) -> list[PositionCommit]:
    with closing(PositionLog(path)) as log:
        return log.waiting


def test_there_is_no_file_before_something_is_committed(path: Path) -> None:
    with closing(PositionLog(path)) as log:
        assert log.waiting == []
        log.empty()
        log.append(commits(2))
        log.append(commits(1))
        assert log.waiting == commits(2) + commits(1)
        assert read(path) == log.waiting


def test_what_the_catalogue_has_waits_no_more(path: Path) -> None:
    with closing(PositionLog(path)) as log:
        log.append(commits(5))
        log.empty()
        assert read(path) == log.waiting == []
        log.append(commits(2)[1:])
        assert read(path) == log.waiting == commits(2)[1:]


def test_it_is_full_after_a_megabyte(path: Path) -> None:
    partitions = [ORDERS.topic_id.partition(number) for number in range(10_000)]
    with closing(PositionLog(path)) as log:
        count = 0
        while not log.full:
            log.append([PositionCommit("copies", dict.fromkeys(partitions, count), count)])
            count += 1
        assert 1 < count < 100
        log.empty()
        assert not log.full


def test_a_torn_end_costs_the_last_frame(path: Path) -> None:
    made = written(path, 4)
    whole = path.read_bytes()
    sizes = set()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:-cut])
        found = read(path)
        assert found == made[: len(found)]
        sizes.add(len(found))
    assert sizes == {0, 1, 2, 3}


def test_what_comes_after_a_torn_end_is_read(path: Path) -> None:
    made = written(path, 4)
    path.write_bytes(path.read_bytes()[:-3])
    with closing(PositionLog(path)) as log:
        log.empty()
        log.append(made[:2])
    assert read(path) == made[:2]


@pytest.mark.parametrize("seed", range(50))
def test_a_damaged_frame_is_left_out(
    path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    made = written(path, 8)
    flip_bit(path, chance.randrange(path.stat().st_size * 8))
    found = read(path)
    assert len(found) < len(made)
    left = iter(made)
    assert all(each in left for each in found)  # in their order
    assert "commits_damaged" in {getattr(record, "event", "") for record in caplog.records}


def test_a_full_disk_takes_nothing_of_a_commit(path: Path) -> None:
    made = written(path, 3)
    with closing(PositionLog(path)) as log:
        with full_disk(path.stat().st_size + 20):  # the next one fits in part
            for _ in range(2):
                with pytest.raises(StoreUnwritable):
                    log.append(commits(1))
            assert log.waiting == made
        log.append(commits(2))
        assert read(path) == log.waiting == made + commits(2)
