"""The transform that is a user's function: on values, on records, or on Arrow batches."""

import importlib
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
from msgspec.structs import replace

from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.transform import Transform, Transformed, TransformKind
from cachesvc.sync.transforms.documents import (
    UNREADABLE,
    Refused,
    Row,
    Steps,
    encoded,
    encoded_node,
    opened,
)
from cachesvc.sync.transforms.halving import apply_halving, completed


class FunctionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A function in Python.

    Attributes:
        function: ``module:function``.
        directory: Where the module lies, if it is not installed; relative to the task file.
        on: What it is called with. ``values``: the value of a record as a dict, tombstones left
            out; it gives a dict, a list of them, or None to drop the record. ``records``: a dict of
            ``offset``, ``timestamp_ms``, ``key``, ``value`` (None for a tombstone), ``headers``
            (pairs) and ``deleted``, which it gives back with other ``key``, ``value`` or
            ``deleted``. ``batches``: a ``pyarrow.RecordBatch`` of all columns; it gives such a
            batch or table, whose ``offset`` tells which rows it stands for, and may leave out
            columns that stay.
        numbers: Those with a fraction or exponent are floats, or ``decimal.Decimal``, which keep
            every digit. Whole ones are of any size.
        arguments: Go along by name with every call.
    """

    function: str
    directory: str | None = None
    on: Literal["values", "records", "batches"] = "values"
    numbers: Literal["float", "decimal"] = "float"
    arguments: dict[str, Any] = {}


_FAILED = "FUNCTION_FAILED"
_RESULT = "FUNCTION_RESULT"


class _Function:
    """Calls it, and says what is wrong with what it does."""

    def __init__(self, settings: FunctionSettings) -> None:
        self.name = settings.function
        self._function = _loaded(settings)
        self._arguments = settings.arguments

    def __call__(self, given: Any) -> Any:
        try:
            return self._function(given, **self._arguments)
        except Exception as error:  # whatever it raises concerns the rows that it was given
            raise Refused(_FAILED, f"{type(error).__name__} in {self._place(error)}") from error

    def _place(self, error: Exception) -> str:
        trace, line = error.__traceback__, None
        code = getattr(self._function, "__code__", None)
        while trace is not None:
            if code is not None and trace.tb_frame.f_code.co_filename == code.co_filename:
                line = trace.tb_lineno
            trace = trace.tb_next
        return self.name if line is None else f"{self.name}, line {line}"


class _OnValues:
    def __init__(self, settings: FunctionSettings) -> None:
        self._call = _Function(settings)
        self._decode = _decoder(settings)

    def apply(self, row: Row) -> Row | list[Row]:
        if row.value is None:
            return row
        opened(row.value)  # or it is refused as by every other step
        given = self._call(self._decode(encoded(row.value)))
        return [replace(row, value=_text(each), text=None) for each in _several(given)]


class _OnRecords:
    def __init__(self, settings: FunctionSettings) -> None:
        self._call = _Function(settings)
        self._decode = _decoder(settings)

    def apply(self, row: Row) -> list[Row]:
        if row.value is not None:
            opened(row.value)
        source, number = row.source, row.number
        record = {
            "offset": source.offsets[number],
            "timestamp_ms": source.timestamps_ms[number],
            "key": row.key,
            "value": None if row.value is None else self._decode(encoded(row.value)),
            "headers": [(each["key"], each["value"]) for each in source.headers[number] or ()],
            "deleted": row.deleted,
        }
        return [_changed(row, each) for each in _several(self._call(record))]


class _OnBatches:
    def __init__(self, settings: FunctionSettings) -> None:
        self._call = _Function(settings)

    def apply(self, changes: Changes) -> Transformed:
        return apply_halving(self._batch, changes)

    def _batch(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        given = self._call(rows)
        if isinstance(given, pa.RecordBatch):
            given = pa.Table.from_batches([given])
        if not isinstance(given, pa.Table):
            raise Refused(_RESULT, f"{self._call.name} gave {type(given).__name__}, no batch")
        done = completed(given, rows, _RESULT)
        if "value" in given.column_names:
            for value in done.column("value").view(pa.binary()).to_pylist():
                if value is not None:
                    opened(value)
        return done


def _loaded(settings: FunctionSettings) -> Callable[..., Any]:
    module_name, _, name = settings.function.partition(":")
    if not module_name or not name:
        raise InvalidTask(f"function: {settings.function!r} is not of the form 'module:function'")
    if settings.directory is not None:
        place = str(Path(settings.directory).resolve())
        if place not in sys.path:
            sys.path.insert(0, place)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module may raise anything while it is imported
        raise InvalidTask(
            f"function: {module_name} cannot be imported ({type(error).__name__}: {error}); where"
            " it is not installed, 'directory' says where it lies"
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise InvalidTask(f"function: {module_name} has no function {name!r}")
    loaded: Callable[..., Any] = function
    return loaded


def _decoder(settings: FunctionSettings) -> Callable[[Any], Any]:
    hook = Decimal if settings.numbers == "decimal" else None
    decode = msgspec.json.Decoder(float_hook=hook).decode

    def decoded(text: Any) -> Any:
        try:
            return decode(text)
        except UNREADABLE as error:
            detail = "the value has a number out of range, or is nested too deeply"
            raise Refused("NOT_AN_OBJECT", detail) from error

    return decoded


def _several(given: Any) -> list[Any]:
    """What a function gave, as a list."""
    if given is None:
        return []
    return given if isinstance(given, list) else [given]


def _text(value: Any) -> bytes:
    """The value that a function gave, as text."""
    if not isinstance(value, dict):
        raise Refused(_RESULT, f"the function gave {type(value).__name__} as a value, no dict")
    try:
        return encoded_node(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Refused(_RESULT, "the value that the function gave cannot be written") from error


def _changed(row: Row, given: Any) -> Row:
    """A row with key, value and mark of a record that a function gave."""
    if not isinstance(given, Mapping) or "value" not in given:
        raise Refused(_RESULT, "the function gave no record, a dict with a value")
    key, deleted = given.get("key", row.new_key), given.get("deleted", row.deleted)
    if not isinstance(key, bytes | None | msgspec.UnsetType):
        raise Refused(_RESULT, f"the function gave {type(key).__name__} as a key, no bytes")
    if not isinstance(deleted, bool):
        raise Refused(_RESULT, "the function gave a 'deleted' that is neither True nor False")
    if given["value"] is None and not deleted:
        raise Refused(_RESULT, "the function gave a record without value that is no delete")
    value = None if given["value"] is None else _text(given["value"])
    return replace(row, value=value, deleted=deleted, text=None, new_key=key)


def _made(settings: FunctionSettings) -> Transform:
    if settings.on == "batches":
        return _OnBatches(settings)
    return Steps([_OnValues(settings) if settings.on == "values" else _OnRecords(settings)])


PYTHON = TransformKind(FunctionSettings, _made)
