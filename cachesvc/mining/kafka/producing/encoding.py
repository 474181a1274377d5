"""Columns of records into Kafka's record batches.

Many of Arrow without headers at once, others one by one, by aiokafka's compiled builder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiokafka.record.default_records import (
    DefaultRecordBatchBuilder,
    _DefaultRecordBatchBuilderPy,
)

from cachesvc.mining.kafka.producing.arrow_encoding import ArrowColumns, encode_arrow
from cachesvc.mining.kafka.producing.form import Form

Headers = list[tuple[str, bytes | None]]

SEQUENCES = 1 << 31
"""Sequence numbers go on from 0 behind the last one below this."""

_MAGIC = 2
# Of fewer records it takes longer to call numpy and Arrow than to go through them.
_AT_ONCE_MIN = 1_000
# The compiled builder takes it for a first time that is not there yet, and the next one instead.
_NO_TIMESTAMP = -1
_NO_HEADERS: Headers = []


@dataclass(frozen=True, slots=True)
class Columns:
    """Records of one partition, as columns of equal length.

    Attributes:
        keys: None where a record has no key.
        values: None for a tombstone.
        timestamps_ms: -1 where a record has none.
        headers: None if no record has any. Of a key that is not UTF-8, each byte that is not is a
            lone surrogate (``surrogateescape``).
    """

    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int]
    headers: Sequence[Headers] | None = None

    def __len__(self) -> int:
        return len(self.values)


AnyColumns = Columns | ArrowColumns
"""Records of one partition, in either form."""


def encode(
    columns: AnyColumns, begin: int, end: int, form: Form, sequence: int = -1
) -> tuple[bytes, int]:
    """As many records of ``[begin, end)`` as fit, at least one. CPU work; blocks.

    Returns:
        The record batch, and the row behind the last one in it.
    """
    if isinstance(columns, ArrowColumns):
        count = columns.fitting_max(begin, end, form.bytes_max)
        if count >= _AT_ONCE_MIN:
            return encode_arrow(columns, begin, count, form, sequence)
        data, done = encode(_one_by_one(columns, begin, count), 0, count, form, sequence)
        return data, begin + done
    if columns.timestamps_ms[begin] != _NO_TIMESTAMP:
        try:
            return _encoded(DefaultRecordBatchBuilder, columns, begin, end, form, sequence)
        except UnicodeEncodeError:  # a header's key that is not UTF-8
            pass
    return _encoded(_PlainBuilder, columns, begin, end, form, sequence)


def _one_by_one(columns: ArrowColumns, begin: int, count: int) -> Columns:
    return Columns(
        columns.keys.slice(begin, count).to_pylist(),
        columns.values.slice(begin, count).to_pylist(),
        columns.timestamps_ms[begin : begin + count].tolist(),
    )


def _encoded(
    kind: Any, columns: Columns, begin: int, end: int, form: Form, sequence: int
) -> tuple[bytes, int]:
    builder = kind(
        _MAGIC,
        form.codec,
        form.is_transactional,
        form.producer_id,
        form.producer_epoch,
        sequence,
        form.bytes_max,
    )
    append, count = builder.append, 0
    rows = zip(
        columns.timestamps_ms[begin:end],
        columns.keys[begin:end],
        columns.values[begin:end],
        strict=True,
    )
    if columns.headers is None:
        for timestamp_ms, key, value in rows:
            if append(count, timestamp_ms, key, value, _NO_HEADERS) is None:
                break
            count += 1
    else:
        headers = islice(columns.headers, begin, end)
        for (timestamp_ms, key, value), pairs in zip(rows, headers, strict=True):
            if append(count, timestamp_ms, key, value, pairs) is None:
                break
            count += 1
    return builder.build(), begin + count


class _AnyKey(str):
    """A header's key that is encoded to the bytes that it stands for."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return super().encode(errors="surrogateescape")


class _PlainBuilder(_DefaultRecordBatchBuilderPy):
    """What the compiled builder refuses or gets wrong; encodes keys by their own method."""

    def append(
        self,
        offset: int,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        **_: Any,
    ) -> Any:
        named = [(_AnyKey(name), content) for name, content in headers]
        return super().append(offset, timestamp, key, value, named)
