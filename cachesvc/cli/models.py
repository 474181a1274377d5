"""``cachesvc models``: which fields the JSON objects of topics have."""

from collections.abc import Sequence
from typing import Annotated

import typer

from cachesvc.cli.answers import Answer, One, Rows
from cachesvc.cli.by_name import group_of
from cachesvc.cli.command import calls
from cachesvc.cli.options import InConnection
from cachesvc.cli.render import Column, enum_name, show_facts, show_table
from cachesvc.cli.service import Service
from cachesvc.units import printable, show_count, show_time
from cachesvc.v1.models_pb2 import (
    DescribeModelRequest,
    DescribeModelResponse,
    JsonType,
    ListModelsRequest,
    Model,
    ModelChange,
    ModelChangeKind,
    ModelField,
)

models_app = group_of("TOPIC")
_NAME_WIDTH_MAX = 60


@models_app.callback(invoke_without_command=True)
@calls
def list_models(service: Service, connection: InConnection = "") -> Answer:
    """List models of topics, or show one.

    A model says which fields the JSON objects of a topic have. The job `models` infers them from
    what was mined.
    """
    pages = service.ask_all(ListModelsRequest(connection=connection))
    models = [model for page in pages for model in page.models]
    nothing = "no models yet; `cachesvc jobs run models` infers them now"
    return Rows(models, _MODEL_COLUMNS, nothing)


models_app.command("list")(list_models)


@models_app.command("show")
@calls
def show_model(
    service: Service,
    topic: Annotated[str, typer.Argument(metavar="TOPIC")],
    connection: InConnection = "",
) -> Answer:
    """Show the model of a topic: its fields as a tree, and what has changed."""
    response: DescribeModelResponse = service.ask(
        DescribeModelRequest(connection=connection, topic=topic)
    )
    return One(response.model, _show)


def _show(model: Model) -> None:
    summary = model.summary
    fields = show_count(summary.field_count)
    show_facts(
        [
            ("topic", summary.topic),
            ("connection", summary.connection),
            ("incarnation", str(summary.incarnation)),
            ("fields", f"{fields}, more were left out" if summary.truncated else fields),
            ("records seen", show_count(summary.records_seen)),
            ("first record", show_time(summary.first_seen_ms)),
            ("last record", show_time(summary.last_seen_ms)),
            ("refreshed", show_time(summary.refreshed_ms)),
            ("last change", show_time(summary.changed_ms)),
        ]
    )
    typer.echo()
    show_table(model.fields, _FIELD_COLUMNS, "no fields")
    if model.changes:
        typer.echo()
        show_table(model.changes, _CHANGE_COLUMNS, "")


def _types(kinds: Sequence[int]) -> str:
    names = (enum_name(JsonType, kind) for kind in kinds)
    return " | ".join(name.removeprefix("JSON_").lower() for name in names)


def _tree_name(field: ModelField) -> str:
    name = "  " * field.depth + field.name
    return name if len(name) <= _NAME_WIDTH_MAX else name[: _NAME_WIDTH_MAX - 1] + "…"


def _nullable(field: ModelField) -> str:
    null = any(each.type == JsonType.JSON_NULL for each in field.types)
    words = [word for word, on in (("null", null), ("absent", field.absent_seen)) if on]
    return ", ".join(words) or "never"


def _change(change: ModelChange) -> str:
    kind = enum_name(ModelChangeKind, change.kind)
    return kind.lower().replace("_", " ")


_MODEL_COLUMNS = (
    Column("connection", lambda m: m.connection),
    Column("topic", lambda m: m.topic),
    Column(
        "fields", lambda m: show_count(m.field_count) + ("+" if m.truncated else ""), number=True
    ),
    Column("records seen", lambda m: show_count(m.records_seen), number=True),
    Column("last record", lambda m: show_time(m.last_seen_ms)),
    Column("refreshed", lambda m: show_time(m.refreshed_ms)),
    Column("last change", lambda m: show_time(m.changed_ms)),
)
_FIELD_COLUMNS = (
    Column("field", _tree_name),
    Column("types", lambda f: _types([each.type for each in f.types])),
    Column("null or absent", _nullable),
    Column("first seen", lambda f: show_time(f.first_seen_ms)),
    Column("last seen", lambda f: show_time(f.last_seen_ms)),
    Column("example", lambda f: printable(f.example)),
)
_CHANGE_COLUMNS = (
    Column("noted", lambda c: show_time(c.noted_ms)),
    Column("change", _change),
    Column("field", lambda c: c.path),
    Column("types", lambda c: _types(c.types) or "-"),
    Column("first seen", lambda c: show_time(c.first_seen_ms)),
)
