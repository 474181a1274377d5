"""The headers of records as the column that journal, Parquet and the wire have of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.mining.source import Headers
from cachesvc.policy.sampling import SAMPLED_PATTERN, TRACE_PARENT, Producer, producers_of
from cachesvc.store.header_keys import ESCAPED_PREFIX, header_key_text
from cachesvc.store.record_schema import HEADERS_TYPE

_LOOKED_AT_MAX = 200
"""Headers of an append that are looked at one by one, of those that are worth it."""


def header_column(rows: int, headers: Sequence[Headers] | None) -> Any:
    """Null for a record without headers; a column without any header at all costs nothing.

    Keys are written as texts that stand for them (``store.header_keys``). Where all are UTF-8 that
    is what they are already, which costs no look at any single one.

    Args:
        rows: How many records there are.
        headers: Of each; None if none has any.
    """
    if headers is None or not any(headers):
        return pa.nulls(rows, HEADERS_TYPE)
    try:
        column = pa.array(_listed(headers), HEADERS_TYPE)
    except UnicodeEncodeError:  # a key that is not UTF-8
        return pa.array(_listed(_with_texts(headers)), HEADERS_TYPE)
    keys = column.flatten().field("key")
    if pc.any(pc.starts_with(keys, ESCAPED_PREFIX)).as_py():
        return pa.array(_listed(_with_texts(headers)), HEADERS_TYPE)
    return column


def producers_in(column: Any, offsets: Sequence[int]) -> Sequence[Producer]:
    """Where records were produced, as far as their headers tell: some of the spans at least.

    Args:
        column: As ``header_column`` makes it.
        offsets: Of the records.
    """
    if column.null_count == len(column):
        return ()
    entries = column.flatten()
    found = pc.indices_nonzero(pc.equal(entries.field("key"), TRACE_PARENT))
    if not len(found):
        return ()
    values = entries.field("value").take(found)
    sampled = pc.match_substring_regex(values, SAMPLED_PATTERN)
    rows = pc.list_parent_indices(column).take(found).filter(sampled)[:_LOOKED_AT_MAX]
    texts = values.filter(sampled)[:_LOOKED_AT_MAX]
    of_rows = (offsets[row] for row in rows.to_pylist())
    return producers_of(list(zip(of_rows, texts.to_pylist(), strict=True)))


def _listed(headers: Iterable[Headers]) -> list[list[dict[str, Any]] | None]:
    return [
        [{"key": key, "value": value} for key, value in pairs] if pairs else None
        for pairs in headers
    ]


def _with_texts(headers: Iterable[Headers]) -> Iterator[Headers]:
    for pairs in headers:
        yield [
            (header_key_text(key.encode(errors="surrogateescape")), value) for key, value in pairs
        ]
