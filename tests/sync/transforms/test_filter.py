from __future__ import annotations

import pytest

from cachesvc.sync import InvalidTask
from tests.sync.transforms.making import changes, reasons_of, refusal, transform, values_of

VALUE = (
    '{"op":"u","n":9007199254740993,"f":0.1,"t":true,"none":null,"list":["a",1],"a b":{"c":"x"},'
    '"after":{"price":100.50,"name":"caf\\u00e9","tags":{"x":1}}}'
)


def holds(condition: str, value: str = VALUE) -> bool:
    done = transform("filter", condition=condition).apply(changes([value]))
    assert done.refused == ()
    return values_of(done) == [value]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('op == "u"', True),
        ('op != "u"', False),
        ("n == 9007199254740993", True),
        ("n == 9007199254740992", False),
        ("n > 9007199254740992.5", True),
        ("f == 0.1", True),
        ("f == 0.10", True),
        ("f < 0.1000000000000000000001", True),
        ("after.price >= 100 and after.price < 101", True),
        ("100 <= after.price < 100.5", False),
        ("after.price == -1", False),
        ('after.name == "café"', True),
        ('after.name > "a"', True),
        ('op in ["c", "u"]', True),
        ('op not in ("c", "u")', False),
        ('"a" in list and 1 in list', True),
        ('"b" in list', False),
        ('1 == true', False),
        ('t == true', True),
        ('t', True),
        ('not t', False),
        ("none == null", True),
        ("missing == null", True),
        ("missing.deeper.still != null", False),
        ("missing > 1 or missing < 1 or missing == 1", False),
        ("none", False),
        ("exists(none)", True),
        ("exists(missing)", False),
        ("exists(after.tags.x)", True),
        ("exists(op.x)", False),
        ('field("a b.c") == "x"', True),
        ('exists(field("a b.d"))', False),
        ('starts_with(after.name, "caf")', True),
        ('ends_with(after.name, "é")', True),
        ('contains(after.name, "x")', False),
        ('contains(missing, "x")', False),
        ('op == "x" and after > 1', False),
        ('op == "u" or after > 1', True),
        ('\n  op == "u"  # which ones\n  and t\n', True),
        ('"5" == 5', False),
        ("after.tags != null", True),
    ],
)  # fmt: skip
def test_a_condition(condition: str, expected: bool) -> None:
    assert holds(condition) is expected


@pytest.mark.parametrize(
    ("condition", "detail"),
    [
        ("op > 1", "text and number have no order"),
        ("after < 1", "object and number have no order"),
        ("t > 0", "boolean and number have no order"),
        ("1 in op", "nothing is in a value of type text"),
        ('starts_with(n, "1")', "a value of type number is no text"),
        ("n", "a value of type number is neither true nor false"),
        ('op == "u" and n', "a value of type number is neither true nor false"),
    ],
)
def test_what_cannot_be_judged_is_refused(condition: str, detail: str) -> None:
    assert refusal("filter", VALUE, condition=condition) == ("NOT_COMPARABLE", detail)


@pytest.mark.parametrize(
    "condition",
    [
        "",
        "op ==",
        "op = 1",
        "__import__('os').system('true')",
        "op.__class__()",
        "(lambda: 1)()",
        "[x for x in list]",
        "op is null",
        "n + 1 == 2",
        "list[0] == 1",
        "f'{op}' == ''",
        "exists('op')",
        "exists(op, n)",
        "contains(op, n)",
        "field(op) == 1",
        "field('a..b') == 1",
        "starts_with(op, prefix='c')",
        "b'x' == op",
        "1j == n",
        "op if t else n",
        "(op := 1)",
        "[op] == [1]",
        "-op == 1",
        "not " * 5_000 + "t",
        "t or " * 2_500 + "t",
    ],
)
def test_nothing_else_is_a_condition(condition: str) -> None:
    with pytest.raises(InvalidTask):
        transform("filter", condition=condition)


def test_deletes_go_on_unless_they_are_to_be_tested() -> None:
    rows = changes(['{"a":1}', '{"a":2}', '{"a":2}', None], deleted=[False, False, True, True])
    kept = transform("filter", condition="a == 1").apply(rows)
    assert kept.changes.rows.column("offset").to_pylist() == [10, 14, 16]
    tested = transform("filter", condition="a == 1", deletes="test").apply(rows)
    assert tested.changes.rows.column("offset").to_pylist() == [10, 16]


def test_one_bad_row_does_not_stop_the_others() -> None:
    done = transform("filter", condition="a > 1").apply(
        changes(['{"a":2}', '{"a":"x"}', '{"a":1}', '{"a":3}'])
    )
    assert values_of(done) == ['{"a":2}', '{"a":3}']
    assert reasons_of(done) == {1: "NOT_COMPARABLE"}
    assert done.changes.next_position == changes([""] * 4).next_position


def test_a_row_that_goes_on_is_what_it_was() -> None:
    value = ' { "a" : {"b": 1.0, "b":2.50} } '
    done = transform("filter", condition="a.b == 2.5").apply(changes([value]))
    assert values_of(done) == [value]
