"""Filters against what they mean in plain Python, and the text form against its canonical one."""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cachesvc.errors import InvalidRequest
from cachesvc.filters import Condition, Projection, Reduction, parse
from cachesvc.filters.conditions import (
    Path,
    Test,
    all_of,
    any_of,
    check,
    negated,
    number,
    of_header,
    of_key,
    of_time,
    of_value,
)
from cachesvc.filters.number_patterns import number_pattern
from cachesvc.filters.times import may_hold
from cachesvc.store.frames import Frame
from cachesvc.store.recoding import empty_frame, frame_of
from cachesvc.store.record_schema import RECORD_SCHEMA, decode_payloads
from tests.support.filter_reference import Row, passes

MORE = int(os.environ.get("CACHESVC_FILTER_EXAMPLES", "30"))

NAMES = ["a", "b", "ab", "é", 'q"', "back\\slash", "new\nline", ""]
TEXTS = [
    "",
    "a",
    "ab",
    "abc",
    "JFK",
    "true",
    "5",
    'say "x"',
    "a/b",
    "\\u0061",
    "\x00",
    "é😀",
]
NUMBERS = [
    "0", "-0", "0.0", "5", "5.0", "5e0", "50E-1", "0.5e+1", "1.5", "-7", "1200", "12e2",
    "9007199254740992", "9007199254740993", "9007199254740993.0", "18446744073709551616",
    "0.1", "0.10000000000000000000000000000000001", "1e400", "1e-400", "-1e400",
    "1e999999999999999999999", "-1e999999999999999999999", "1e-999999999999999999999",
    "0e999999999999999999999", "1" * 400,
]  # fmt: skip
WITHIN = [each for each in NUMBERS if "999999999999" not in each]

names = st.sampled_from(NAMES)
texts = st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
scalars = (
    st.sampled_from(["true", "false", "null"])
    | st.sampled_from(NUMBERS)
    | st.integers(-(1 << 70), 1 << 70).map(str)
)


@st.composite
def strings(draw: st.DrawFn, content: st.SearchStrategy[str] = texts) -> str:
    """A JSON text, each of its characters plain or escaped in one of the ways that there are."""
    text = draw(content)
    way = draw(st.sampled_from(["plain", "ascii", "all"]))
    if way == "plain":
        return json.dumps(text, ensure_ascii=False)
    if way == "ascii":
        return json.dumps(text).replace("/", "\\/")
    units = text.encode("utf-16-be")
    return (
        '"'
        + "".join(f"\\u{units[i] << 8 | units[i + 1]:04X}" for i in range(0, len(units), 2))
        + '"'
    )


def _object(members: list[tuple[str, str]]) -> str:
    return "{ " + " ,".join(f"{name}: {value} " for name, value in members) + "}"


nodes = st.recursive(
    scalars | strings(),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[ {' , '.join(parts)} ]")
        | st.lists(st.tuples(strings(names), inner), max_size=4).map(_object)
    ),
    max_leaves=8,
)
values = st.none() | st.lists(st.tuples(strings(names), nodes), max_size=4).map(
    lambda members: _object(members).encode()
)
blobs = st.sampled_from([b"", b"a", b"ab", b"\xff", b"a\xffb", "é".encode(), b"a\n"]) | st.binary(
    max_size=3
)
times = st.integers(-1, 5)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    count = draw(st.integers(1, 12))
    offsets = sorted(draw(st.sets(st.integers(0, 50), min_size=count, max_size=count)))
    headers = st.lists(st.tuples(names, st.none() | blobs), max_size=3)
    return [
        Row(offset, draw(values), draw(st.none() | blobs), draw(times), draw(headers))
        for offset in offsets
    ]


EXPRESSIONS = ["a.*", "[ab]+", ".*", "é.", "a|ab", "(?i)JFK", r"\d+", "a\n?"]
paths: st.SearchStrategy[Path] = st.lists(names | st.integers(0, 2), max_size=3).map(tuple)
literals: st.SearchStrategy[Any] = (
    texts | st.sampled_from(WITHIN).map(number) | st.booleans() | st.none()
)
ordered = texts | st.sampled_from(WITHIN).map(number)
orders = st.sampled_from([Test.LESS, Test.AT_MOST, Test.GREATER, Test.AT_LEAST])


def _about_bytes(make: Any) -> st.SearchStrategy[Condition]:
    return st.one_of(
        st.just(make(Test.EXISTS, ())),
        st.lists(blobs, min_size=1, max_size=3).map(lambda each: make(Test.ONE_OF, each)),
        blobs.map(lambda each: make(Test.STARTS_WITH, [each])),
        st.sampled_from(EXPRESSIONS).map(lambda each: make(Test.MATCHES, [each.encode()])),
    )


