"""The contract of ``drops_port``, for each implementation of the catalogue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cachesvc.store import drop_tables, memory_drops
from cachesvc.store.drops_port import DropCause, DropRecord
from cachesvc.store.ports import Catalogue

DROP = DropRecord(5, "main", "orders", DropCause.AGE, "", 2, 30, 2**60, "")
SHED = DropRecord(6, "main", "items", DropCause.STORE_BYTES, "cold", 1, 0, 7, "it held “too” much")
OTHER = DropRecord(4, "spare", "orders", DropCause.TOPIC_RECORDS, "", 1, 1, 1, "why")


def test_a_new_one_is_empty(catalogue: Catalogue) -> None:
    assert catalogue.drops.list("", "", 10) == []


def test_lists_the_newest_first_of_whom_it_is_asked(catalogue: Catalogue) -> None:
    catalogue.drops.add([DROP, SHED])
    catalogue.drops.add([])
    catalogue.drops.add([OTHER])
    assert catalogue.drops.list("", "", 10) == [OTHER, SHED, DROP]
    assert catalogue.drops.list("", "", 2) == [OTHER, SHED]
    assert catalogue.drops.list("main", "", 10) == [SHED, DROP]
    assert catalogue.drops.list("", "orders", 10) == [OTHER, DROP]
    assert catalogue.drops.list("main", "orders", 10) == [DROP]
    assert catalogue.drops.list("nobody", "", 10) == []


def test_keeps_every_cause(catalogue: Catalogue) -> None:
    drops = [replace(DROP, cause=cause) for cause in DropCause]
    catalogue.drops.add(drops)
    assert catalogue.drops.list("", "", 10) == drops[::-1]


def test_keeps_the_newest(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (drop_tables, memory_drops):
        monkeypatch.setattr(module, "DROPS_MAX", 5)
    drops = [replace(DROP, at_ms=number) for number in range(8)]
    catalogue.drops.add(drops[:4])
    catalogue.drops.add(drops[4:])
    assert catalogue.drops.list("", "", 100) == drops[:2:-1]
