"""Models in the tables of ``catalogue.DuckDBCatalogue``."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import pyarrow as pa

from cachesvc.model import TopicId
from cachesvc.policy.models import Change, ChangeKind, Field, JsonType, Model, Path, Seen
from cachesvc.store.execution import Tables
from cachesvc.store.model_port import (
    MODEL_CHANGES_MAX,
    Looked,
    ModelRecord,
    ModelSummary,
    NotedChange,
)

_TypeRow = tuple[int, int, int, str]
_FieldRow = tuple[Path, bool, list[_TypeRow]]
_decode_fields: Callable[[str], list[_FieldRow]] = msgspec.json.Decoder(list[_FieldRow]).decode
_MODELS = pa.schema(
    [
        ("connection", pa.string()),
        ("topic", pa.string()),
        ("incarnation", pa.int32()),
        ("field_count", pa.int32()),
        ("truncated", pa.bool_()),
        ("records_seen", pa.int64()),
        ("first_ms", pa.int64()),
        ("last_ms", pa.int64()),
        ("refreshed_ms", pa.int64()),
        ("changed_ms", pa.int64()),
        ("fields", pa.string()),
        ("offsets", pa.list_(pa.struct([("k", pa.int32()), ("v", pa.int64())]))),
    ]
)
_CHANGES = pa.schema(
    [
        ("connection", pa.string()),
        ("topic", pa.string()),
        ("incarnation", pa.int32()),
        ("noted_ms", pa.int64()),
        ("kind", pa.int32()),
        ("path", pa.list_(pa.string())),
        ("types", pa.list_(pa.int32())),
        ("first_ms", pa.int64()),
    ]
)


class Run(Protocol):
    """Executes a named statement with its parameters; answers its rows."""

    def __call__(self, query: str, /, *parameters: object) -> list[tuple[Any, ...]]: ...


class ModelTables(Tables):
    """``model_port.Models``; see there for the contract."""

    def put(self, models: Sequence[ModelRecord], changes: Sequence[NotedChange]) -> None:
        if not models:
            return
        rows = pa.Table.from_pylist([_row(record) for record in models], _MODELS)
        with self._transaction():
            self._run_with("new_models", rows, "put_models")
            if changes:
                history = pa.Table.from_pylist([_change_row(noted) for noted in changes], _CHANGES)
                self._run_with("new_changes", history, "put_model_changes")
                connection = models[0].summary.topic.connection
                self._run("trim_model_changes", connection, MODEL_CHANGES_MAX)

    def get(self, topic: TopicId) -> ModelRecord | None:
        rows = self._run("get_model", topic.connection, topic.topic, topic.incarnation)
        if not rows:
            return None
        *summary, fields, offsets = rows[0]
        found = _summary(tuple(summary))
        return ModelRecord(found, Model(_decoded(fields), found.truncated), offsets)

    def page(self, connection: str, after: TopicId | None, limit: int) -> list[ModelSummary]:
        behind = (after.topic, after.incarnation) if after else ("", 0)
        return [
            _summary(row) for row in self._run("list_model_summaries", connection, *behind, limit)
        ]

    def looked(self, connection: str) -> dict[TopicId, Looked]:
        return {
            TopicId(connection, topic, incarnation): Looked(refreshed_ms, offsets)
            for topic, incarnation, refreshed_ms, offsets in self._run(
                "list_models_looked", connection
            )
        }

    def changes(self, topic: TopicId) -> list[NotedChange]:
        rows = self._run("list_model_changes", topic.connection, topic.topic, topic.incarnation)
        return [
            NotedChange(
                topic,
                noted_ms,
                Change(ChangeKind(kind), tuple(path), tuple(map(JsonType, types)), first_ms),
            )
            for noted_ms, kind, path, types, first_ms in rows
        ]

    def counts(self) -> dict[str, int]:
        return dict(self._run("count_models"))

    def note_refresh(self, connection: str, at_ms: int) -> None:
        self._run("put_model_refresh", connection, at_ms)

    def refreshes(self) -> dict[str, int]:
        return dict(self._run("list_model_refreshes"))


def _summary(row: tuple[Any, ...]) -> ModelSummary:
    return ModelSummary(TopicId(*row[:3]), *row[3:])


def _row(record: ModelRecord) -> dict[str, object]:
    summary = record.summary
    return {
        "connection": summary.topic.connection,
        "topic": summary.topic.topic,
        "incarnation": summary.topic.incarnation,
        "field_count": summary.field_count,
        "truncated": summary.truncated,
        "records_seen": summary.records_seen,
        "first_ms": summary.first_ms,
        "last_ms": summary.last_ms,
        "refreshed_ms": summary.refreshed_ms,
        "changed_ms": summary.changed_ms,
        "fields": _encoded(record.model),
        "offsets": [{"k": number, "v": at} for number, at in sorted(record.offsets.items())],
    }


def _change_row(noted: NotedChange) -> dict[str, object]:
    change = noted.change
    return {
        "connection": noted.topic.connection,
        "topic": noted.topic.topic,
        "incarnation": noted.topic.incarnation,
        "noted_ms": noted.noted_ms,
        "kind": int(change.kind),
        "path": list(change.path),
        "types": [int(kind) for kind in change.types],
        "first_ms": change.first_ms,
    }


def _encoded(model: Model) -> str:
    rows: list[_FieldRow] = [
        (
            path,
            field.absent,
            [
                (int(kind), seen.first_ms, seen.last_ms, seen.example)
                for kind, seen in sorted(field.types.items())
            ],
        )
        for path, field in sorted(model.fields.items())
    ]
    return msgspec.json.encode(rows).decode()


def _decoded(text: str) -> dict[Path, Field]:
    return {
        path: Field({JsonType(row[0]): Seen(*row[1:]) for row in types}, absent)
        for path, absent, types in _decode_fields(text)
    }