leaves: st.SearchStrategy[Condition] = st.one_of(
    _about_bytes(of_key),
    names.flatmap(lambda name: _about_bytes(lambda *test: of_header(name, *test))),
    st.lists(times, min_size=1, max_size=3).map(lambda each: of_time(Test.ONE_OF, each)),
    st.builds(of_time, orders, st.tuples(times)),
    st.builds(of_value, paths, st.just(Test.EXISTS)),
    st.builds(of_value, paths, st.just(Test.ONE_OF), st.lists(literals, min_size=1, max_size=4)),
    st.builds(of_value, paths, st.just(Test.STARTS_WITH), st.tuples(texts)),
    st.builds(of_value, paths, st.just(Test.MATCHES), st.tuples(st.sampled_from(EXPRESSIONS))),
    st.builds(of_value, paths, orders, st.tuples(ordered)),
)
conditions: st.SearchStrategy[Condition] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(negated),
        st.lists(inner, min_size=1, max_size=3).map(all_of),
        st.lists(inner, min_size=1, max_size=3).map(any_of),
    ),
    max_leaves=5,
)


def text_of(row: Row) -> str:
    assert row.value is not None
    return row.value.decode()


def framed(records: list[Row], end: int = 60) -> Frame:
    columns = [
        pa.array([row.offset for row in records], pa.int64()),
        pa.array([row.timestamp_ms for row in records], pa.timestamp("ms", "UTC")),
        pa.array([0] * len(records), pa.int8()),
        pa.array([row.key for row in records], pa.binary()),
        pa.array([row.value for row in records], pa.binary()).cast(pa.string()),
        pa.array(
            [[{"key": k, "value": v} for k, v in row.headers] or None for row in records],
            RECORD_SCHEMA.field("headers").type,
        ),
    ]
    return frame_of(pa.record_batch(columns, schema=RECORD_SCHEMA), 0, end)


def left_of(frame: Frame, end: int = 60) -> list[int]:
    assert (frame.base_offset, frame.end_offset) == (0, end)
    if not frame.record_count:
        assert frame == empty_frame(0, end)
        return []
    offsets: list[int] = decode_payloads([frame.payload]).column("offset").to_pylist()
    assert (frame.record_count, frame.first_offset) == (len(offsets), offsets[0])
    return offsets


@settings(max_examples=MORE * 4)
@given(conditions, rows())
@example(
    of_value(("a",), Test.ONE_OF, ["JFK"]), [Row(0, b'{"a":"JFK"}'), Row(1, b'{"a":"\\u004aFK"}')]
)
@example(
    of_value(("a", "b"), Test.AT_LEAST, [Decimal(5)]),
    [Row(0, b'{"a":{"b":5},"a":1}'), Row(1, b'{"a":1,"a":{"b":5}}')],
)
@example(
    of_value(("a",), Test.ONE_OF, [None]), [Row(0, None), Row(1, b"{}"), Row(2, b'{"a":null}')]
)
def test_a_filter_leaves_what_plain_python_leaves(condition: Condition, records: list[Row]) -> None:
    check(condition)
    reduced = Reduction(condition, Projection()).reduce(framed(records))
    assert left_of(reduced) == [row.offset for row in records if passes(condition, row)]


FILLER = [Row(100 + offset, b'{"filler":"%d"}' % offset) for offset in range(200)]


@settings(max_examples=MORE * 4)
@given(conditions, rows())
@example(of_value(("a",), Test.LESS, [Decimal(5)]), [Row(0, b'{"a" :\n-7e2}'), Row(1, b'{"a":5}')])
@example(of_value(("a",), Test.AT_LEAST, [Decimal(0)]), [Row(0, b'{"a":-0.0}')])
@example(of_value(("a",), Test.AT_MOST, [Decimal(1209)]), [Row(0, b'{"a":1209.0}')])
@example(of_value(("a",), Test.AT_LEAST, [Decimal(1200)]), [Row(0, b'{"a":10000}')])
@example(of_value(("a",), Test.STARTS_WITH, ["a/b"]), [Row(0, b'{"a":"a\\/bc"}')])
@example(of_value(('q"',), Test.ONE_OF, [True]), [Row(0, b'{"q\\u0022":true}')])
def test_what_passes_is_found_among_much_that_does_not(
    condition: Condition, records: list[Row]
) -> None:
    """Enough records that those are ruled out unparsed which cannot pass."""
    records = [*records, *FILLER]
    frame = Reduction(condition, Projection()).reduce(framed(records, 400))
    assert left_of(frame, 400) == [row.offset for row in records if passes(condition, row)]


