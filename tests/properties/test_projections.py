"""Projections against plain Python over random values."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cachesvc.errors import InvalidRequest
from cachesvc.filters import Reduction
from cachesvc.filters.projection import projection
from cachesvc.store.record_schema import decode_payloads
from tests.properties.test_filters import MORE, framed, names, rows, values
from tests.support.filter_reference import Row

Names = tuple[str, ...]
paths = st.lists(names.filter(bool), min_size=1, max_size=3).map(tuple)


def written(path: Names) -> str:
    return ".".join(name.replace("\\", "\\\\").replace(".", "\\.") for name in path)


def parsed(text: bytes | str) -> Any:
    """Exact, and of equal content if and only if equal."""
    return json.loads(text, parse_int=Decimal, parse_float=str)


def kept(value: Any, wanted: set[Names]) -> Any:
    if () in wanted:
        return value
    if not isinstance(value, dict):
        return None
    found = {}
    for name in {path[0] for path in wanted} & value.keys():
        below = {path[1:] for path in wanted if path[0] == name}
        part = kept(value[name], below)
        if () in below or part:
            found[name] = part
    return found


def without(value: Any, gone: set[Names]) -> Any:
    if not isinstance(value, dict) or not gone:
        return value
    return {
        name: without(part, {path[1:] for path in gone if path[0] == name})
        for name, part in value.items()
        if (name,) not in gone
    }


def projected(records: list[Row], **wanted: Any) -> list[str | None]:
    chosen = projection(
        **{
            "without_value": False,
            "without_headers": False,
            "fields": (),
            "without_fields": (),
            **wanted,
        }
    )
    frame = Reduction(None, chosen).reduce(framed(records))
    assert (frame.record_count, frame.base_offset, frame.end_offset) == (len(records), 0, 60)
    table = decode_payloads([frame.payload])
    assert table.column("offset").to_pylist() == [row.offset for row in records]
    assert table.column("key").to_pylist() == [row.key for row in records]
    if wanted.get("without_headers"):
        assert table.column("headers").null_count == len(records)
    found: list[str | None] = table.column("value").to_pylist()
    assert [text is None for text in found] == [row.value is None for row in records]
    return found


@settings(max_examples=MORE)
@given(rows(), st.sets(paths, min_size=1, max_size=4))
@example([Row(0, b'{"a":1.10,"a":{"b":1}}')], {("a", "b")})
@example([Row(0, b'{"a":null}'), Row(1, b'{"a":5}')], {("a", "b")})
def test_fields_are_all_that_stays(records: list[Row], wanted: set[Names]) -> None:
    found = projected(records, fields=map(written, wanted))
    for row, text in zip(records, found, strict=True):
        if row.value is not None and text is not None:
            assert parsed(text) == kept(parsed(row.value), wanted)


@settings(max_examples=MORE)
@given(rows(), st.sets(paths, min_size=1, max_size=4))
def test_fields_go(records: list[Row], gone: set[Names]) -> None:
    found = projected(records, without_fields=map(written, gone))
    for row, text in zip(records, found, strict=True):
        if row.value is not None and text is not None:
            assert parsed(text) == without(parsed(row.value), gone)


@settings(max_examples=MORE)
@given(rows())
def test_values_and_headers_go(records: list[Row]) -> None:
    found = projected(records, without_value=True, without_headers=True)
    assert {text for text in found if text is not None} <= {"{}"}


@given(values)
def test_what_stays_is_written_as_it_came(value: bytes | None) -> None:
    inner = (value or b"{}").decode()
    (text,) = projected([Row(0, b'{"x": %s , "y":1}' % inner.encode())], fields=["x"])
    assert text == f'{{"x":{inner.strip()}}}'


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", "a\\", "a" * 5_000, "a." * 70 + "a"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidRequest, match="no path of a field") as refused:
        projection(without_value=False, without_headers=False, fields=[path], without_fields=())
    assert refused.value.reason == "INVALID_FILTER"
