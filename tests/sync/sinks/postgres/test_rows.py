import csv
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql

from cachesvc.sync.sinks.postgres.documents import Documents
from cachesvc.sync.sinks.postgres.rows import CsvRows, RowCoder
from cachesvc.sync.sinks.postgres.table import Column, Table

CATEGORIES = {"int8": "N", "float8": "N", "numeric": "N", "text": "S", "bool": "B", "uuid": "U"}
CATEGORIES |= {"jsonb": "U", "timestamptz": "D"}


def column(name: str, base: str) -> Column:
    return Column(name, name, base, base, CATEGORIES[base])


def table(key: str = "int8", **columns: str) -> Table:
    first = column("id", key)
    others = [column(name, base) for name, base in columns.items()]
    return Table(sql.Identifier("t"), (first, *others), (first,))


def documents(*objects: str | dict[str, Any], deleted: tuple[int, ...] = ()) -> Documents:
    texts = [each if isinstance(each, str) else json.dumps(each) for each in objects]
    return Documents(
        pa.array(texts, pa.string()),
        pa.array([at in deleted for at in range(len(texts))], pa.bool_()),
    )


def encoded(found: CsvRows | None) -> tuple[str, str]:
    assert found is not None
    return found.rows.decode(), found.keys.decode()


def test_objects_become_rows_in_the_order_of_columns() -> None:
    coder = RowCoder(table(note="text", amount="numeric", ok="bool"), refuse_unknown=False)
    found = coder.encode(
        documents(
            '{"amount": 1.10, "id": 1, "note": "a,b", "other": [1]}',
            '{ "id":2,\n"ok":true, "amount":12345678901234567890.12 }',
        )
    )
    rows, keys = encoded(found)
    assert rows == '1,"a,b",1.10,null\n2,null,12345678901234567890.12,true\n'
    assert keys == ""


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20))
def test_every_text_survives_as_csv(texts: list[str]) -> None:
    coder = RowCoder(table(note="text"), refuse_unknown=False)
    for ascii_only in (True, False):
        objects = [
            json.dumps({"id": at, "note": text}, ensure_ascii=ascii_only)
            for at, text in enumerate(texts)
        ]
        rows, _ = encoded(coder.encode(documents(*objects)))
        # As PostgreSQL reads it: quotes, and a backslash before a quote or a backslash alone.
        lines = csv.reader(io.StringIO(rows, newline=""), escapechar="\\", doublequote=False)
        if not any(set(text) & set("\r\n") for text in texts):
            assert [line[1] for line in lines] == texts
        assert rows.count('"') >= 2 * len(texts)


def test_of_changes_of_one_key_the_last_one_counts() -> None:
    coder = RowCoder(table(note="text"), refuse_unknown=False)
    found = coder.encode(
        documents(
            {"id": 1, "note": "a"},
            {"id": 2, "note": "b"},
            {"id": 1, "note": "c"},
            {"id": 2},
            {"id": 3},
            {"id": 3, "note": "d"},
            deleted=(3, 4),
        )
    )
    assert encoded(found) == ('1,"c"\n3,"d"\n', "2\n")


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
            st.booleans(),
        ),
        max_size=1_200,
    )
)
def test_of_each_key_the_last_change_is_kept_whatever_its_texts_hold(
    changes: list[tuple[int, str, bool]],
) -> None:
    coder = RowCoder(table(note="text"), refuse_unknown=False)
    objects = [{"id": key, "note": text} for key, text, _ in changes]
    gone = tuple(at for at, (_, _, deletes) in enumerate(changes) if deletes)
    rows, keys = encoded(coder.encode(documents(*objects, deleted=gone)))
    latest = {key: None if deletes else text for key, text, deletes in changes}
    lines = csv.reader(io.StringIO(rows, newline=""), escapechar="\\", doublequote=False)
    assert {int(line[0]): line[1] for line in lines} == {
        key: text for key, text in latest.items() if text is not None
    }
    assert sorted(map(int, keys.split())) == sorted(k for k, t in latest.items() if t is None)


def test_more_rows_than_are_encoded_at_once_stay_in_order() -> None:
    coder = RowCoder(table(note="text"), refuse_unknown=False)
    texts = ["[" if at % 700 == 0 else "" for at in range(1_501)]
    objects = [{"id": at, "note": text} for at, text in enumerate(texts)]
    rows, _ = encoded(coder.encode(documents(*objects)))
    assert rows == "".join(f'{at},"{text}"\n' for at, text in enumerate(texts))


@pytest.mark.parametrize("amount", ["[1,\n2]", "[1,\r2]"])
def test_lines_within_what_should_be_a_number_are_left_to_the_database(amount: str) -> None:
    coder = RowCoder(table(amount="numeric"), refuse_unknown=False)
    value = f'{{"id":1,"amount":{amount}}}'
    assert coder.encode(documents(value, value)) is None


def test_deletes_alone_have_no_rows() -> None:
    coder = RowCoder(table("text", note="text"), refuse_unknown=False)
    assert encoded(coder.encode(documents({"id": 'x"y'}, deleted=(0,)))) == ("", '"x\\"y"\n')


def test_equal_uuids_are_one_key() -> None:
    coder = RowCoder(table("uuid"), refuse_unknown=False)
    upper = "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"
    found = coder.encode(documents({"id": upper}, {"id": upper.lower()}))
    assert encoded(found) == (f'"{upper.lower()}"\n', "")


@pytest.mark.parametrize(
    ("columns", "value"),
    [
        ({"note": "text"}, '{"id":1,"note":7}'),
        ({"note": "text"}, '{"id":"1"}'),
        ({"at": "timestamptz"}, '{"id":1,"at":1700000000}'),
        ({"f": "float8"}, '{"id":1,"f":"NaN"}'),
        ({"note": "text"}, '{"id":1,"note":"\\ud800"}'),
        ({"doc": "jsonb"}, '{"id":1}'),
    ],
)
def test_what_is_not_plain_is_left_to_the_database(columns: dict[str, str], value: str) -> None:
    assert RowCoder(table(**columns), refuse_unknown=False).encode(documents(value)) is None


def test_a_key_whose_equality_is_the_databases_own_is_left_to_it() -> None:
    assert RowCoder(table("numeric"), refuse_unknown=False).encode(documents({"id": 1})) is None


def test_unknown_fields_are_left_to_the_database_where_they_are_refused() -> None:
    known, unknown = documents({"id": 1}), documents({"id": 1, "x": 2})
    coder = RowCoder(table(), refuse_unknown=True)
    assert coder.encode(known) is not None
    assert coder.encode(unknown) is None
