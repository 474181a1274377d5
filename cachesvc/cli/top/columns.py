"""Columns: what a row has there, by which it is sorted, and how that is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cachesvc.units import printable, show_bytes, show_count, show_duration

Value = str | float | None
_MISSING = "-"


class Kind(Enum):
    """What a value is."""

    TEXT = "text"
    NUMBER = "number"
    COUNT = "count"
    RATE = "rate"
    BYTES = "bytes"
    BYTE_RATE = "byte rate"
    SECONDS = "seconds"
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Column:
    """One of a view.

    Attributes:
        title: For its head, and for ``--sort``.
        kind: What its values are.
        value: Of a row; None where there is none.
        rank: Of several that do not fit, the one with the highest is left out first.
    """

    title: str
    kind: Kind
    value: Callable[[Any], Value]
    rank: int = 0

    @property
    def number(self) -> bool:
        """Whether it is a column of numbers."""
        return self.kind is not Kind.TEXT

    def cell(self, row: Any) -> str:
        """The text for a row."""
        return show(self.kind, self.value(row))


def show(kind: Kind, value: Value) -> str:
    """A value for people."""
    if value is None or value == "":
        return _MISSING
    if isinstance(value, str):
        return printable(value)
    match kind:
        case Kind.NUMBER:
            return str(round(value))
        case Kind.RATE:
            return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:,.1f}"
        case Kind.BYTES | Kind.BYTE_RATE:
            return show_bytes(round(value))
        case Kind.SECONDS:
            return show_duration(value)
        case Kind.SHARE:
            return f"{value:.0%}"
        case _:
            return show_count(round(value))


def in_order(rows: list[Any], column: Column, *, descending: bool) -> list[Any]:
    """Rows by what they have in a column, those with nothing there last."""
    having = [row for row in rows if column.value(row) is not None]
    without = [row for row in rows if column.value(row) is None]

    def key(row: Any) -> Any:
        value = column.value(row)
        return value.casefold() if isinstance(value, str) else value

    return [*sorted(having, key=key, reverse=descending), *without]
