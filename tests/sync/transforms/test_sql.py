from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesvc.sync import InvalidTask, Transform, Transformed
from tests.sync.transforms.making import changes, checked, reasons_of, transform, values_of

BIG = "123456789012345678901234567890"


def sql(query: str) -> Transform:
    return transform("sql", query=query)


def column(done: Transformed, name: str) -> list[Any]:
    found: list[Any] = checked(done).changes.rows.column(name).to_pylist()
    return found


def test_columns_become_the_object() -> None:
    done = sql("""
        -- what an order costs
        select record_offset, value->>'id' as id, (value->'price')::decimal(10, 2) * 2 as "the cost"
        from batch where (value->'price')::double > 1;
    """).apply(changes(['{"id":"a","price":1.25}', '{"id":"b","price":1}', '{"id":"c","price":2}']))
    assert values_of(done) == ['{"id":"a","the cost":2.50}', '{"id":"c","the cost":4.00}']
    assert column(done, "offset") == [10, 14]
    assert column(done, "key") == [b"k0", b"k2"]
    assert done.refused == ()


def test_a_value_stays_byte_for_byte_and_big_integers_their_digits() -> None:
    value = f'{{ "n":{BIG}, "d":1.50, "n":1 }}'
    same = sql("select * from (select record_offset, value from batch)")
    assert values_of(same.apply(changes([value]))) == [value]
    done = sql("select record_offset, value->'n' as n from batch").apply(
        changes([f'{{"n":{BIG}}}'])
    )
    assert values_of(done) == [f'{{"n":{BIG}}}']


def test_one_row_becomes_several_or_none_in_the_order_of_the_query() -> None:
    done = sql(
        "select record_offset, unnest(from_json(value->'items', '[\"int\"]')) as item from batch"
        " order by record_offset desc, item desc"
    ).apply(changes(['{"items":[1,2]}', '{"items":[]}', None, '{"items":[3]}']))
    assert values_of(done) == ['{"item":2}', '{"item":1}', None, '{"item":3}']
    assert column(done, "offset") == [10, 10, 14, 16]
    assert column(done, "deleted") == [False, False, True, False]


def test_key_and_deleted_may_be_others() -> None:
    done = sql(
        "select record_offset, value->>'id' as key, value->>'op' = 'd' as deleted, value from batch"
    ).apply(changes(['{"id":"x","op":"c"}', '{"id":"y","op":"d"}']))
    assert column(done, "key") == [b"x", b"y"]
    assert column(done, "deleted") == [False, True]


def test_all_that_a_record_has_is_there() -> None:
    done = sql(
        "select record_offset, key::varchar as k, epoch_ms(timestamp) as t, headers[1].key as h,"
        " deleted as d from batch"
    ).apply(changes(['{"a":1}']))
    assert values_of(done) == ['{"k":"k0","t":1000,"h":"n","d":false}']


def test_rows_that_fail_are_refused_and_the_others_go_on() -> None:
    values: list[str | None] = [f'{{"n":"{number}"}}' for number in range(50)]
    values[7], values[31] = '{"n":"seven"}', None
    done = sql("select record_offset, (value->>'n')::int as n from batch").apply(changes(values))
    assert len(values_of(done)) == 49
    (refused,) = done.refused
    assert (refused.row, refused.reason) == (7, "SQL_FAILED")
    assert refused.detail == "DuckDB: ConversionException", "and nothing of the value"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("null::varchar as value", "SQL_FAILED"),
        ("'[1]' as value", "NOT_AN_OBJECT"),
        ("'{' as value", "NOT_AN_OBJECT"),
        ("1 as deleted, value", None),
        ("'maybe' as deleted, value", "SQL_FAILED"),
        ("null::boolean as deleted, value", "SQL_FAILED"),
    ],
)
def test_results_that_are_no_records(expression: str, reason: str | None) -> None:
    done = sql(f"select record_offset, {expression} from batch").apply(changes(['{"a":1}']))
    assert reasons_of(checked(done)) == ({} if reason is None else {0: reason})


def test_a_result_with_an_offset_of_its_own() -> None:
    done = sql("select 11 as record_offset, value from batch").apply(changes(["{}"]))
    assert reasons_of(done) == {0: "SQL_FAILED"}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("selec 1", "syntax error"),
        ("select nope, record_offset from batch", "nope"),
        ("select value from batch", "no column record_offset"),
        ("select record_offset, value, 1 as x from batch", "'x' is one too many"),
        ("select 1; select 2", "syntax error"),
        ("drop view batch", "syntax error"),
        ("select * from read_csv('/etc/passwd')", "Permission Error"),
        ("select record_offset, value from elsewhere", "elsewhere"),
    ],
)
def test_a_query_that_is_none(query: str, told: str) -> None:
    with pytest.raises(InvalidTask, match=told):
        sql(query)


def test_a_query_reaches_nothing_outside(tmp_path: Any) -> None:
    path = tmp_path / "secret.csv"
    path.write_text("a\n1\n")
    query = f"select record_offset, (select count(*) from '{path}') as n from batch"
    with pytest.raises(InvalidTask):
        sql(query)


def test_without_duckdb_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InvalidTask, match=r"pip install 'cachesvc-sync\[sql\]'"):
        sql("select record_offset, value from batch")


def test_nothing_becomes_of_nothing() -> None:
    done = sql("select record_offset, value from batch").apply(changes([]))
    assert (len(checked(done).changes), done.refused) == (0, ())
    done = sql("select record_offset, value from batch").apply(changes([None, None]))
    assert values_of(done) == [None, None]


EVEN = sql(
    "select record_offset, (value->'n')::bigint + 1 as m from batch where (value->'n')::int % 2 = 0"
)


@settings(max_examples=25)  # each of them is a dozen queries
@given(st.lists(st.none() | st.integers(-5, 5) | st.just("x"), max_size=12))
def test_a_query_against_a_plain_model(numbers: list[int | str | None]) -> None:
    values = [
        None if each is None else f'{{"n":"{each}"}}' if each == "x" else f'{{"n":{each}}}'
        for each in numbers
    ]
    done = EVEN.apply(changes(values))
    expected = [
        (10 + 2 * row, None if each is None else f'{{"m":{each + 1}}}')
        for row, each in enumerate(numbers)
        if each is None or (isinstance(each, int) and each % 2 == 0)
    ]
    assert list(zip(column(done, "offset"), values_of(done), strict=True)) == expected
    assert reasons_of(done) == {
        row: "SQL_FAILED" for row, each in enumerate(numbers) if each == "x"
    }