@given(st.lists(st.tuples(st.integers(-2_000, 2_000), st.booleans()), min_size=1), ordered, orders)
def test_number_patterns_match_every_number_that_passes(
    found: list[tuple[int, bool]], literal: Any, test: Test
) -> None:
    if not isinstance(literal, Decimal):
        literal = Decimal(found[0][0])
    for value, fraction in [*found, (int(literal.copy_abs().min(Decimal(10**6))), False)]:
        text = f"{value}.5" if fraction else f"{value}"
        for each in (test, Test.ONE_OF):
            pattern = number_pattern(each, literal)
            row = Row(0, b'{"a":%s}' % text.encode())
            if pattern is not None and passes(of_value(("a",), each, [literal]), row):
                assert re.match(rf'{{"a":(?:{pattern})', text_of(row))


@given(conditions, st.lists(times, min_size=1), st.data())
def test_nothing_is_left_unread_that_could_pass(
    condition: Condition, found: list[int], data: st.DataObject
) -> None:
    if not may_hold(condition, min(found), max(found)):
        for time_ms in found:
            row = Row(0, data.draw(values), None, time_ms)
            assert not passes(condition, row)


@settings(max_examples=MORE * 2)
@given(conditions)
def test_the_text_of_a_condition_means_the_same_condition(condition: Condition) -> None:
    assert parse(condition.text) == condition
    assert parse(f" {condition.text}\n# told twice").text == condition.text


@given(st.lists(leaves, min_size=2, max_size=4), st.randoms())
def test_equal_conditions_are_shared_however_they_are_written(
    parts: list[Condition], random: Any
) -> None:
    other = list(parts)
    random.shuffle(other)
    for group in (all_of, any_of):
        assert (
            group(parts).text
            == group([*other, *parts]).text
            == group([group(other), parts[0]]).text
        )
        assert negated(negated(group(parts))) == group(parts)


_WORDS = [
    "value", "key", "timestamp", "header", "exists", "starts_with", "matches", "and", "or", "not",
    "in", "not in", "(", ")", "[", "]", "{", "}", ",", ".", "==", "!=", "<", "<=", ">", ">=", "=",
    ":=", "is", "lambda", "if", "else", "for", "await", "yield", "*", "**", "-", "+", "~", "%", "@",
    '"a"', "'b'", 'b"\\xff"', 'r"\\d+"', '"\\d"', 'f"{a}"', '"\\ud800"', "1", "1.5", "1e999999",
    "0x10", "1_000", "1j", "True", "none", "null", "a", "__class__", "é", "ﬁ", "\n", "#", "\\", ":",
    "\x00", "...", '"2026-01-01T00:00:00Z"', "9" * 5000,
]  # fmt: skip


@settings(max_examples=MORE * 6)
@given(st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    _is_filter_or_refused(text)


@pytest.mark.parametrize(
    "text",
    [
        *(each * 3_000 for each in ("(", "[", "{", "-", "~", "a.", 'value["')),
        "not " * 2_000 + "exists(key)",
        "exists(key) and not (" * 300 + "exists(key)" + ")" * 300,
        "value" + ".a" * 4_000 + " == 1",
        "value" + "[0]" * 2_000 + " == 1",
        "value == " + "(" * 250 + "1" + ")" * 250,
        " < ".join(["value.a"] + ["1"] * 3_000),
        " or ".join(f"key == '{n}'" for n in range(600)),
        "value.a in [" + ",".join(map(str, range(1_500))) + "]",
        "lambda: " * 900,
        "value.a == " + "9" * 4_500,
        "value.a < 1e99999999999999999999",
        "timestamp < 1e9999",
        "timestamp == 1.5",
        "timestamp == 1e9999",
        "matches(key, '" + "(" * 3_000 + "')",
        "matches(key, '(a{1000}){1000}')",
        " or ".join(f"matches(key, 'a{n}')" for n in range(17)),
        " or ".join(f"exists(value{'.a' * 60}.b{n})" for n in range(20)),
        "'" + "x" * 9_000 + "' == key",
    ],
    ids=lambda text: re.sub(r"[^ -~]", "?", text[:20]),
)  # fmt: skip
def test_hostile_texts_are_refused(text: str) -> None:
    assert not _is_filter_or_refused(text)


def _is_filter_or_refused(text: str) -> bool:
    try:
        found = parse(text)
    except InvalidRequest as error:
        refusal = error
    else:
        assert parse(found.text) == found
        return True
    assert refusal.reason == "INVALID_FILTER"
    assert str(refusal).encode()
    return False
