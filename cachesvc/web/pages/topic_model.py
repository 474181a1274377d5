"""The model of a topic: which fields its objects have, and what was new when."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from cachesvc.v1.models_pb2 import (
    DescribeModelRequest,
    JsonType,
    Model,
    ModelChange,
    ModelChangeKind,
    ModelField,
)
from cachesvc.web.pages.topic import tabs_of, topic_of
from cachesvc.web.visit import Visit
from cachesvc.web.words import word_of

_DEPTH_MAX = 8


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field.

    Attributes:
        told: What the service says of it.
        types: Words for its types.
        depth: How far it is moved in, within bounds.
    """

    told: ModelField
    types: Sequence[str]
    depth: int


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """Something new.

    Attributes:
        told: What the service says of it.
        what: What is new, in words.
    """

    told: ModelChange
    what: str


def field_rows(model: Model) -> list[FieldRow]:
    """A row for each field."""
    return [
        FieldRow(each, [type_word(t.type) for t in each.types], min(each.depth, _DEPTH_MAX))
        for each in model.fields
    ]


def change_rows(model: Model) -> list[ChangeRow]:
    """A row for each change, the newest first."""
    return [ChangeRow(change, _what(change)) for change in model.changes]


def _what(change: ModelChange) -> str:
    types = " or ".join(map(type_word, change.types))
    if change.kind == ModelChangeKind.FIELD_ADDED:
        return f"a new field: {types}"
    if change.kind == ModelChangeKind.TYPE_ADDED:
        return f"is {types} now, too"
    if change.kind == ModelChangeKind.FIELD_OPTIONAL:
        return "may be absent now"
    return word_of(ModelChangeKind, change.kind)


def type_word(kind: int) -> str:
    """``JSON_STRING`` as string."""
    return word_of(JsonType, kind, "JSON_")


async def show(visit: Visit) -> Response:
    """The page."""
    topic = await topic_of(visit)
    part = await visit.attempt(DescribeModelRequest(connection=topic.connection, topic=topic.name))
    model = None if part.answer is None else part.answer.model
    return visit.render(
        "topic_model.html",
        topic=topic,
        tabs=tabs_of(topic),
        part=part,
        model=model,
        fields=[] if model is None else field_rows(model),
        changes=[] if model is None else change_rows(model),
    )
