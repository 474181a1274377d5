"""Changes as tables of the wanted columns."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa

from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import BatchRefused, InvalidTask
from cachesvc.sync.sinks.objects import as_array

_SOURCE = ("topic", "partition", "offset", "timestamp", "key", "deleted")
_DECIMAL = re.compile(r"decimal\((\d{1,2}),\s*(\d{1,2})\)")
_TYPES: Mapping[str, tuple[Any, pa.DataType]] = {
    "string": (str | None, pa.string()),
    "int64": (int | None, pa.int64()),
    "float64": (float | None, pa.float64()),
    "bool": (bool | None, pa.bool_()),
    "date": (date | None, pa.date32()),
    "timestamp": (datetime | None, pa.timestamp("us", tz="UTC")),
    "json": (msgspec.Raw, pa.string()),
}


class Columns:
    """Makes tables of changes.

    Those of the source come first: topic, partition, offset, timestamp, key and deleted, so that
    whoever queries the files can take the latest of each key, or leave out what came twice. Beside
    fields, their names begin with an underscore.

    Args:
        wanted: Fields and their types; none for the object as it is.

    Raises:
        InvalidTask: There is no such type.
    """

    def __init__(self, wanted: Mapping[str, str]) -> None:
        found = {name: _type(name, text) for name, text in wanted.items()}
        self._types = {name: arrow for name, (_, arrow) in found.items()}
        self._decoder: msgspec.json.Decoder[Any] | None = None
        if found:
            fields = [(f"c{at}", kind, None) for at, (kind, _) in enumerate(found.values())]
            rename = {f"c{at}": name for at, name in enumerate(found)}
            row = msgspec.defstruct("Row", fields, rename=rename, gc=False)
            self._decoder = msgspec.json.Decoder(list[row])  # type: ignore[valid-type]

    def table(self, changes: Changes) -> pa.Table:
        """The changes as a table; n changes are n rows, in the same order.

        Raises:
            BatchRefused: A field is not of its column's type.
        """
        rows, of = changes.rows, changes.source
        source = [
            pa.array([of.topic], pa.string()).take(pa.array([0] * len(changes), pa.int8())),
            pa.array([of.partition] * len(changes), pa.int32()),
            *(rows.column(name) for name in _SOURCE[2:]),
        ]
        if self._decoder is None:
            names = [*_SOURCE, "value"]
            return pa.Table.from_arrays([*source, rows.column("value")], names)
        names = [*(f"_{name}" for name in _SOURCE), *self._types]
        return pa.Table.from_arrays([*source, *self._fields(rows.column("value"))], names)

    def _fields(self, values: pa.Array) -> list[pa.Array]:
        assert self._decoder is not None
        try:
            rows = self._decoder.decode(as_array(values.fill_null("{}")))
            return [
                _array(list(map(attrgetter(f"c{at}"), rows)), name, arrow)
                for at, (name, arrow) in enumerate(self._types.items())
            ]
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            # It names the field's path and both types, and nothing of the value.
            raise BatchRefused(f"sink.columns: {error}", reason="WRONG_TYPE") from error


def _array(values: list[Any], name: str, arrow: pa.DataType) -> pa.Array:
    if values and any(isinstance(value, msgspec.Raw) for value in values):
        values = [None if value is None else bytes(value).decode() for value in values]
        values = [None if value == "null" else value for value in values]
    try:
        return pa.array(values, arrow)
    except (pa.ArrowInvalid, OverflowError) as error:
        raise BatchRefused(
            f"sink.columns: a value of {name} does not fit {arrow}", reason="WRONG_TYPE"
        ) from error


def _type(name: str, text: str) -> tuple[Any, pa.DataType]:
    if name.startswith("_"):
        raise InvalidTask(f"sink.columns.{name}: names with _ are those of the source's columns")
    if text in _TYPES:
        return _TYPES[text]
    found = _DECIMAL.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= 38 or int(found[2]) > int(found[1]):
        known = ", ".join([*_TYPES, "decimal(10,2)"])
        raise InvalidTask(f"sink.columns.{name}: {text!r} is none of {known}")
    return Decimal | None, pa.decimal128(int(found[1]), int(found[2]))
