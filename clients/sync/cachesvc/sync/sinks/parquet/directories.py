"""Which directory a row belongs to, in Hive's manner: ``topic=orders/date=2026-11-28``."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.sync.errors import TargetFailed

NULL = "__HIVE_DEFAULT_PARTITION__"
_DIRECTORIES_MAX = 1_000
_TIMES = {"date": "%Y-%m-%d", "hour": "%Y-%m-%dT%H"}
_SEPARATOR = "\x1f"


def directories(table: pa.Table, levels: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each directory, in their order, and its path.

    Raises:
        TargetFailed: There are more directories than anybody can want.
    """
    if not levels:
        yield "", table
        return
    names, columns = zip(*(_level(table, level) for level in levels), strict=True)
    joined = pc.binary_join_element_wise(*columns, _SEPARATOR)
    values = joined.unique().to_pylist()
    if len(values) > _DIRECTORIES_MAX:
        raise TargetFailed(
            f"one delivery goes to {len(values):,} directories; sink.partitions needs columns of "
            "fewer values",
            reason="TOO_MANY_PARTITIONS",
        )
    for value in values:
        parts = zip(names, value.split(_SEPARATOR), strict=True)
        path = "/".join(f"{quote(name, safe='')}={quote(part, safe='')}" for name, part in parts)
        yield path, table.filter(pc.equal(joined, value)) if len(values) > 1 else table


def _level(table: pa.Table, level: str) -> tuple[str, pa.Array]:
    """A level's name and its value of each row."""
    if level == "topic":
        return level, _source(table, "topic")
    if level in _TIMES:
        return level, pc.strftime(_source(table, "timestamp"), format=_TIMES[level])
    column = table.column(level)
    if pa.types.is_timestamp(column.type):
        # The column stays in the files; a directory of its name would hide it.
        level, column = f"{level}_date", pc.strftime(column, format=_TIMES["date"])
    texts = pc.replace_substring(column.cast(pa.string()), _SEPARATOR, " ")
    return level, texts.fill_null(NULL)


def _source(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table.column(name if name in table.column_names else f"_{name}")
