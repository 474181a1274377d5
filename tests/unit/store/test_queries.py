from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.errors import DamagedFile
from cachesvc.policy.models import ELEMENT, JsonType, Observation, Path, Seen, model_of
from cachesvc.store.queries import RecordQueries
from cachesvc.store.record_schema import RECORD_SCHEMA


@pytest.fixture(scope="module")
def queries() -> Iterator[RecordQueries]:
    opened = RecordQueries()
    yield opened
    opened.close()


def records(*values: str | None, first_ms: int = 100) -> pa.Table:
    rows = [
        {"offset": n, "timestamp": first_ms + n, "timestamp_type": 0, "value": value}
        for n, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, RECORD_SCHEMA)


def types(found: list[Observation]) -> dict[Path, set[JsonType]]:
    return {path: set(field.types) for path, field in model_of(found).fields.items()}


def test_every_type(queries: RecordQueries) -> None:
    value = '{"z":null,"b":true,"i":-7,"n":1.0,"e":1e2,"s":"x","a":[],"o":{}}'
    assert types(queries.observe(records(value))) == {
        (): {JsonType.OBJECT},
        (".z",): {JsonType.NULL},
        (".b",): {JsonType.BOOLEAN},
        (".i",): {JsonType.INTEGER},
        (".n",): {JsonType.NUMBER},
        (".e",): {JsonType.NUMBER},
        (".s",): {JsonType.STRING},
        (".a",): {JsonType.ARRAY},
        (".o",): {JsonType.OBJECT},
    }


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("18446744073709551615", JsonType.INTEGER),
        ("-9223372036854775808", JsonType.INTEGER),
        ("123456789012345678901234567890", JsonType.INTEGER),
        ("-" + "9" * 400, JsonType.INTEGER),
        ("1e400", JsonType.NUMBER),
        ("0.1000000000000000000000000001", JsonType.NUMBER),
    ],
)
def test_numbers_of_any_size(queries: RecordQueries, number: str, kind: JsonType) -> None:
    assert types(queries.observe(records(f'{{"n":{number}}}')))[(".n",)] == {kind}


def test_elements_share_a_path(queries: RecordQueries) -> None:
    value = '{"items":[{"sku_no":1},{"sku_no":null},[2,["x"]]],"a[0]":[1]}'
    found = types(queries.observe(records(value)))
    assert found[(".items", ELEMENT)] == {JsonType.OBJECT, JsonType.ARRAY}
    assert found[(".items", ELEMENT, ".sku_no")] == {JsonType.INTEGER, JsonType.NULL}
    assert found[(".items", ELEMENT, ELEMENT, ELEMENT)] == {JsonType.STRING}
    assert found[(".a[0]",)] == {JsonType.ARRAY}
    assert found[(".a[0]", ELEMENT)] == {JsonType.INTEGER}


@given(st.text(st.characters(codec="utf-8"), max_size=6), st.sampled_from(["[3]", "", '.x"[1]']))
def test_any_name(queries: RecordQueries, start: str, end: str) -> None:
    name = start + end
    for ascii_only in (True, False):
        value = json.dumps({name: [{name: 1}]}, ensure_ascii=ascii_only)
        step = "." + name
        assert set(types(queries.observe(records(value)))) == {
            (),
            (step,),
            (step, ELEMENT),
            (step, ELEMENT, step),
        }


def test_times_counts_and_examples(queries: RecordQueries) -> None:
    found = queries.observe(records('{"a":1}', None, '{"a":"old"}', '{"a":"new"}', '{"b":null}'))
    by_type: dict[Any, Observation] = {(each.path, each.type): each for each in found}
    assert by_type[(), JsonType.OBJECT] == Observation((), JsonType.OBJECT, 4, Seen(100, 104))
    assert by_type[(".a",), JsonType.INTEGER].seen == Seen(100, 100, "1")
    assert by_type[(".a",), JsonType.STRING].count == 2
    assert by_type[(".a",), JsonType.STRING].seen == Seen(102, 103, '"new"')
    assert model_of(found).fields[(".a",)].absent


def test_examples_are_bounded(queries: RecordQueries) -> None:
    found = model_of(queries.observe(records(json.dumps({"a": "x" * 5_000}))))
    assert found.fields[(".a",)].example == '"' + "x" * 99


def test_nothing_but_tombstones(queries: RecordQueries) -> None:
    assert queries.observe(records(None, None)) == []
    assert queries.observe(records()) == []


def test_the_deepest_that_the_json_rule_lets_pass(queries: RecordQueries) -> None:
    found = model_of(queries.observe(records('{"a":' * 499 + "{}" + "}" * 499)))
    assert len(found.fields) == 21
    assert found.truncated


def test_what_is_no_json(queries: RecordQueries) -> None:
    with pytest.raises(DamagedFile, match="JSON"):
        queries.observe(records('{"a":1}', "no json"))
    assert len(queries.observe(records('{"a":1}'))) == 2, "it goes on"
