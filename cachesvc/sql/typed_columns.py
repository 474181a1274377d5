"""Columns of a topic by its model: what the fields of its JSON objects are in SQL.

A field that had one type has that type's column: BOOLEAN, BIGINT, DOUBLE (integers and fractions),
VARCHAR, a STRUCT for an object, a LIST for an array. Whatever is mixed, unknown, or an object with
so many fields that it is a map rather, is JSON: nothing is lost, SQL has to take it apart.
"""

from collections.abc import Iterable
from typing import Any

from cachesvc.policy.models import ELEMENT, JsonType, Model, Path

FIELDS_OF_STRUCT_MAX = 200
DEPTH_MAX = 8
_JSON = "JSON"
_SCALARS: dict[frozenset[JsonType], str] = {
    frozenset({JsonType.BOOLEAN}): "BOOLEAN",
    frozenset({JsonType.INTEGER}): "BIGINT",
    frozenset({JsonType.NUMBER}): "DOUBLE",
    frozenset({JsonType.INTEGER, JsonType.NUMBER}): "DOUBLE",
    frozenset({JsonType.STRING}): "VARCHAR",
}


def structure_of(model: Model) -> dict[str, Any]:
    """The fields of a model's objects, as DuckDB's ``from_json`` wants to be told types.

    Those whose names differ in case alone, which SQL cannot tell apart, are left out: they are in
    the value.
    """
    children: dict[Path, list[str]] = {}
    for path in model.fields:
        if path and path[-1] != ELEMENT:
            children.setdefault(path[:-1], []).append(path[-1])
    names = children.get((), [])
    twice = _told_twice(names)
    return {
        name[1:]: _type_of(model, (name,), children)
        for name in sorted(names)
        if name.casefold() not in twice and name[1:]
    }


def column_names(fields: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """A name for each field's column that no other has: its own, or one with ``_1``, and so on."""
    used = {name.casefold() for name in taken}
    names: dict[str, str] = {}
    for field in fields:
        name, number = field, 0
        while name.casefold() in used:
            number += 1
            name = f"{field}_{number}"
        used.add(name.casefold())
        names[field] = name
    return names


def _told_twice(names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    twice: set[str] = set()
    for name in (each.casefold() for each in names):
        (twice if name in seen else seen).add(name)
    return twice


def _type_of(model: Model, path: Path, children: dict[Path, list[str]]) -> Any:
    field = model.fields.get(path)
    kinds = frozenset(field.types) - {JsonType.NULL} if field is not None else frozenset()
    if kinds in _SCALARS:
        return _SCALARS[kinds]
    if len(path) >= DEPTH_MAX:
        return _JSON
    if kinds == {JsonType.OBJECT}:
        names = sorted(children.get(path, []))
        plain = 0 < len(names) <= FIELDS_OF_STRUCT_MAX and not _told_twice(names)
        if not plain or "." in names or model.truncated:
            return _JSON
        return {name[1:]: _type_of(model, (*path, name), children) for name in names}
    if kinds == {JsonType.ARRAY} and (*path, ELEMENT) in model.fields:
        return [_type_of(model, (*path, ELEMENT), children)]
    return _JSON
