"""Columns of records into Kafka's record batches, by aiokafka's compiled builder."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiokafka.record.default_records import (
    DefaultRecordBatchBuilder,
    _DefaultRecordBatchBuilderPy,
)

Headers = list[tuple[str, bytes | None]]

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""Kafka's number for each compression."""

SEQUENCES = 1 << 31
"""Sequence numbers go on from 0 behind the last one below this."""

_MAGIC = 2
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


@dataclass(frozen=True, slots=True)
class Form:
    """What all batches of a producer have in common.

    Attributes:
        codec: Kafka's number of the compression.
        bytes_max: Size of a batch before compression; a single record may be larger.
        producer_id: -1 without idempotence.
        producer_epoch: Likewise.
        is_transactional: Whether they belong to a transaction.
    """

    codec: int
    bytes_max: int
    producer_id: int = -1
    producer_epoch: int = -1
    is_transactional: bool = False


def encode(
    columns: Columns, begin: int, end: int, form: Form, sequence: int = -1
) -> tuple[bytes, int]:
    """As many records of ``[begin, end)`` as fit, at least one. CPU work; blocks.

    Returns:
        The record batch, and the row behind the last one in it.
    """
    if columns.headers is None:
        return _encoded(DefaultRecordBatchBuilder, columns, begin, end, form, sequence)
    try:
        return _encoded(DefaultRecordBatchBuilder, columns, begin, end, form, sequence)
    except UnicodeEncodeError:  # a header's key that is not UTF-8, which the compiled one refuses
        return _encoded(_AnyKeyBuilder, columns, begin, end, form, sequence)


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


class _AnyKeyBuilder(_DefaultRecordBatchBuilderPy):
    """The plain builder, which encodes keys by their own method."""

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
