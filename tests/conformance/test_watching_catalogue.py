"""The contracts of ``watching_port``, for each implementation of the catalogue."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cachesvc.model import TopicId
from cachesvc.policy.alarms import AlarmKey, AlarmKind
from cachesvc.policy.throughput import Counts, Tally
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.ports import Catalogue
from cachesvc.store.watching_port import AlarmRecord, Notice

ORDERS = TopicId("main", "orders")
COUNTS = Counts(Tally(2**40, 2**50, 3), 20_000, Tally(1, 2, 3))
KEY = AlarmKey(AlarmKind.RETENTION_NEAR, "main", "orders", 3, "copies")
RAISED = AlarmRecord(1, KEY, "“soon”", 100)
CLEARED = replace(RAISED, cleared_ms=200)


def alarm(number: int, raised_ms: int, cleared_ms: int | None = None) -> AlarmRecord:
    return AlarmRecord(
        number, AlarmKey(AlarmKind.TASK_STOPPED, "other"), "x", raised_ms, cleared_ms
    )


def test_counts(catalogue: Catalogue) -> None:
    assert catalogue.counts.all() == {}
    catalogue.counts.put({})
    later = TopicId("main", "orders", 2)
    catalogue.counts.put({later: Counts(), ORDERS: Counts()})
    catalogue.counts.put({ORDERS: COUNTS})
    assert list(catalogue.counts.all().items()) == [(ORDERS, COUNTS), (later, Counts())]


def test_no_alarms(catalogue: Catalogue) -> None:
    assert catalogue.alarms.list("", 10, past=True) == []
    assert catalogue.alarms.last_id() == 0
    assert catalogue.alarms.first_notice() is None
    catalogue.alarms.drop_notice(7)
    catalogue.alarms.put([], notify=True)
    assert catalogue.alarms.count_notices() == 0


def test_alarms_stand_until_they_are_cleared(catalogue: Catalogue) -> None:
    catalogue.alarms.put([RAISED, alarm(2, 150)], notify=False)
    assert catalogue.alarms.list("", 10, past=False) == [alarm(2, 150), RAISED]
    catalogue.alarms.put([replace(CLEARED, message="not this one")], notify=False)
    assert catalogue.alarms.list("", 10, past=False) == [alarm(2, 150)]
    assert catalogue.alarms.list("", 10, past=True) == [alarm(2, 150), CLEARED]
    assert catalogue.alarms.list("main", 10, past=True) == [CLEARED]
    assert catalogue.alarms.list("main", 10, past=False) == []
    assert catalogue.alarms.list("", 1, past=True) == [alarm(2, 150)]
    assert catalogue.alarms.last_id() == 2
    assert catalogue.alarms.first_notice() is None


def test_notices_are_delivered_in_order(catalogue: Catalogue) -> None:
    catalogue.alarms.put([RAISED, alarm(2, 150)], notify=True)
    catalogue.alarms.put([CLEARED], notify=True)
    delivered = []
    while (notice := catalogue.alarms.first_notice()) is not None:
        assert catalogue.alarms.first_notice() == notice, "until it is dropped"
        delivered.append(notice)
        catalogue.alarms.drop_notice(notice.number)
        assert catalogue.alarms.count_notices() == 3 - len(delivered)
    # A raise is told as it was, also when the alarm has been cleared since.
    assert [notice.alarm for notice in delivered] == [RAISED, alarm(2, 150), CLEARED]
    assert [notice.number for notice in delivered] == sorted(n.number for n in delivered)


def test_both_are_bounded(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("watching_tables", "memory_watching"):
        monkeypatch.setattr(f"cachesvc.store.{module}.PAST_ALARMS_MAX", 3)
        monkeypatch.setattr(f"cachesvc.store.{module}.ALARM_NOTICES_MAX", 2)
    catalogue.alarms.put([RAISED], notify=False)
    for number in range(2, 9):
        catalogue.alarms.put([alarm(number, number, 100 + number)], notify=False)
    listed = [found.id for found in catalogue.alarms.list("", 100, past=True)]
    assert listed == [1, 8, 7, 6], "one that stands is not counted"
    catalogue.alarms.put([alarm(number, number, 200) for number in range(9, 13)], notify=True)
    notice = catalogue.alarms.first_notice()
    assert notice is not None
    assert notice.alarm.id == 11
    assert catalogue.alarms.count_notices() == 2
    # What the webhook has yet to be told of stays.
    catalogue.alarms.put([alarm(n, n, 300 + n) for n in range(20, 24)], notify=False)
    listed = [found.id for found in catalogue.alarms.list("", 100, past=True)]
    assert listed == [1, 23, 22, 21, 12, 11]


def test_all_of_it_lasts(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.duckdb"
    with closing(DuckDBCatalogue(path)) as opened:
        opened.counts.put({ORDERS: COUNTS})
        opened.alarms.put([RAISED], notify=True)
    with closing(DuckDBCatalogue(path)) as opened:
        assert opened.counts.all() == {ORDERS: COUNTS}
        assert opened.alarms.list("", 10, past=False) == [RAISED]
        assert opened.alarms.first_notice() == Notice(1, RAISED)
