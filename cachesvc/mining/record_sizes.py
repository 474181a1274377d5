"""Which records are too large for the path, and what is kept of those. Pure.

A record's size is the bytes of its key, its value and its headers, as the source has them. What is
kept of one that is too large is told by ``stripped``: everything but its value and headers.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cachesvc.mining.json_rule import Reject
from cachesvc.mining.source import Headers, RecordColumns
from cachesvc.model import RejectReason

RECORD_BYTES_MAX = 128 << 20
"""Where nobody says otherwise; records up to this size pass."""

KEY_BYTES_KEPT = 64 << 10
"""Of a record that is too large a longer key is not kept either."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of one record's parts."""

    key: int
    value: int
    headers: int

    @property
    def total(self) -> int:
        """The record's size."""
        return self.key + self.value + self.headers


def headers_bytes(headers: Headers | None) -> int:
    """Bytes of a record's headers."""
    return sum(len(key) + len(value or b"") for key, value in headers or ())


def sizes_of(columns: RecordColumns, row: int) -> Sizes:
    """The sizes of one row."""
    key, value = columns.keys[row], columns.values[row]
    headers = None if columns.headers is None else columns.headers[row]
    return Sizes(len(key or b""), len(value or b""), headers_bytes(headers))


def too_large(columns: RecordColumns, bytes_max: int) -> Mapping[int, Reject]:
    """The rows that are larger than ``bytes_max``, with the rejects that they become."""
    found = {}
    for row in range(len(columns)):
        sizes = sizes_of(columns, row)
        if sizes.total > bytes_max:
            found[row] = Reject(row, RejectReason.TOO_LARGE, _detail(columns, row, sizes))
    return found


def _detail(columns: RecordColumns, row: int, sizes: Sizes) -> str:
    key, value = columns.keys[row], columns.values[row]
    parts = f"key {sizes.key}, value {sizes.value}, headers {sizes.headers}"
    text = f"{sizes.total} bytes ({parts})"
    if value is not None:
        text += f"; sha256 of the value {hashlib.sha256(value).hexdigest()}"
    if key is not None and len(key) > KEY_BYTES_KEPT:
        text += f", of the key {hashlib.sha256(key).hexdigest()[:16]}…"
    return text


def stripped(columns: RecordColumns, rows: Mapping[int, Reject]) -> RecordColumns:
    """The same records, but ``rows`` without values, headers and keys that are too long."""

    def without(column: Sequence[Any]) -> list[Any]:
        return [None if row in rows else each for row, each in enumerate(column)]

    keys = [
        None if row in rows and len(key or b"") > KEY_BYTES_KEPT else key
        for row, key in enumerate(columns.keys)
    ]
    headers = None if columns.headers is None else without(columns.headers)
    return replace(columns, keys=keys, values=without(columns.values), headers=headers)
