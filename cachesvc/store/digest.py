"""A checksum over rows, whatever row groups, pages and encodings they lie in."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from crc32c import crc32c


class RowDigest:
    """CRC-32C of every column of the rows that went by, nested ones by their parts.

    Two sequences of rows are told apart by any value, length or null in which they differ; one
    difference in 2³² is missed. How the rows are cut into tables does not matter.
    """

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Enters rows. Blocking; lets go of the GIL for large columns."""
        self.rows += table.num_rows
        for name in table.column_names:
            for chunk in table.column(name).chunks:
                self._column(name, chunk)

    def through(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same tables, each entered on its way."""
        for table in tables:
            self.add(table)
            yield table

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowDigest) and (self.rows, self._sums) == (
            other.rows,
            other._sums,
        )

    __hash__ = None  # type: ignore[assignment]

    def _column(self, name: str, column: pa.Array) -> None:
        self._take(f"{name}?", column.is_null().cast(pa.uint8()))
        kind = column.type
        if pa.types.is_list(kind):
            self._take(f"{name}#", pc.fill_null(pc.list_value_length(column), 0))
            self._column(f"{name}.", column.flatten())
        elif pa.types.is_struct(kind):
            for field, part in zip(kind, column.flatten(), strict=True):
                self._column(f"{name}.{field.name}", part)
        elif pa.types.is_binary(kind) or pa.types.is_string(kind):
            self._take(f"{name}#", pc.fill_null(pc.binary_length(column), 0))
            self._sum(name, _bytes_of(column))
        else:
            self._take(name, pc.fill_null(column.view(_integer(kind)), 0))

    def _take(self, name: str, column: pa.Array) -> None:
        """Numbers without nulls."""
        self._sum(name, memoryview(column.to_numpy(zero_copy_only=False)).cast("B"))

    def _sum(self, name: str, data: Any) -> None:
        self._sums[name] = crc32c(data, self._sums.get(name, 0))


def _integer(kind: pa.DataType) -> pa.DataType:
    return {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]


def _bytes_of(column: pa.Array) -> memoryview:
    """The bytes of all values one after the other; a null has none."""
    if column.null_count:
        column = column.fill_null(b"" if pa.types.is_binary(column.type) else "")
    _, offsets, data = column.buffers()
    if not len(column) or data is None:
        return memoryview(b"")
    ends = np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4)
    return memoryview(data)[int(ends[0]) : int(ends[-1])]
