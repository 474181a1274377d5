"""Answers as tables for people and JSON for programs; numbers and times as people read them.

On a terminal tables are drawn by rich and fit its width; elsewhere they are plain aligned columns
of full length, so that ``grep`` and ``awk`` can work on them.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_TIME_MS_MAX = 253_402_300_799_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, how a row's cell is made, and whether it is a number."""

    title: str
    cell: Callable[[Any], str]
    number: bool = False


def show_json(value: Any) -> None:
    """Prints one JSON value, indented."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show_table(rows: Iterable[Any], columns: Sequence[Column], nothing: str) -> None:
    """Prints a table, or ``nothing`` on stderr when there are no rows."""
    cells = [[printable(column.cell(row)) for column in columns] for row in rows]
    if not cells:
        typer.echo(nothing, err=True)
    elif sys.stdout.isatty():
        _show_rich(cells, columns)
    else:
        _show_plain(cells, columns)


def show_bytes(count: int) -> str:
    """``1536`` as ``1.5 KiB``."""
    size = float(count)
    for unit in _BYTE_UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_BYTE_UNITS[-1]}"


def show_count(count: float | None) -> str:
    """``1234567`` as ``1,234,567``; nothing as ``-``."""
    return "-" if count is None else f"{count:,.0f}"


def show_duration(seconds: float | None) -> str:
    """The two largest units: ``2 h 5 min``; nothing as ``-``."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def show_time(time_ms: int | None) -> str:
    """Milliseconds since the epoch as UTC to the second; nothing, and -1, as ``-``."""
    if time_ms is None or time_ms < 0:
        return "-"
    return f"{datetime.fromtimestamp(min(time_ms, _TIME_MS_MAX) / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"


def printable(text: str) -> str:
    """The text on one line and without anything that a terminal would act upon."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _show_plain(cells: list[list[str]], columns: Sequence[Column]) -> None:
    lines = [[column.title.upper() for column in columns], *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = (
            cell.rjust(width) if column.number else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        )
        typer.echo("  ".join(padded).rstrip())


def _show_rich(cells: list[list[str]], columns: Sequence[Column]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        justify = "right" if column.number else "left"
        table.add_column(column.title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    Console(highlight=False).print(table)
