"""The answer to a query as rows and as a chart."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import ipc

from cachesvc.units import printable
from cachesvc.v1.sql_pb2 import RunSqlResponse, SqlColumn
from cachesvc.web.rendering import show_rate

ROWS_MAX = 1_000
BYTES_MAX = 32 << 20
SERIES_MAX = 5
BARS_MAX = 40
_FEW = 20
"""Rows up to which numbers are names of something rather than places on an axis."""
_CELL_MAX = 2_000
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")
_NUMBERS = frozenset((*_INTEGERS, *(f"U{name}" for name in _INTEGERS), *_FRACTIONS))
_TIMES = ("TIMESTAMP", "DATE")


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """Rows.

    Attributes:
        columns: Names and types.
        rows: The first of them; None is null.
        total: How many were sent; None where not all were taken.
        elapsed_s: What that took; None likewise.
    """

    columns: Sequence[SqlColumn]
    rows: Sequence[Sequence[Any]]
    total: int | None
    elapsed_s: float | None

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than these."""
        return self.total is None or self.total > len(self.rows)


def is_number(column: SqlColumn) -> bool:
    """Whether a column has numbers."""
    return column.type.partition("(")[0] in _NUMBERS and not column.type.endswith("]")


def is_time(column: SqlColumn) -> bool:
    """Whether a column has times or days."""
    return column.type.startswith(_TIMES) and not column.type.endswith("[]")


def are_enough(answers: Sequence[RunSqlResponse]) -> bool:
    """Whether no more of an answer is looked at."""
    return sum(len(each.arrow_ipc) for each in answers) > BYTES_MAX


def answer_of(answers: Sequence[RunSqlResponse]) -> SqlAnswer:
    """What the parts of an answer hold, as far as it is shown. Blocking."""
    columns = [column for each in answers for column in each.columns]
    summary = next((each.summary for each in answers if each.HasField("summary")), None)
    rows = _rows(b"".join(each.arrow_ipc for each in answers))
    return SqlAnswer(
        columns,
        rows,
        None if summary is None else summary.rows,
        None if summary is None else summary.elapsed_s,
    )


def _rows(data: bytes) -> list[tuple[Any, ...]]:
    """The first rows of an Arrow stream, which may break off."""
    found: list[tuple[Any, ...]] = []
    if not data:
        return found
    try:
        reader = ipc.open_stream(data)
        for batch in reader:
            wanted = batch.slice(0, ROWS_MAX - len(found))
            found += zip(*(_values(column) for column in wanted.columns), strict=True)
            if len(found) >= ROWS_MAX:
                break
    except (pa.ArrowInvalid, EOFError, OSError):  # what is cut ends in the middle
        pass
    return found


def _values(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def cell_text(value: Any) -> str:
    """A value as people read it; one that is long is cut."""
    text = _text(value)
    return text if len(text) <= _CELL_MAX else f"{text[: _CELL_MAX - 1]}…"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return printable(value.decode(errors="backslashreplace"))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").replace("+00:00", "Z")
    if isinstance(value, dict | list):
        return msgspec.json.encode(value, enc_hook=_text).decode()
    return str(value)


@dataclass(frozen=True, slots=True)
class SqlBar:
    """A row as a bar.

    Attributes:
        label: What it is of.
        text: Its number.
        width: Of 100, that of the largest.
    """

    label: str
    text: str
    width: float


@dataclass(frozen=True, slots=True)
class SqlChart:
    """What can be drawn of an answer: lines over times or many numbers, else bars.

    Attributes:
        label: What is drawn.
        points: Of lines, for ``parts.chart``; empty for bars.
        bars: Of bars.
    """

    label: str
    points: dict[str, Any] = field(default_factory=dict)
    bars: Sequence[SqlBar] = ()


def chart_of(answer: SqlAnswer) -> SqlChart | None:
    """A chart of the numbers over the first column; None where there is nothing to draw."""
    columns = answer.columns
    numbers = [at for at in range(1, len(columns)) if is_number(columns[at])][:SERIES_MAX]
    if not numbers or len(answer.rows) < 2:
        return None
    label = ", ".join(columns[at].name for at in numbers) + f" by {columns[0].name}"
    if is_time(columns[0]) or (is_number(columns[0]) and len(answer.rows) > _FEW):
        return _lines(answer, numbers, label)
    return SqlChart(label, bars=_bars(answer.rows, numbers[0]))


def _lines(answer: SqlAnswer, numbers: Sequence[int], label: str) -> SqlChart | None:
    rows = sorted(
        ((x, row) for row in answer.rows if (x := _number(row[0])) is not None),
        key=lambda pair: pair[0],
    )
    if len(rows) < 2:
        return None
    series = [
        {"label": answer.columns[at].name, "y": [_number(row[at]) for _, row in rows]}
        for at in numbers
    ]
    points = {"x": [x for x, _ in rows], "series": series, "time": is_time(answer.columns[0])}
    return SqlChart(label, points)


def _bars(rows: Iterable[Sequence[Any]], at: int) -> list[SqlBar]:
    found = [(row[0], number) for row in rows if (number := _number(row[at])) is not None]
    largest = max((abs(number) for _, number in found), default=0) or 1
    return [
        SqlBar(
            "null" if name is None else cell_text(name),
            f"{number:,.0f}" if number == int(number) else show_rate(number),
            round(100 * abs(number) / largest, 2),
        )
        for name, number in found[:BARS_MAX]
    ]


def _number(value: Any) -> float | None:
    """As a chart draws it: times as seconds since the epoch."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, date):
        return datetime.combine(value, time()).timestamp()
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        number = float(value)
        return number if math.isfinite(number) else None
    return None
