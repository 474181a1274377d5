"""Answers as tables for people and JSON for programs.

On a terminal tables are drawn by rich and fit its width; elsewhere they are plain aligned columns
of full length, so that ``grep`` and ``awk`` can work on them. JSON has the fields of the messages
of cachesvc.v1: snake_case, integers as numbers, enumerations by name, an absent field as null, and
bytes as text (with the field ``<name>_base64`` beside it where they are not UTF-8).
"""

import base64
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
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


def show_table(rows: Iterable[Any], columns: Sequence[Column], nothing: str) -> None:
    """Prints a table, or ``nothing`` on stderr when there are no rows."""
    cells = [[printable(column.cell(row)) for column in columns] for row in rows]
    if not cells:
        typer.echo(nothing, err=True)
    elif sys.stdout.isatty():
        _show_rich(cells, columns)
    else:
        _show_plain(cells, columns)


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Prints names and values, one pair a line."""
    pairs = [(name, printable(value)) for name, value in facts]
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        typer.echo(f"{name + ':':{width + 1}} {value}".rstrip())


def show_json(value: Any) -> None:
    """Prints one JSON value, indented."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def as_dict(message: Message) -> dict[str, Any]:
    """A message as JSON types, every field of it present."""
    result: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            result[field.name] = dict(sorted(value.items()))
        elif field.is_repeated:
            result[field.name] = [_as_json(field, item) for item in value]
        elif field.has_presence and not message.HasField(field.name):
            result[field.name] = None
        elif field.type == FieldDescriptor.TYPE_BYTES:
            result.update(bytes_fields(field.name, value))
        else:
            result[field.name] = _as_json(field, value)
    return result


def bytes_fields(name: str, value: bytes | None) -> dict[str, str | None]:
    """Bytes as text; what is no UTF-8 is null, with ``<name>_base64`` beside it."""
    try:
        return {name: None if value is None else value.decode()}
    except UnicodeDecodeError:
        return {name: None, f"{name}_base64": base64.b64encode(value or b"").decode()}


def enum_name(kind: Any, number: int) -> str:
    """The name of an enumeration's value; its number where a newer service has added one."""
    return str(kind.Name(number)) if number in kind.values() else str(number)


def _as_json(field: Any, value: Any) -> Any:
    if isinstance(value, Message):
        return as_dict(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else value
    return value


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
