"""The transform that is a query: DuckDB over a batch at a time.

The relation ``batch`` has the columns ``record_offset``, ``timestamp``, ``key``, ``value`` (JSON),
``headers`` and ``deleted``; tombstones are not among its rows, and pass by. (``offset`` is a word
of SQL, so it has another name.) A result has ``record_offset``, which ties each row to the
record that it came of, and may have ``key``, ``value`` and ``deleted``; without ``value`` all other
columns together become the object.
"""

import importlib
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.sync.changes import CHANGE_SCHEMA, Changes
from cachesvc.sync.errors import InvalidTask
from cachesvc.sync.transform import Transform, Transformed, TransformKind
from cachesvc.sync.transforms.documents import Refused, opened
from cachesvc.sync.transforms.halving import apply_halving, completed


class SqlSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A query by DuckDB.

    Attributes:
        query: One ``select … from batch``. Rows of one result that have the same
            ``record_offset`` stay in the query's order.
        memory_bytes_max: What DuckDB may use.
    """

    query: str
    memory_bytes_max: Annotated[int, msgspec.Meta(ge=16 << 20)] = 512 << 20


_OFFSET = "record_offset"
_TAKEN = (_OFFSET, "key", "value", "deleted")
_REASON = "SQL_FAILED"
_VIEW = "create view batch as select * replace (value::json as value) from changes"


class _Sql:
    """The query, over a connection of its own without files, network or settings to change.

    Args:
        settings: What to run.

    Raises:
        InvalidTask: DuckDB is not installed, or the query is none for ``batch``.
    """

    def __init__(self, settings: SqlSettings) -> None:
        duckdb = _library()
        self._errors: type[Exception] = duckdb.Error
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        for statement in (
            f"set memory_limit = '{settings.memory_bytes_max} B'",
            "set enable_external_access = false",
            "set lock_configuration = true",
        ):
            self._connection.execute(statement)
        self._show([])
        self._connection.execute(_VIEW)
        self._query, self._values_are_objects = self._complete(settings.query.strip().rstrip(";"))

    def apply(self, changes: Changes) -> Transformed:
        without_value = changes.rows.column("value").is_null()
        tombstones = changes.rows.filter(without_value)
        if not tombstones.num_rows:
            return apply_halving(self._batch, changes)

        def with_tombstones(rows: pa.RecordBatch) -> pa.RecordBatch:
            empty = rows.column("value").is_null()
            done = self._batch(rows.filter(pc.invert(empty)))
            joined = pa.Table.from_batches([done, rows.filter(empty)])
            return completed(joined, rows, _REASON)

        return apply_halving(with_tombstones, changes)

    def _batch(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        if not rows.num_rows:
            return rows
        self._show([rows])
        try:
            given = self._connection.sql(self._query).to_arrow_table()
        except self._errors as error:
            # Its text has values in it.
            raise Refused(_REASON, f"DuckDB: {type(error).__name__}") from error
        finally:
            self._connection.unregister("changes")
        done = completed(given.rename_columns(_names(given.column_names)), rows, _REASON)
        if not self._values_are_objects:
            for value in done.column("value").view(pa.binary()).to_pylist():
                if value is not None:
                    opened(value)
        return done

    def _show(self, batches: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(batches, schema=CHANGE_SCHEMA)
        names = [_OFFSET if name == "offset" else name for name in table.column_names]
        self._connection.register("changes", table.rename_columns(names))

    def _complete(self, query: str) -> tuple[str, bool]:
        """The query with its columns put in order, and whether it makes the values itself."""
        try:
            described = self._connection.sql(f"select * from (\n{query}\n)")
        except self._errors as error:
            raise InvalidTask(f"query: {error}") from error
        columns: list[str] = list(described.columns)
        if _OFFSET not in columns:
            raise InvalidTask(f"query: its result has no column {_OFFSET}; it ties rows to records")
        chosen = [_quoted(name) for name in columns if name in _TAKEN]
        others = [name for name in columns if name not in _TAKEN]
        if "value" in columns:
            if others:
                raise InvalidTask(
                    f"query: its result has a value, so {others[0]!r} is one too many"
                )
            return f"select {', '.join(chosen)} from (\n{query}\n)", False
        if others:
            members = ", ".join(f"{_literal(name)}: {_quoted(name)}" for name in others)
            chosen.append(f"to_json({{{members}}})::varchar as value")
        return f"select {', '.join(chosen)} from (\n{query}\n)", True


def _names(columns: list[str]) -> list[str]:
    return ["offset" if name == _OFFSET else name for name in columns]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _library() -> Any:
    try:
        return importlib.import_module("duckdb")
    except ImportError as error:
        raise InvalidTask(
            "transforms of kind 'sql' need the package duckdb: pip install 'cachesvc-sync[sql]'"
        ) from error


def _made(settings: SqlSettings) -> Transform:
    return _Sql(settings)


SQL = TransformKind(SqlSettings, _made)
