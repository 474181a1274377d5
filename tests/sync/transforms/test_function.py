from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from cachesvc.sync import InvalidTask, Transformed
from tests.sync.transforms.making import changes, checked, reasons_of, transform, values_of

HERE = "tests.sync.transforms.functions"
BIG = 2**80


def apply(name: str, values: list[str | None], **settings: Any) -> Transformed:
    return transform("python", function=f"{HERE}:{name}", **settings).apply(changes(values))


def column(done: Transformed, name: str) -> list[Any]:
    found: list[Any] = checked(done).changes.rows.column(name).to_pylist()
    return found


def test_a_function_on_values() -> None:
    values = ['{"price":2}', None, '{"price":0.5}', '{"price":"x"}', '{"price":1.5}', "[]"]
    done = apply("total", values, arguments={"rate": 3})
    assert values_of(done) == ['{"price":2,"total":6}', None, '{"price":1.5,"total":4.5}']
    assert column(done, "offset") == [10, 12, 18]
    assert reasons_of(done) == {3: "FUNCTION_FAILED", 5: "NOT_AN_OBJECT"}
    assert done.refused[0].detail == f"TypeError in {HERE}:total, line 13"


def test_one_record_may_become_several() -> None:
    done = apply("split", ['{"items":[1,2]}', '{"items":[]}', '{"items":[3]}'])
    assert values_of(done) == ['{"item":1}', '{"item":2}', '{"item":3}']
    assert column(done, "offset") == [10, 10, 14]
    assert column(done, "key") == [b"k0", b"k0", b"k2"]
    assert column(done, "headers")[1] == [{"key": "n", "value": b"0"}]


@pytest.mark.parametrize("gives", ['"text"', "1", '"object"', "[1]", "[{},null]"])
def test_what_is_no_value_is_refused(gives: str) -> None:
    done = apply("anything", [f'{{"gives":{gives}}}', '{"gives":{"a":1}}'])
    assert values_of(done) == ['{"a":1}']
    assert reasons_of(done) == {0: "FUNCTION_RESULT"}


def test_numbers_of_any_size_and_as_decimals() -> None:
    value = f'{{"gives":{{"n":{BIG},"d":1.50,"e":1e400}}}}'
    done = apply("anything", [value, f'{{"gives":{{"n":{BIG},"d":1.50}}}}'])
    assert values_of(done) == [f'{{"n":{BIG},"d":1.5}}']
    assert reasons_of(done) == {0: "NOT_AN_OBJECT"}
    done = apply("anything", [value], numbers="decimal")
    assert values_of(done) == [f'{{"n":{BIG},"d":1.50,"e":1E+400}}']


def test_a_function_on_records() -> None:
    done = apply("unkeyed", ['{"a":1}', None, '{"a":2,"gone":true}', '{"a":3}'], on="records")
    first, last = '{"a":1,"was":"k0"}', '{"a":3,"was":"k3"}'
    assert values_of(done) == [first, None, '{"a":2,"gone":true}', last]
    assert column(done, "key") == [b"k0", b"a", None, b"k3"]
    assert column(done, "deleted") == [False, True, False, False]
    assert column(done, "offset") == [10, 14, 14, 16]


@pytest.mark.parametrize(
    "gives",
    [
        '"text"',
        "{}",
        '{"value":null}',
        '{"value":1}',
        '{"value":{},"key":"k"}',
        '{"value":{},"deleted":1}',
    ],
)
def test_what_is_no_record_is_refused(gives: str) -> None:
    done = apply("records", [f'{{"gives":{gives}}}', '{"gives":{"value":{}}}'], on="records")
    assert values_of(done) == ["{}"]
    assert reasons_of(done) == {0: "FUNCTION_RESULT"}


def test_a_function_on_batches_and_the_rows_at_which_it_fails() -> None:
    values: list[str | None] = [f'{{"a":{number}}}' for number in range(100)]
    for bad in (0, 41, 42, 99):
        values[bad] = '{"x":1}'
    done = apply("upper", values, on="batches")
    assert values_of(done) == [value.upper() for value in values if value and "x" not in value]
    assert reasons_of(done) == dict.fromkeys((0, 41, 42, 99), "FUNCTION_FAILED")
    assert column(done, "key")[0] == b"k1"


def test_rows_of_a_batch_come_in_the_order_of_offsets() -> None:
    done = apply("reversed_twice", ['{"a":1}', None, '{"a":2}'], on="batches")
    assert values_of(done) == ['{"a":1}'] * 2 + [None] * 2 + ['{"a":2}'] * 2
    assert column(done, "offset") == [10, 10, 12, 12, 14, 14]


def test_rows_that_were_split_before_keep_what_is_theirs() -> None:
    first = apply("split", ['{"items":["a","b"]}', '{"items":["x"]}', '{"items":["c"]}'])
    done = transform("python", function=f"{HERE}:upper", on="batches").apply(first.changes)
    assert values_of(done) == ['{"ITEM":"A"}', '{"ITEM":"B"}', '{"ITEM":"C"}']
    assert reasons_of(done) == {2: "FUNCTION_FAILED"}


@pytest.mark.parametrize("kind", ["none", "column", "offset", "strange", "type", "null", "array"])
def test_what_is_no_batch_is_refused(kind: str) -> None:
    done = apply("wrong", ['{"a":"right"}', f'{{"a":"{kind}"}}'], on="batches")
    assert values_of(done) == ['{"a":"right"}', f'{{"a":"{kind}"}}'], "the first row decides"
    done = apply("wrong", [*[f'{{"a":"{kind}"}}'] * 3, '{"a":"right"}'], on="batches")
    assert values_of(done) == ['{"a":"right"}']
    wanted = "NOT_AN_OBJECT" if kind == "array" else "FUNCTION_RESULT"
    assert reasons_of(done) == dict.fromkeys(range(3), wanted)


@pytest.mark.parametrize("on", ["values", "records", "batches"])
def test_nothing_becomes_of_nothing(on: str) -> None:
    done = apply("total", [], on=on)
    assert (len(checked(done).changes), done.refused) == (0, ())


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("total", "not of the form"),
        (":total", "not of the form"),
        ("no.such.module:f", "ModuleNotFoundError"),
        (f"{HERE}:nothing", "no function 'nothing'"),
        (f"{HERE}:not_callable", "no function 'not_callable'"),
    ],
)
def test_a_function_that_is_not_there(function: str, told: str) -> None:
    with pytest.raises(InvalidTask, match=told):
        transform("python", function=function)


def test_a_function_in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside_the_task.py").write_text("def f(value):\n    return {'seen': value}\n")
    made = transform("python", function="beside_the_task:f", directory=str(tmp_path))
    assert values_of(made.apply(changes(['{"a":1}']))) == ['{"seen":{"a":1}}']
