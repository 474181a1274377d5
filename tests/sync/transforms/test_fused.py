"""Transforms of steps made into one do what they did apart; a plain model says what that is."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.sync import Transform
from cachesvc.sync.transforms import documents, fused
from cachesvc.sync.transforms.documents import Steps
from tests.sync.transforms.making import changes, checked, reasons_of, transform, values_of

NAMES = ("a", "b", "c", "a.b", "é")


class Number(str):
    """A number as its text, so that a model can keep it."""


def loads(text: str) -> Any:
    """JSON as a model has it: numbers as they are written."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def dumps(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{dumps(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(value)


numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})\.[0-9]{1,20}", fullmatch=True),
    st.from_regex(r"-?[1-9](\.[0-9]{1,3})?[eE][+-]?[0-9]{1,3}", fullmatch=True),
).map(Number)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=5)
nodes = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(NAMES), nodes, max_size=5)
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(tuple)


def text_of(path: tuple[str, ...]) -> str:
    return ".".join(name.replace(".", "\\.") for name in path)


def parent(value: Any, path: tuple[str, ...]) -> Any:
    for name in path[:-1]:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else None


Result = dict[str, Any] | str
"""What a row becomes, or the reason for which it is refused."""


def drop_model(value: dict[str, Any], fields: list[tuple[str, ...]]) -> Result:
    for path in fields:
        members = parent(value, path)
        if members is not None:
            members.pop(path[-1], None)
    return value


def keep_model(value: Any, fields: list[tuple[str, ...]]) -> Any:
    left = {}
    for name, node in value.items():
        deeper = [path[1:] for path in fields if path[0] == name]
        if () in deeper:
            left[name] = node
        elif deeper and isinstance(node, dict):
            left[name] = keep_model(node, deeper)
    return left


def flatten_model(value: dict[str, Any]) -> Result:
    pairs: list[tuple[str, Any]] = []

    def add(prefix: str, node: dict[str, Any]) -> None:
        for name, each in node.items():
            if isinstance(each, dict) and each:
                add(f"{prefix}{name}_", each)
            else:
                pairs.append((prefix + name, each))

    add("", value)
    return dict(pairs) if len(dict(pairs)) == len(pairs) else "FIELD_EXISTS"


def rename_model(value: dict[str, Any], path: tuple[str, ...], new: str) -> Result:
    members = parent(value, path)
    if members is None or path[-1] not in members or new == path[-1]:
        return value
    if new in members:
        return "FIELD_EXISTS"
    changed = {new if name == path[-1] else name: node for name, node in members.items()}
    members.clear()
    members.update(changed)
    return value


def to_string_model(value: dict[str, Any], path: tuple[str, ...]) -> Result:
    members = parent(value, path)
    node = members.get(path[-1]) if members is not None else None
    if node is not None and (isinstance(node, Number) or not isinstance(node, str)):
        members[path[-1]] = dumps(node)
    return value


@st.composite
def steps(draw: st.DrawFn) -> tuple[Transform, Any]:
    """A transform, and its model."""
    kind = draw(st.sampled_from(["drop", "keep", "flatten", "rename", "cast"]))
    if kind in ("drop", "keep"):
        fields = draw(st.lists(paths, min_size=1, max_size=3))
        model = drop_model if kind == "drop" else keep_model
        return transform(kind, fields=list(map(text_of, fields))), lambda v: model(v, fields)
    if kind == "flatten":
        return transform(kind), flatten_model
    path = draw(paths)
    if kind == "rename":
        new = draw(st.sampled_from((*NAMES, "new")))
        return transform(kind, fields={text_of(path): new}), lambda v: rename_model(v, path, new)
    return transform(kind, fields={text_of(path): "string"}), lambda v: to_string_model(v, path)


def modelled(value: dict[str, Any], models: list[Any]) -> Result:
    result: Result = loads(dumps(value))
    for model in models:
        if isinstance(result, dict):
            result = model(result)
    return result


@given(st.lists(objects, max_size=5), st.lists(steps(), min_size=1, max_size=4))
def test_steps_against_a_plain_model(
    values: list[dict[str, Any]], chosen: list[tuple[Transform, Any]]
) -> None:
    (one,) = fused([transform for transform, _ in chosen])
    done = one.apply(changes(list(map(dumps, values))))
    expected = [modelled(value, [model for _, model in chosen]) for value in values]
    assert reasons_of(done) == {
        row: result for row, result in enumerate(expected) if isinstance(result, str)
    }
    assert [loads(cast(str, text)) for text in values_of(done)] == [
        result for result in expected if isinstance(result, dict)
    ]
    for written, result in zip(
        values_of(done), (each for each in expected if isinstance(each, dict)), strict=True
    ):
        assert list(json.loads(cast(str, written))) == list(result), "members keep their order"


