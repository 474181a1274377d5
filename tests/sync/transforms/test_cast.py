from __future__ import annotations

import pytest

from tests.sync.transforms.making import become, refusal

BIG = "123456789012345678901234567890"


@pytest.mark.parametrize(
    ("kind", "json", "expected"),
    [
        ("integer", "7", "7"),
        ("integer", BIG, BIG),
        ("integer", "7.0", "7"),
        ("integer", "-7.50e1", "-75"),
        ("integer", '" 42 "', "42"),
        ("integer", '"+042"', "42"),
        ("integer", f'"{BIG}"', BIG),
        ("integer", "1e30", "1" + "0" * 30),
        ("integer", "true", "1"),
        ("integer", "false", "0"),
        ("number", "1.50", "1.50"),
        ("number", '"1.50"', "1.50"),
        ("number", f'"{BIG}.10"', f"{BIG}.10"),
        ("number", '".5"', "0.5"),
        ("number", '"1E5"', "1E5"),
        ("number", "1e400", "1e400"),
        ("number", "true", "1"),
        ("float", "1", "1.0"),
        ("float", '"0.1"', "0.1"),
        ("float", "0.1000000000000000055", "0.1"),
        ("string", "1.50", '"1.50"'),
        ("string", BIG, f'"{BIG}"'),
        ("string", '"caf\\u00e9"', '"caf\\u00e9"'),
        ("string", "true", '"true"'),
        ("string", '{"a": [1]}', '"{\\"a\\": [1]}"'),
        ("boolean", "true", "true"),
        ("boolean", "1", "true"),
        ("boolean", '"NO"', "false"),
        ("json", '"{\\"a\\": 1.0}"', '{"a": 1.0}'),
        ("json", '"1.50"', "1.50"),
        ("json", "[1, 2]", "[1, 2]"),
        ("timestamp_s", "0", '"1970-01-01T00:00:00Z"'),
        ("timestamp_ms", "1700000000123", '"2023-11-14T22:13:20.123Z"'),
        ("timestamp_ms", "-1", '"1969-12-31T23:59:59.999Z"'),
        ("timestamp_us", "1700000000123456", '"2023-11-14T22:13:20.123456Z"'),
        ("timestamp_ns", '"1700000000123456789"', '"2023-11-14T22:13:20.123456789Z"'),
        ("date_days", "19675", '"2023-11-14"'),
    ],
)
def test_a_cast(kind: str, json: str, expected: str) -> None:
    value = f'{{"a":1.0,"x":{json},"b":2.00}}'
    assert become("cast", value, fields={"x": kind}) == f'{{"a":1.0,"x":{expected},"b":2.00}}'


KINDS = ("integer", "number", "float", "string", "boolean", "json", "timestamp_ms", "date_days")


@pytest.mark.parametrize("kind", KINDS)
def test_null_and_nothing_stay(kind: str) -> None:
    fields = {"x": kind, "none": kind, "a.b": kind, "x.y": kind}
    assert become("cast", '{"a":{"b":null},"x":null}', fields=fields) == '{"a":{"b":null},"x":null}'


@pytest.mark.parametrize(
    ("kind", "json", "held"),
    [
        ("integer", "1.5", "a number"),
        ("integer", '"1_000"', "a text"),
        ("integer", '"x"', "a text"),
        ("integer", '""', "a text"),
        ("integer", "1e401", "a number"),
        ("integer", "[1]", "an array"),
        ("number", '"NaN"', "a text"),
        ("number", '"true"', "a text"),
        ("number", '{"a":1}', "an object"),
        ("float", "1e400", "a number"),
        ("boolean", "2", "a number"),
        ("boolean", '"maybe"', "a text"),
        ("json", '"{"', "a text"),
        ("timestamp_ms", "99999999999999999", "a number"),
        ("timestamp_ms", "1.5", "a number"),
        ("date_days", "true", None),
        ("date_days", '"today"', "a text"),
    ],
)
def test_what_cannot_be_cast_is_refused_or_null(kind: str, json: str, held: str | None) -> None:
    if held is None:
        assert become("cast", f'{{"x":{json}}}', fields={"x": kind}) == '{"x":"1970-01-02"}'
        return
    value = f'{{"a":{{"x":{json}}}}}'
    reason, detail = refusal("cast", value, fields={"a.x": kind})
    assert (reason, detail) == ("CAST_FAILED", f"field a.x holds {held} that is no {kind}")
    assert become("cast", value, fields={"a.x": kind}, failed="null") == '{"a":{"x":null}}'


def test_fields_are_cast_in_depth() -> None:
    value = '{"after":{"price":"1.50","n":1}}'
    fields = {"after.price": "number", "after.n": "string"}
    assert become("cast", value, fields=fields) == '{"after":{"price":1.50,"n":"1"}}'
