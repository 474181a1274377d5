from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cachesvc.sync import InvalidTask
from tests.sync.transforms.making import become, changes, refusal, transform, values_of

ROW = '{"id": 1, "r": {"p":1.50,"x":{"y":[1,{"z":2}],"w":null}}, "big":2e99}'
"""With white space, a number with a last zero, and one whose notation is its own."""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id": "key"}, '{"key":1,"r":{"p":1.50,"x":{"y":[1,{"z":2}],"w":null}},"big":2e99}'),
        ({"r.p": "cost"}, '{"id":1,"r":{"cost":1.50,"x":{"y":[1,{"z":2}],"w":null}},"big":2e99}'),
        (
            {"id": "big", "big": "id"},
            '{"big":1,"r":{"p":1.50,"x":{"y":[1,{"z":2}],"w":null}},"id":2e99}',
        ),
        (
            {"r": "row", "r.x": "v", "r.x.w": "n"},
            '{"id":1,"row":{"p":1.50,"v":{"y":[1,{"z":2}],"n":null}},"big":2e99}',
        ),
        (
            {"missing": "a", "id.of.nothing": "b", "r.none": "c"},
            '{"id":1,"r":{"p":1.50,"x":{"y":[1,{"z":2}],"w":null}},"big":2e99}',
        ),
    ],
)
def test_rename(fields: dict[str, str], expected: str) -> None:
    assert become("rename", ROW, fields=fields) == expected


def test_a_name_that_is_taken_is_not_overwritten() -> None:
    reason, detail = refusal("rename", ROW, fields={"id": "big"})
    assert (reason, detail) == ("FIELD_EXISTS", "a field has one of the names 'big'")
    with pytest.raises(InvalidTask, match="same name"):
        transform("rename", fields={"a": "c", "b": "c"})


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("drop", ["r", "none"], '{"id":1,"big":2e99}'),
        ("drop", ["r.x", "big", "id.no"], '{"id":1,"r":{"p":1.50}}'),
        ("drop", ["r.x.y", "r.x"], '{"id":1,"r":{"p":1.50},"big":2e99}'),
        ("keep", ["big", "none"], '{"big":2e99}'),
        ("keep", ["r.x.w", "r.p"], '{"r":{"p":1.50,"x":{"w":null}}}'),
        ("keep", ["r.x.w", "r.x"], '{"r":{"x":{"y":[1,{"z":2}],"w":null}}}'),
        ("keep", ["r.x", "r.x.w"], '{"r":{"x":{"y":[1,{"z":2}],"w":null}}}'),
        ("keep", ["id.no", "r.no"], '{"r":{}}'),
    ],
)
def test_drop_and_keep(kind: str, fields: list[str], expected: str) -> None:
    assert become(kind, ROW, fields=fields) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, '{"id":1,"r_p":1.50,"r_x_y":[1,{"z":2}],"r_x_w":null,"big":2e99}'),
        ({"separator": "."}, '{"id":1,"r.p":1.50,"r.x.y":[1,{"z":2}],"r.x.w":null,"big":2e99}'),
        ({"depth_max": 2}, '{"id":1,"r_p":1.50,"r_x":{"y":[1,{"z":2}],"w":null},"big":2e99}'),
        ({"depth_max": 1}, '{"id":1,"r":{"p":1.50,"x":{"y":[1,{"z":2}],"w":null}},"big":2e99}'),
    ],
)
def test_flatten(settings: dict[str, Any], expected: str) -> None:
    assert become("flatten", ROW, **settings) == expected


def test_an_empty_object_has_nothing_to_flatten() -> None:
    assert become("flatten", '{"a":{},"b":{"c":{}}}') == '{"a":{},"b_c":{}}'


def test_fields_that_get_one_name_are_refused() -> None:
    assert refusal("flatten", '{"a_b":1,"a":{"b":2}}')[0] == "FIELD_EXISTS"


def test_what_is_not_looked_into_stays_byte_for_byte() -> None:
    rest = '"rest":{ "n" : 1e2 , "t":"\\u00e9\\/", "n": -0.0 },"n":10000000000000000000000.10'
    assert become("drop", f'{{"id":1,{rest}}}', fields=["id"]) == f"{{{rest}}}"


def test_the_last_of_several_members_of_one_name_counts_where_an_object_is_opened() -> None:
    assert become("keep", '{"a":1,"b":2,"a":3}', fields=["a"]) == '{"a":3}'


def test_tombstones_pass_and_deletes_are_changed_alike() -> None:
    done = transform("drop", fields=["x"]).apply(
        changes([None, '{"x":1,"y":2}'], deleted=[True, True])
    )
    assert values_of(done) == [None, '{"y":2}']
    assert done.changes.rows.column("deleted").to_pylist() == [True, True]


def test_names_with_dots() -> None:
    assert become("rename", '{"a.b":{"c":1}}', fields={r"a\.b.c": "d"}) == '{"a.b":{"d":1}}'


@pytest.mark.parametrize("kind", ["rename", "drop", "keep"])
def test_settings_that_name_nothing(kind: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="length"):
        transform(kind, fields={} if kind == "rename" else [])
    with pytest.raises(InvalidTask, match=r"'a\.\.b' is no path"):
        transform(kind, fields={"a..b": "c"} if kind == "rename" else ["a..b"])


def test_a_value_that_is_no_object_is_refused() -> None:
    done = transform("drop", fields=["x"]).apply(changes(['{"x":1}', "[1]", '{"y":1}', "{"]))
    assert values_of(done) == ["{}", '{"y":1}']
    assert [(each.row, each.reason) for each in done.refused] == [
        (1, "NOT_AN_OBJECT"),
        (3, "NOT_AN_OBJECT"),
    ]
