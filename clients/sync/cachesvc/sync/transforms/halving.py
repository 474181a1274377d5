"""Transforms of whole batches: which rows are at fault where one fails, and what it may give."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.sync.changes import CHANGE_SCHEMA, Changes
from cachesvc.sync.transform import RefusedRow, Transformed
from cachesvc.sync.transforms.documents import Refused

BatchFunction = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Rows of `CHANGE_SCHEMA` to such rows; raises `Refused` if it fails on any of them."""


def apply_halving(function: BatchFunction, changes: Changes) -> Transformed:
    """Applies a function to all rows at once; where it fails, to halves, down to single rows.

    So a bad row among n costs some log2(n) more calls, and the others go on. No call has two rows
    of one offset: where an earlier transform has split records, it takes several.
    """
    rows = changes.rows
    refused: list[RefusedRow] = []
    done: list[pa.RecordBatch] = []
    pending = _without_twins(rows.column("offset").to_numpy())[::-1]
    while pending:
        chosen = pending.pop()
        try:
            part = rows if len(chosen) == len(changes) else rows.take(pa.array(chosen))
            done.append(function(part))
        except Refused as refusal:
            if len(chosen) == 1:
                refused.append(RefusedRow(int(chosen[0]), refusal.reason, refusal.detail))
            else:
                middle = len(chosen) // 2
                pending += [chosen[middle:], chosen[:middle]]
    refused.sort(key=lambda each: each.row)
    return Transformed(changes.with_rows(_joined(done)), tuple(refused))


def _without_twins(offsets: "np.ndarray[Any, Any]") -> "list[np.ndarray[Any, Any]]":
    """The rows, or several parts of them, in none of which an offset is there twice."""
    if not len(offsets):
        return []
    rows = np.arange(len(offsets))
    number = rows - offsets.searchsorted(offsets)
    return [rows[number == each] for each in range(number.max() + 1)]


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of all rows, in offset order."""
    table = pa.Table.from_batches(batches, schema=CHANGE_SCHEMA).combine_chunks()
    if not table.num_rows:
        return pa.RecordBatch.from_pylist([], schema=CHANGE_SCHEMA)
    (rows,) = table.to_batches()
    offsets = rows.column("offset").to_numpy()
    if (offsets[1:] >= offsets[:-1]).all():
        return rows
    return rows.take(pa.array(np.argsort(offsets, kind="stable")))


def completed(given: pa.Table, before: pa.RecordBatch, reason: str) -> pa.RecordBatch:
    """What a function gave as rows of `CHANGE_SCHEMA`, in offset order.

    Args:
        given: Has a column ``offset``, each of which ``before`` has too; other columns of the
            schema that are missing are those of the row with that offset.
        before: The rows that the function got, offsets strictly increasing.
        reason: What to refuse the rows with.

    Raises:
        Refused: It is something else.
    """
    unknown = sorted(set(given.column_names).difference(CHANGE_SCHEMA.names))
    if unknown or "offset" not in given.column_names:
        problem = f"has a column {unknown[0]!r}" if unknown else "has no column 'offset'"
        raise Refused(reason, f"the result {problem}")
    known = before.column("offset").to_numpy()
    columns = _ordered(given, reason)
    offsets = columns["offset"].to_numpy()
    places = known.searchsorted(offsets)
    if len(offsets) and not np.array_equal(known.take(places, mode="clip"), offsets):
        raise Refused(reason, "the result has an offset that no row came with")
    source = before.take(pa.array(places, pa.int64()))
    rows = pa.RecordBatch.from_arrays(
        [columns.get(name, source.column(name)) for name in CHANGE_SCHEMA.names],
        schema=CHANGE_SCHEMA,
    )
    _check(rows, reason)
    return rows


def _ordered(given: pa.Table, reason: str) -> dict[str, pa.Array]:
    """The columns in offset order, with the types that they are to have."""
    names = given.column_names
    try:
        table = given.cast(pa.schema([CHANGE_SCHEMA.field(name) for name in names]))
    except (pa.ArrowException, ValueError) as error:
        raise Refused(reason, "the result has a column of another type, or null in one") from error
    order = np.argsort(table.column("offset").to_numpy(), kind="stable")
    table = table.take(pa.array(order, pa.int64())).combine_chunks()
    return {name: _one_chunk(table.column(name)) for name in names}


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _check(rows: pa.RecordBatch, reason: str) -> None:
    if any(rows.column(each.name).null_count for each in CHANGE_SCHEMA if not each.nullable):
        raise Refused(reason, "the result has null in a column that cannot be null")
    kept = pc.invert(rows.column("deleted"))
    if pc.any(pc.and_(kept, rows.column("value").is_null())).as_py():
        raise Refused(reason, "the result has a row without value that is no delete")
