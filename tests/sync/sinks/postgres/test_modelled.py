from typing import Any

import msgspec
import pytest

from cachesvc.client import JsonType, ModelField, TopicModel
from cachesvc.sync import InvalidTask, TargetFailed, TaskContext
from cachesvc.sync.sinks.postgres import POSTGRES
from cachesvc.sync.sinks.postgres.modelled import modelled
from cachesvc.sync.sinks.postgres.settings import PostgresSettings

NULL, BOOLEAN, INTEGER, NUMBER = (
    JsonType.NULL,
    JsonType.BOOLEAN,
    JsonType.INTEGER,
    JsonType.NUMBER,
)
STRING, ARRAY, OBJECT = JsonType.STRING, JsonType.ARRAY, JsonType.OBJECT


def settings(**more: Any) -> PostgresSettings:
    given = {"conninfo": "host=x", "table": "t", "key": ["id"], "create": "model", **more}
    return msgspec.convert(given, PostgresSettings)


def field(path: str, *types: JsonType, example: str = "") -> ModelField:
    steps = path.split(".")
    return ModelField(path, steps[-1], len(steps) - 1, dict.fromkeys(types, example), False)


def model(*fields: ModelField, topic: str = "orders") -> TopicModel:
    return TopicModel("local", topic, 1, False, 10, 0, (field("$", OBJECT), *fields))


ID = field("$.id", INTEGER, example="1")


@pytest.mark.parametrize(
    ("types", "example", "column"),
    [
        ([INTEGER], "7", "bigint"),
        ([INTEGER, NULL], "9223372036854775807", "bigint"),
        ([INTEGER], "9223372036854775808", "numeric"),
        ([INTEGER], "-9223372036854775809", "numeric"),
        ([INTEGER], "1" * 99 + "…", "numeric"),
        ([NUMBER], "1.5", "double precision"),
        ([INTEGER, NUMBER, NULL], "1", "double precision"),
        ([BOOLEAN], "true", "boolean"),
        ([STRING, NULL], '"x"', "text"),
        ([OBJECT], "", "jsonb"),
        ([ARRAY, NULL], "", "jsonb"),
        ([STRING, INTEGER], "1", "jsonb"),
        ([BOOLEAN, OBJECT], "", "jsonb"),
        ([NULL], "", "text"),
        ([JsonType.UNKNOWN], "", "jsonb"),
    ],
)
def test_types_hold_every_value_that_was_seen(
    types: list[JsonType], example: str, column: str
) -> None:
    found = modelled(settings(), [model(ID, field("$.x", *types, example=example))])
    assert found == {"id": "bigint", "x": column}


def test_only_members_of_the_root_become_columns_the_key_first() -> None:
    fields = (
        field("$.a", OBJECT),
        field("$.a.deep", STRING),
        field("$.b", ARRAY),
        ModelField("$.b[*]", "[*]", 2, {STRING: ""}, False),
        field("$.id", STRING),
    )
    assert list(modelled(settings(), [model(*fields)])) == ["id", "a", "b"]


def test_fields_come_from_where_a_transform_takes_them() -> None:
    envelope = (
        field("$.payload", OBJECT),
        field("$.payload.after", OBJECT, NULL),
        field("$.payload.after.id", INTEGER, example="1"),
        field("$.payload.after.note", STRING),
        field("$.payload.op", STRING),
    )
    found = modelled(settings(create_from="payload.after"), [model(*envelope)])
    assert found == {"id": "bigint", "note": "text"}
    with pytest.raises(TargetFailed, match="orders has no object with fields within after") as none:
        modelled(settings(create_from="after"), [model(*envelope)])
    assert none.value.reason == "MODEL_MISSING"


def test_several_topics_of_one_table_are_taken_together() -> None:
    one = model(ID, field("$.x", INTEGER, example="1"))
    other = model(ID, field("$.x", STRING), field("$.y", BOOLEAN), topic="more")
    assert modelled(settings(), [one, other]) == {"id": "bigint", "x": "jsonb", "y": "boolean"}
    with pytest.raises(TargetFailed, match="no topic of the task is there yet"):
        modelled(settings(), [])


def test_given_types_names_and_columns_to_leave_count() -> None:
    known = model(ID, field("$.at", STRING), field("$.x", STRING))
    types = {"at": "timestamptz", "late": "int"}
    found = modelled(settings(create_types=types, leave=["x"]), [known])
    assert found == {"id": "bigint", "at": "timestamptz", "late": "int"}
    mapped = settings(key=["number"], columns={"number": "id", "when": "at"})
    assert modelled(mapped, [known]) == {"number": "bigint", "when": "text"}


@pytest.mark.parametrize(
    ("more", "words", "reason"),
    [
        ({"key": ["nr"]}, r"columns nr; give their types in sink\.create_types", "COLUMN_MISSING"),
        ({"columns": {"id": "id", "c": "nowhere"}}, "columns c;", "COLUMN_MISSING"),
        ({"leave": ["id"]}, "columns id;", "COLUMN_MISSING"),
        ({}, "longer than a column's name can be", "NAME_TOO_LONG"),
    ],
)
def test_what_the_model_lacks_is_named(more: dict[str, Any], words: str, reason: str) -> None:
    known = model(ID, *([] if more else [field("$." + "n" * 64, STRING)]))
    with pytest.raises(TargetFailed, match=words) as caught:
        modelled(settings(**more), [known])
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"create": "models"}, None),
        ({"key": []}, r"sink\.create needs sink\.key"),
        ({"create": {"id": "int"}, "create_from": "after"}, r"belong to sink\.create = \"model\""),
        ({"create": {}, "create_types": {"id": "int"}}, r"belong to sink\.create = \"model\""),
        ({"create_types": {"id": "int); drop table x"}}, r"sink\.create_types\.id: .* is no type"),
        ({"create_from": "after..x"}, r"sink\.create_from: 'after\.\.x' is no path"),
    ],
)
def test_settings_that_make_no_sense_are_refused(more: dict[str, Any], words: str | None) -> None:
    if words is None:
        with pytest.raises(msgspec.ValidationError):
            settings(**more)
        return
    with pytest.raises(InvalidTask, match=words):
        POSTGRES.make(settings(**more), TaskContext("t"))