@given(st.lists(objects, max_size=5), st.lists(steps(), min_size=2, max_size=4))
def test_fused_is_the_same_as_one_after_the_other(
    values: list[dict[str, Any]], chosen: list[tuple[Transform, Any]]
) -> None:
    (one,) = fused([transform for transform, _ in chosen])
    together = one.apply(changes(list(map(dumps, values))))
    apart = changes(list(map(dumps, values)))
    refused: dict[int, tuple[str, str]] = {}
    for each_one, _ in chosen:
        done = checked(each_one.apply(apart))
        offsets = apart.rows.column("offset").to_pylist()
        refused |= {offsets[each.row]: (each.reason, each.detail) for each in done.refused}
        apart = done.changes
    assert together.changes.rows == apart.rows
    assert {10 + 2 * each.row: (each.reason, each.detail) for each in together.refused} == refused


@given(objects)
def test_a_field_that_is_not_there_changes_nothing_but_white_space(value: dict[str, Any]) -> None:
    spaced = f" {dumps(value)}\n"
    done = transform("drop", fields=["nothing"]).apply(changes([spaced]))
    (written,) = values_of(done)
    assert loads(cast(str, written)) == loads(spaced)


def test_only_neighbours_of_steps_are_fused() -> None:
    class Other:
        def apply(self, changes: Any) -> Any:
            return changes

    first, second, third = (transform("flatten") for _ in range(3))
    done = fused([first, second, Other(), third])
    assert [type(each) for each in done] == [Steps, Other, Steps]
    assert len(cast(Steps, done[0]).steps) == 2
    assert fused([]) == []


def test_every_value_is_decoded_and_encoded_once(monkeypatch: Any) -> None:
    """However many steps there are; every object that one looks into is opened once."""
    counts = {"decode": 0, "encode": 0}

    class Counting:
        def __init__(self, inside: Any, name: str) -> None:
            self._inside, self._name = inside, name

        def __getattr__(self, _: str) -> Any:
            counts[self._name] += 1
            return getattr(self._inside, self._name)

    monkeypatch.setattr(documents, "_OBJECT", Counting(documents._OBJECT, "decode"))
    monkeypatch.setattr(documents, "_ENCODER", Counting(documents._ENCODER, "encode"))
    (one,) = fused(
        [
            transform("drop", fields=["after.x"]),
            transform("rename", fields={"after.y": "z"}),
            transform("cast", fields={"after.z": "string"}),
            transform("keep", fields=["after.z", "id"]),
        ]
    )
    done = one.apply(changes(['{"id":1,"after":{"x":1,"y":2,"u":{"v":1}},"b":{}}'] * 50))
    assert values_of(done) == ['{"id":1,"after":{"z":"2"}}'] * 50
    assert counts == {"decode": 100, "encode": 50}


EVERY_STEP: dict[str, dict[str, Any]] = {
    "rename": {"fields": {"a.b": "c"}},
    "drop": {"fields": ["a.b"]},
    "keep": {"fields": ["a.b"]},
    "cast": {"fields": {"a": "json", "b": "integer"}},
    "flatten": {},
    "filter": {"condition": "a == 1"},
    "debezium": {},
    "python": {"function": "tests.sync.transforms.functions:unchanged"},
}


@pytest.mark.parametrize("kind", EVERY_STEP)
@pytest.mark.parametrize(
    "value",
    [
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a":"\\ud800"}',
        '{"a":1e999999999999}',
        '{"b":' + "9" * 10_000 + "}",
        '{"op":"c","after":{"a":' + "[" * 100_000 + "]" * 100_000 + "}}",
    ],
    ids=["objects", "arrays", "surrogate", "exponent", "digits", "event"],
)
def test_no_value_ends_a_task(kind: str, value: str) -> None:
    """It goes on or is refused, and so do its neighbours."""
    good = '{"op":"c","after":{"a":1},"a":1,"b":1}'
    done = transform(kind, **EVERY_STEP[kind]).apply(changes([good, value, good]))
    assert done.changes.rows.column("offset").to_pylist() in ([10, 14], [10, 12, 14])
    assert set(reasons_of(done)) <= {1}


def test_rows_of_a_slice() -> None:
    whole = changes(['{"a":1,"b":2}', None, '{"a":3,"b":4}', '{"a":5}'])
    done = transform("drop", fields=["b"]).apply(whole.slice(1, 3))
    assert values_of(done) == [None, '{"a":3}']
    assert done.changes.rows.column("key").to_pylist() == [b"k1", b"k2"]
    assert done.changes.next_position == 16
