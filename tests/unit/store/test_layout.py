from __future__ import annotations

from pathlib import Path

import pytest

from cachesvc.model import PartitionId
from cachesvc.store import layout
from tests.support.frames import ORDERS

PARTITIONS = [
    ORDERS,
    PartitionId("main", "orders", 1, 10),
    PartitionId("main", "orders", 2, 0),
    PartitionId("main", ".hidden", 1, 0),
    PartitionId("main", "a.b-c_D", 12, 3),
    PartitionId("other", "orders", 1, 0),
    PartitionId("main", "partition=7", 1, 0),
    PartitionId("main", "i3", 1, 0),
]


def test_names_files_after_what_they_hold() -> None:
    place = "main/orders/i1/partition=0"
    assert str(layout.journal_path(ORDERS, 42)) == f"journal/{place}/00000000000000000042.journal"
    assert str(layout.segment_directory(ORDERS)) == f"log/{place}"
    assert str(layout.rejects_directory(ORDERS)) == f"rejects/{place}"
    stem = layout.new_file_stem(42, 2**63 - 1)
    assert stem.startswith("00000000000000000042-09223372036854775807-")
    assert layout.data_file_name(stem, 0xABC) == f"{stem}-00000abc.parquet"


def test_no_name_is_given_twice() -> None:
    assert len({layout.new_file_stem(0, 1) for _ in range(100)}) == 100


def test_a_name_tells_the_checksum_of_the_footer() -> None:
    name = layout.data_file_name(layout.new_file_stem(0, 1), 0xFFFFFFFE)
    assert layout.footer_checksum(name) == 0xFFFFFFFE
    assert layout.footer_checksum(name + ".tmp") is None
    assert layout.footer_checksum("0-500.parquet") is None


def test_names_sort_as_offsets_do() -> None:
    offsets = [0, 9, 10, 99, 100, 2**31, 2**63 - 1]
    names = [layout.journal_path(ORDERS, offset) for offset in offsets]
    assert sorted(names) == names


def make(store: Path, partition: PartitionId, base: int) -> Path:
    path = store / layout.journal_path(partition, base)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_finds_the_journals_of_every_partition_in_offset_order(tmp_path: Path) -> None:
    expected = {
        partition: [make(tmp_path, partition, base) for base in (0, 7, 30, 200)]
        for partition in PARTITIONS
    }
    older = [tmp_path / layout.backfill_path(ORDERS, base) for base in (3, 40)]
    for path in older:
        path.touch()
    found = layout.find_journals(tmp_path)
    assert {partition: journals.top for partition, journals in found.items()} == expected
    assert {p: j.backfills for p, j in found.items() if j.backfills} == {ORDERS: older}


def test_finds_nothing_in_an_empty_store(tmp_path: Path) -> None:
    assert layout.find_journals(tmp_path) == {}


@pytest.mark.parametrize(
    "name",
    [
        "journal/main/orders/i1/partition=0/00000000000000000042.journal.tmp",
        "journal/main/orders/i1/partition=0/notes.txt",
        "journal/main/orders/i1/partition=0/copy of 42.journal",
        "journal/main/orders/i1/partition=x/00000000000000000042.journal",
        "journal/main/orders/ix/partition=0/00000000000000000042.journal",
        "journal/main/orders/i1/00000000000000000042.journal",
        "log/main/orders/i1/partition=0/00000000000000000042.journal",
        "quarantine/journal/main/orders/i1/partition=0/00000000000000000042.journal",
    ],
)
def test_leaves_other_files_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert layout.find_journals(tmp_path) == {}
