"""Objects as rows of CSV, for tables whose columns are all plain.

msgspec takes the columns' fields out of a whole batch and writes them as JSON arrays; without their
brackets these are CSV as PostgreSQL reads it: texts in double quotes with a backslash before what
would end them, and an unquoted null. A batch that is not what the columns want is left to
PostgreSQL, which knows more ways to read a value, and more words for what is wrong with one.
"""

import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
import pyarrow.compute as pc
from msgspec.structs import astuple

from cachesvc.sync.sinks.objects import as_array
from cachesvc.sync.sinks.postgres.documents import Documents
from cachesvc.sync.sinks.postgres.table import Column, Table

# Few enough that the event loop, which feeds the database, gets its turn between two; and fewer
# tuples than make Python look for garbage among them.
_AT_ONCE = 500
_ESCAPE = re.compile(rb"\\(?:u([0-9a-f]{4})|(.))")
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
_INTEGERS = {"int2", "int4", "int8"}
_FLOATS = {"float4", "float8"}
_TEXTS = {"text", "varchar"}
# Texts, times, time spans, network addresses, enumerations: what JSON has as text.
_TEXT_CATEGORIES = {"S", "D", "T", "I", "E"}


@dataclass(frozen=True, slots=True)
class CsvRows:
    """Changes of different keys, ready to be copied.

    Attributes:
        rows: Those to insert or update, as CSV of the table's columns.
        keys: Those to delete, as CSV of the key's columns.
        touched: The keys of both.
    """

    rows: bytes
    keys: bytes
    touched: Collection[Any]


class RowCoder:
    """Makes CSV of objects.

    Args:
        table: Its columns.
        refuse_unknown: Whether an object with other fields is left to PostgreSQL.
    """

    def __init__(self, table: Table, refuse_unknown: bool) -> None:
        self._decoder = _decoder(table, refuse_unknown)
        names = {column.name: f"c{at}" for at, column in enumerate(table.columns)}
        self._key = attrgetter(*(names[column.name] for column in table.key))
        self._single = len(table.key) == 1
        self._encoder = msgspec.json.Encoder()

    def encode(self, documents: Documents) -> CsvRows | None:
        """The rows as CSV, of each key the last; None if that is better left to PostgreSQL."""
        if self._decoder is None:
            return None
        keys: list[Any] = []
        pieces: list[bytes] = []
        try:
            for begin in range(0, len(documents), _AT_ONCE):
                objects = documents.objects.slice(begin, _AT_ONCE)
                rows = self._decoder.decode(as_array(objects))
                if len(rows) != len(objects):
                    return None
                keys += map(self._key, rows)
                pieces.append(self._lines(list(map(astuple, rows))))
                time.sleep(0)  # lets go of the interpreter, as Arrow does before
        except (msgspec.ValidationError, msgspec.DecodeError):
            return None
        touched = set(keys)
        if len(touched) == len(keys) and not pc.any(documents.deleted).as_py():
            return CsvRows(b"".join(map(_as_csv, pieces)), b"", touched)
        return self._latest(keys, pieces, documents.deleted.to_pylist())

    def _latest(self, keys: list[Any], pieces: list[bytes], deleted: list[bool]) -> CsvRows | None:
        """Of each key the last change, in the order of the first; all keys differ then."""
        lines = b"".join(pieces).splitlines(keepends=True)
        if len(lines) != len(keys):
            return None  # a line end between the parts of what should be a number
        latest = dict(zip(keys, range(len(keys)), strict=True))
        kept = [lines[at] for at in latest.values() if not deleted[at]]
        as_key = _alone if self._single else tuple
        gone = [as_key(key) for key, at in latest.items() if deleted[at]]
        found = [
            self._lines(gone[begin : begin + _AT_ONCE]) for begin in range(0, len(gone), _AT_ONCE)
        ]
        return CsvRows(_as_csv(b"".join(kept)), _as_csv(b"".join(found)), latest.keys())

    def _lines(self, rows: list[tuple[Any, ...]]) -> bytes:
        """A line for each row: JSON arrays without their brackets.

        A line end is never within a text, where JSON escapes it.
        """
        lines = self._encoder.encode_lines(rows)
        if lines.count(b"[") == lines.count(b"]") == len(rows):
            return lines.translate(None, b"[]")
        return lines[1:-2].replace(b"]\n[", b"\n") + b"\n"


def _as_csv(lines: bytes) -> bytes:
    return _ESCAPE.sub(_unescaped, lines) if b"\\" in lines else lines


def _alone(value: Any) -> tuple[Any]:
    return (value,)


def _unescaped(found: re.Match[bytes]) -> bytes:
    """What CSV has for an escape of JSON: only quotes and backslashes need one."""
    code, character = found.groups()
    if code is not None:
        return chr(int(code, 16)).encode()
    return _PLAIN.get(character, found.group())


def _decoder(table: Table, refuse_unknown: bool) -> msgspec.json.Decoder[Any] | None:
    """Of arrays of objects with the table's fields; None if a column is not plain."""
    keys = {column.name for column in table.key}
    fields: list[tuple[str, Any, Any]] = []
    for at, column in enumerate(table.columns):
        type_ = _key_type(column) if column.name in keys else _type(column)
        if type_ is None:
            return None
        fields.append((f"c{at}", type_, None))
    rename = {f"c{at}": column.field for at, column in enumerate(table.columns)}
    if len(set(rename.values())) != len(rename):
        return None
    row = msgspec.defstruct(
        "Row", fields, rename=rename, forbid_unknown_fields=refuse_unknown, gc=False
    )
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


def _type(column: Column) -> Any:
    """What msgspec takes for a column; None where a JSON value is no plain one."""
    if column.base in _INTEGERS:
        return int | None
    if column.base in _FLOATS:
        return float | None
    if column.base == "numeric":
        return msgspec.Raw  # digit by digit as it was
    if column.base == "bool":
        return bool | None
    if column.base == "uuid":
        return UUID | None
    return str | None if column.category in _TEXT_CATEGORIES else None


def _key_type(column: Column) -> Any:
    """The same for a column of the key: equal values have to be equal here."""
    plain = column.base in _INTEGERS | _TEXTS | {"uuid", "bool"}
    return _type(column) if plain else None
