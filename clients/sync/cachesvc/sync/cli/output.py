"""Answers as tables for people and JSON for programs.

On a terminal tables are drawn by rich and fit its width; elsewhere they are plain aligned columns
of full length, so that ``grep`` and ``awk`` can work on them.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cachesvc.units import printable


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
