"""The contract of ``audit_port``, for each implementation of the catalogue."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cachesvc.store import audit_tables, memory_audit
from cachesvc.store.audit_port import AuditEntry, AuditFilter
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.ports import Catalogue

ALL = AuditFilter()
FIRST = AuditEntry(
    1, 100, "ops", "token", "t-1", "ipv4:10.0.0.7:4711", "StopMiningTask", '{"connection":"„m“"}'
)
SECOND = replace(FIRST, number=2, at_ms=200, principal="ci", call="DeleteSubscription")


def test_a_new_one_is_empty(catalogue: Catalogue) -> None:
    assert catalogue.audit.list(ALL, 10) == []
    assert catalogue.audit.started() == []
    assert catalogue.audit.last_number() == 0
    catalogue.audit.put([])
    assert catalogue.audit.list(ALL, 10) == []


def test_lists_the_newest_first_of_what_is_wanted(catalogue: Catalogue) -> None:
    catalogue.audit.put([FIRST, SECOND])
    assert catalogue.audit.list(ALL, 10) == [SECOND, FIRST]
    assert catalogue.audit.list(ALL, 1) == [SECOND]
    assert catalogue.audit.list(AuditFilter(principal="ops"), 10) == [FIRST]
    assert catalogue.audit.list(AuditFilter(call="DeleteSubscription"), 10) == [SECOND]
    assert catalogue.audit.list(AuditFilter(since_ms=101), 10) == [SECOND]
    assert catalogue.audit.list(AuditFilter(since_ms=100), 10) == [SECOND, FIRST]
    assert catalogue.audit.list(AuditFilter("ops", "DeleteSubscription"), 10) == []


def test_an_entry_is_replaced_when_its_call_ends(catalogue: Catalogue) -> None:
    catalogue.audit.put([FIRST, SECOND])
    assert catalogue.audit.started() == [FIRST, SECOND]
    ended = replace(FIRST, outcome="NOT_FOUND", reason="UNKNOWN_CONNECTION", took_ms=2**40)
    third = replace(SECOND, number=3)
    catalogue.audit.put([ended, third])
    assert catalogue.audit.list(ALL, 10) == [third, SECOND, ended]
    assert catalogue.audit.started() == [SECOND, third]
    assert catalogue.audit.last_number() == 3


def test_keeps_the_newest(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (audit_tables, memory_audit):
        monkeypatch.setattr(module, "AUDIT_MAX", 5)
    entries = [replace(FIRST, number=number) for number in range(1, 9)]
    catalogue.audit.put(entries[:4])
    catalogue.audit.put(entries[4:])
    assert catalogue.audit.list(ALL, 100) == entries[:2:-1]
    assert catalogue.audit.last_number() == 8


def test_it_lasts(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.duckdb"
    with closing(DuckDBCatalogue(path)) as opened:
        opened.audit.put([FIRST])
    with closing(DuckDBCatalogue(path)) as opened:
        assert opened.audit.started() == [FIRST]
