"""The contract of ``model_port.Models``, for each implementation of the catalogue."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cachesvc.model import TopicId
from cachesvc.policy.models import (
    ELEMENT,
    Change,
    ChangeKind,
    Field,
    JsonType,
    Model,
    Seen,
    path_text,
)
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.model_port import Looked, ModelRecord, ModelSummary, NotedChange
from cachesvc.store.ports import Catalogue

ORDERS = TopicId("main", "orders")
MODEL = Model(
    {
        (): Field({JsonType.OBJECT: Seen(1, 9)}),
        (".items",): Field({JsonType.ARRAY: Seen(1, 9), JsonType.NULL: Seen(4, 5)}, absent=True),
        (".items", ELEMENT): Field({JsonType.STRING: Seen(1, 9, '"\\u0000ü🛒"')}),
        (".a.b[0]\x00",): Field({JsonType.INTEGER: Seen(-1, 2**63 - 1, "1")}),
    },
    truncated=True,
)
ADDED = Change(ChangeKind.FIELD_ADDED, (".items", ELEMENT), (JsonType.STRING,), 1)
OPTIONAL = Change(ChangeKind.FIELD_OPTIONAL, (".items",), (), None)


def record(topic: TopicId = ORDERS, model: Model = MODEL, seen: int = 7) -> ModelRecord:
    summary = ModelSummary(topic, len(model.fields), model.truncated, seen, 1, 9, 100, 90)
    return ModelRecord(summary, model, {0: 50, 11: 2**40})


def test_a_new_one_is_empty(catalogue: Catalogue) -> None:
    assert catalogue.models.get(ORDERS) is None
    assert catalogue.models.page("main", None, 10) == []
    assert catalogue.models.looked("main") == {}
    assert catalogue.models.changes(ORDERS) == []
    assert catalogue.models.counts() == {}
    assert catalogue.models.refreshes() == {}
    catalogue.models.put([], [])


def test_a_model_is_there_as_it_was_put(catalogue: Catalogue) -> None:
    catalogue.models.put([record()], [])
    assert catalogue.models.get(ORDERS) == record()
    assert catalogue.models.get(TopicId("main", "orders", 2)) is None
    assert catalogue.models.looked("main") == {ORDERS: Looked(100, {0: 50, 11: 2**40})}


def test_a_model_is_replaced_as_a_whole(catalogue: Catalogue) -> None:
    catalogue.models.put([record()], [])
    changed = record(model=Model({(): Field({JsonType.OBJECT: Seen(1, 10)})}), seen=8)
    changed = ModelRecord(changed.summary, changed.model, {})
    for _ in range(2):
        catalogue.models.put([changed], [])
    assert catalogue.models.get(ORDERS) == changed
    assert catalogue.models.counts() == {"main": 1}


def test_pages_are_ordered_and_of_one_connection(catalogue: Catalogue) -> None:
    topics = [
        TopicId("main", name, incarnation) for name in ("a", "a.b", "ä") for incarnation in (1, 2)
    ]
    others = [TopicId("other", "a"), TopicId("zero", "z")]
    catalogue.models.put([record(topic) for topic in reversed(topics)], [])
    for topic in others:
        catalogue.models.put([record(topic)], [])
    assert [each.topic for each in catalogue.models.page("main", None, 100)] == topics
    pages = []
    after = None
    while page := catalogue.models.page("main", after, 4):
        pages.append([each.topic for each in page])
        after = page[-1].topic
    assert pages == [topics[:4], topics[4:]]
    assert catalogue.models.page("main", None, 1) == [record(topics[0]).summary]
    assert catalogue.models.counts() == {"main": 6, "other": 1, "zero": 1}


def test_history_has_the_newest_first(catalogue: Catalogue) -> None:
    later = TopicId("main", "orders", 2)
    noted = [NotedChange(ORDERS, 5, ADDED), NotedChange(ORDERS, 5, OPTIONAL)]
    catalogue.models.put([record()], noted)
    newest = NotedChange(ORDERS, 6, replace(ADDED, kind=ChangeKind.TYPE_ADDED))
    catalogue.models.put([record(), record(later)], [newest, NotedChange(later, 1, ADDED)])
    assert catalogue.models.changes(ORDERS) == [newest, noted[1], noted[0]]
    assert catalogue.models.changes(later) == [NotedChange(later, 1, ADDED)]


def test_history_is_bounded(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("model_tables", "memory_models"):
        monkeypatch.setattr(f"cachesvc.store.{module}.MODEL_CHANGES_MAX", 10)
    other = TopicId("main", "other")
    catalogue.models.put([record(other)], [NotedChange(other, 1, ADDED)])
    for at_ms in range(23):
        catalogue.models.put([record()], [NotedChange(ORDERS, at_ms, ADDED)])
    assert [noted.noted_ms for noted in catalogue.models.changes(ORDERS)] == list(range(22, 12, -1))
    assert len(catalogue.models.changes(other)) == 1


def test_refreshes(catalogue: Catalogue) -> None:
    catalogue.models.note_refresh("main", 5)
    catalogue.models.note_refresh("other", 6)
    catalogue.models.note_refresh("main", 7)
    assert catalogue.models.refreshes() == {"main": 7, "other": 6}


def test_all_of_it_lasts(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.duckdb"
    with closing(DuckDBCatalogue(path)) as opened:
        opened.models.put([record()], [NotedChange(ORDERS, 5, ADDED)])
        opened.models.note_refresh("main", 5)
    with closing(DuckDBCatalogue(path)) as opened:
        assert opened.models.get(ORDERS) == record()
        assert opened.models.changes(ORDERS) == [NotedChange(ORDERS, 5, ADDED)]
        assert opened.models.refreshes() == {"main": 5}
        assert [path_text(path) for path in sorted(MODEL.fields)] == [
            "$",
            '$."a.b[0]\\u0000"',
            "$.items",
            "$.items[*]",
        ]
