"""The model of any records, in any pieces and any order, against a walk over the records."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.policy import models
from cachesvc.policy.models import (
    ELEMENT,
    Change,
    JsonType,
    Model,
    Observation,
    Path,
    Seen,
    changes,
    merge,
    model_of,
)

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.floats(0.5, 1.5), st.sampled_from(["", "x"])
)
NAMES = st.sampled_from(["a", "b", "c", "[]", "d.e"])
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)
)
RECORDS = st.tuples(st.integers(0, 9), st.dictionaries(NAMES, VALUES, max_size=4))
BATCHES = st.lists(st.lists(RECORDS, max_size=4), max_size=5)
Record = tuple[int, dict[str, Any]]
TYPES = {
    type(None): JsonType.NULL,
    bool: JsonType.BOOLEAN,
    int: JsonType.INTEGER,
    float: JsonType.NUMBER,
    str: JsonType.STRING,
    list: JsonType.ARRAY,
    dict: JsonType.OBJECT,
}


def observed(at_ms: int, path: Path, value: Any) -> list[Observation]:
    kind = TYPES[type(value)]
    shown = "" if kind in (JsonType.NULL, JsonType.ARRAY, JsonType.OBJECT) else repr(value)
    found = [Observation(path, kind, 1, Seen(at_ms, at_ms, shown))]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += observed(at_ms, (*path, "." + name), inner)
    if isinstance(value, list):
        for inner in value:
            found += observed(at_ms, (*path, ELEMENT), inner)
    return found


def model(records: list[Record]) -> Model:
    return model_of(each for at_ms, value in records for each in observed(at_ms, (), value))


def objects_at(value: Any, path: Path) -> list[dict[str, Any]]:
    """All objects that a record has at a path."""
    if not path:
        return [value] if isinstance(value, dict) else []
    step, rest = path[0], path[1:]
    if step == ELEMENT:
        inner = value if isinstance(value, list) else []
    else:
        inner = [value[step[1:]]] if isinstance(value, dict) and step[1:] in value else []
    return [found for each in inner for found in objects_at(each, rest)]


@given(BATCHES, st.permutations(range(5)))
def test_pieces_and_order_do_not_matter(batches: list[list[Record]], order: list[int]) -> None:
    whole = model([record for batch in batches for record in batch])
    merged = Model()
    for number in [number for number in order if number < len(batches)]:
        merged = merge(merged, model(batches[number]))
    assert merged == whole


@given(st.lists(RECORDS), st.lists(RECORDS), st.lists(RECORDS))
def test_laws(one: list[Record], other: list[Record], third: list[Record]) -> None:
    a, b, c = model(one), model(other), model(third)
    assert merge(a, b) == merge(b, a)
    assert merge(merge(a, b), c) == merge(a, merge(b, c))
    assert merge(a, a) == a
    assert merge(a, Model()) == merge(Model(), a) == a
    assert merge(merge(a, b), b) == merge(a, b)


@given(st.lists(RECORDS), st.lists(RECORDS), st.lists(RECORDS), st.integers(1, 6))
def test_laws_hold_at_the_bound(
    one: list[Record], other: list[Record], third: list[Record], bound: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "FIELDS_MAX", bound)
        a, b, c = model(one), model(other), model(third)
        assert len(a.fields) <= bound
        assert merge(a, b) == merge(b, a)
        assert merge(merge(a, b), c) == merge(a, merge(b, c))
        assert merge(a, merge(b, c)) == model([*one, *other, *third])
        assert all(path[:-1] in a.fields for path in a.fields if path)


@given(st.lists(RECORDS, min_size=1))
def test_absent_means_that_an_object_lacks_it(records: list[Record]) -> None:
    for path, field in model(records).fields.items():
        if path and path[-1] != ELEMENT:
            parents = [each for _, value in records for each in objects_at(value, path[:-1])]
            assert field.absent == any(path[-1][1:] not in parent for parent in parents)
        else:
            assert not field.absent


@given(st.lists(RECORDS, min_size=1), st.lists(RECORDS))
def test_changes_lead_from_one_to_the_other(before: list[Record], new: list[Record]) -> None:
    old, after = model(before), merge(model(before), model(new))
    found = changes(old, after)
    assert changes(after, after) == changes(Model(), after) == []
    types = {(path, kind) for path, field in old.fields.items() for kind in field.types}
    types |= {(change.path, kind) for change in found for kind in change.types}
    assert types == {(path, kind) for path, field in after.fields.items() for kind in field.types}
    assert all(_is_news(change, old) for change in found)


def _is_news(change: Change, old: Model) -> bool:
    before = old.fields.get(change.path)
    if change.types:
        return before is None or not before.types.keys() & set(change.types)
    return before is not None and not before.absent
