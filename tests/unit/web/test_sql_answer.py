"""Answers to queries as rows and charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from cachesvc.v1.sql_pb2 import RunSqlResponse, SqlColumn, SqlSummary
from cachesvc.web.pages.sql_answer import (
    BARS_MAX,
    ROWS_MAX,
    SERIES_MAX,
    SqlAnswer,
    answer_of,
    cell_text,
    chart_of,
    is_number,
    is_time,
)


def responses(table: pa.Table, types: Sequence[str]) -> list[RunSqlResponse]:
    """As the service answers: columns, the stream in pieces, the end."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    data = sink.getvalue().to_pybytes()
    columns = [
        SqlColumn(name=name, type=kind)
        for name, kind in zip(table.column_names, types, strict=True)
    ]
    pieces = [data[at : at + 1_000] for at in range(0, len(data), 1_000)]
    return [
        RunSqlResponse(columns=columns),
        *(RunSqlResponse(arrow_ipc=piece) for piece in pieces),
        RunSqlResponse(summary=SqlSummary(rows=table.num_rows, elapsed_s=0.5)),
    ]


def answer(types: Sequence[str], *rows: Sequence[Any]) -> SqlAnswer:
    columns = [SqlColumn(name=f"c{at}", type=kind) for at, kind in enumerate(types)]
    return SqlAnswer(columns, rows, len(rows), 0.1)


def test_all_rows_of_a_short_answer() -> None:
    table = pa.table({"n": [1, 2, None], "t": ["a", None, "c"]})
    found = answer_of(responses(table, ["BIGINT", "VARCHAR"]))
    assert list(found.rows) == [(1, "a"), (2, None), (None, "c")]
    assert (found.total, found.elapsed_s, found.is_cut) == (3, 0.5, False)


def test_the_first_rows_of_a_long_one() -> None:
    found = answer_of(responses(pa.table({"n": range(5_000)}), ["BIGINT"]))
    assert [row[0] for row in found.rows] == list(range(ROWS_MAX))
    assert (found.total, found.is_cut) == (5_000, True)


def test_what_was_not_taken_whole() -> None:
    parts = responses(pa.table({"n": range(800)}), ["BIGINT"])[:5]
    found = answer_of(parts)
    assert 0 < len(found.rows) < 800
    assert [row[0] for row in found.rows] == list(range(len(found.rows)))
    assert found.is_cut and found.total is None
    assert list(answer_of([]).rows) == []


def test_nanoseconds_are_shown_as_microseconds() -> None:
    column = pa.array([1_700_000_000_123_456_789], pa.timestamp("ns"))
    found = answer_of(responses(pa.table({"t": column}), ["TIMESTAMP_NS"]))
    assert found.rows[0][0].isoformat() == "2023-11-14T22:13:20.123456"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb", "a\nb"),
        (b"k\xff\n", "k\\xff\\n"),
        (True, "true"),
        (1.5, "1.5"),
        (Decimal("1.20"), "1.20"),
        (datetime(2026, 1, 2, 3, tzinfo=UTC), "2026-01-02 03:00:00Z"),
        (date(2026, 1, 2), "2026-01-02"),
        ([1, {"a": b"x", "b": None}], '[1,{"a":"eA==","b":null}]'),
        (timedelta(seconds=61), "0:01:01"),
        ("x" * 3_000, "x" * 1_999 + "…"),
    ],
)
def test_values_as_people_read_them(value: Any, text: str) -> None:
    assert cell_text(value) == text


def test_types_that_can_be_drawn() -> None:
    for kind in ("BIGINT", "HUGEINT", "UINTEGER", "DOUBLE", "DECIMAL(10,2)"):
        assert is_number(SqlColumn(type=kind))
    for kind in (
        "VARCHAR",
        "BIGINT[]",
        "STRUCT(a BIGINT)[]",
        "STRUCT(a BIGINT)",
        "INTERVAL",
        "JSON",
    ):
        assert not is_number(SqlColumn(type=kind)), kind
    assert is_time(SqlColumn(type="TIMESTAMP WITH TIME ZONE")) and is_time(SqlColumn(type="DATE"))
    assert not is_time(SqlColumn(type="TIMESTAMP[]")) and not is_time(SqlColumn(type="TIME"))


def test_lines_over_many_numbers_in_their_order() -> None:
    rows = [(n, float(-n), "x") for n in range(30, 0, -1)]
    odd = [(31, math.nan, "y"), (None, 2.0, "")]
    chart = chart_of(answer(["BIGINT", "DOUBLE", "VARCHAR"], *rows, *odd))
    assert chart is not None and not chart.bars
    series = [{"label": "c1", "y": [*(-n for n in range(1, 31)), None]}]
    assert chart.points == {"x": list(range(1, 32)), "series": series, "time": False}


def test_bars_over_a_few_numbers() -> None:
    chart = chart_of(answer(["INTEGER", "BIGINT"], (0, 4), (1, 2)))
    assert chart is not None and not chart.points
    assert [(bar.label, bar.width) for bar in chart.bars] == [("0", 100), ("1", 50)]


def test_lines_over_times_as_seconds() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    chart = chart_of(answer(["TIMESTAMP WITH TIME ZONE", "BIGINT"], (noon, 1), (noon, 2)))
    assert chart is not None
    assert (chart.points["x"], chart.points["time"]) == ([noon.timestamp()] * 2, True)


def test_bars_over_texts() -> None:
    rows = [("a", 10), (None, -5), ("c", 2.5), *((str(n), 1) for n in range(100))]
    chart = chart_of(answer(["VARCHAR", "DOUBLE"], *rows))
    assert chart is not None and not chart.points
    assert [(bar.label, bar.text, bar.width) for bar in chart.bars[:3]] == [
        ("a", "10", 100),
        ("null", "-5", 50),
        ("c", "2.5", 25),
    ]
    assert len(chart.bars) == BARS_MAX


def test_what_cannot_be_drawn() -> None:
    assert chart_of(answer(["BIGINT"], (1,), (2,))) is None
    assert chart_of(answer(["BIGINT", "BIGINT"], (1, 1))) is None
    assert chart_of(answer(["VARCHAR", "VARCHAR"], ("a", "b"), ("c", "d"))) is None
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert chart_of(answer(["DATE", "BIGINT"], (None, 1), (noon, 1))) is None
    many = chart_of(answer(["DATE", *["BIGINT"] * 8], [noon] * 9, [noon] * 9))
    assert many is not None and len(many.points["series"]) == SERIES_MAX
