"""Arrow columns into Kafka's record batches, all records of one at once.

No object is made of a record: numpy writes the numbers between keys and values, Arrow joins them.
The bytes are those that aiokafka's builder makes of the same records, one by one.
https://kafka.apache.org/documentation/#messageformat has the format.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from crc32c import crc32c

from cachesvc.mining.kafka.producing.form import Form

Numbers = np.ndarray[Any, Any]

HEADER_BYTES = 61
# Base offset, length, leader epoch, magic, checksum.
_BEFORE_CRC = struct.Struct(">qiibI")
# Attributes, last offset, first and largest timestamp, producer, its epoch, sequence, records.
_AFTER_CRC = struct.Struct(">hiqqqhii")
_LENGTH_END = 12
_NO_LEADER_EPOCH = -1
_MAGIC = 2
_TRANSACTIONAL = 0x10
_COMPRESS: Mapping[int, Callable[[bytes], bytes]] = {
    1: gzip_encode,
    2: snappy_encode,
    3: lz4_encode,
    4: zstd_encode,
}
# Attributes and the number of headers, which is 0: a byte each.
_FIXED_BYTES = 2
# Besides these five numbers of a byte at least.
_RECORD_BYTES_MIN = _FIXED_BYTES + 5
_NO_HEADERS = pa.scalar(b"\0", pa.binary())
_NOTHING = pa.scalar(b"", pa.binary())


class ArrowColumns:
    """Records without headers of one partition; ``len`` is their number.

    Args:
        keys: Binary; null where a record has no key.
        values: Binary; null for a tombstone.
        timestamps_ms: -1 where a record has none.
    """

    def __init__(
        self, keys: pa.ChunkedArray, values: pa.ChunkedArray, timestamps_ms: Numbers
    ) -> None:
        self.keys = keys
        self.values = values
        self.timestamps_ms = timestamps_ms
        self.key_sizes = _sizes(keys)
        self.value_sizes = _sizes(values)
        least = self.key_sizes.clip(0) + self.value_sizes.clip(0) + _RECORD_BYTES_MIN
        self.least_ends = least.cumsum()
        """What the records up to each take at least."""

    def __len__(self) -> int:
        return len(self.timestamps_ms)

    def fitting_max(self, begin: int, end: int, bytes_max: int) -> int:
        """How many records of ``[begin, end)`` a batch may have at most; 1 at least."""
        before = self.least_ends[begin - 1] if begin else 0
        least = self.least_ends[begin:end]
        return max(1, int(least.searchsorted(before + bytes_max - HEADER_BYTES, "right")))


def encode_arrow(
    columns: ArrowColumns, begin: int, count: int, form: Form, sequence: int
) -> tuple[bytes, int]:
    """See ``encode``; of ``count`` records, which are ``columns.fitting_max`` at most."""
    room = form.bytes_max - HEADER_BYTES
    part = slice(begin, begin + count)
    times = columns.timestamps_ms[part]
    fields = [
        _zigzag(times - times[0]),
        _zigzag(np.arange(count)),
        _zigzag(columns.key_sizes[part]),
        _zigzag(columns.value_sizes[part]),
    ]
    sizes = columns.key_sizes[part].clip(0) + columns.value_sizes[part].clip(0) + _FIXED_BYTES
    sizes += sum(_varint_sizes(field) for field in fields)
    lengths = _zigzag(sizes)
    ends = (sizes + _varint_sizes(lengths)).cumsum()
    count = max(1, int(ends.searchsorted(room, "right")))
    records = _joined(columns, begin, count, [lengths[:count], *(each[:count] for each in fields)])
    return _batch(records, times[:count], form, sequence), begin + count


def _joined(
    columns: ArrowColumns, begin: int, count: int, numbers: list[Numbers]
) -> list[memoryview]:
    """The bytes of records, one behind the other, in a few pieces."""
    length, time, offset, key_size, value_size = numbers
    attributes = np.zeros(count, np.uint64)
    joined = pc.binary_join_element_wise(
        _varints(length, attributes, time, offset, key_size),
        columns.keys.slice(begin, count),
        _varints(value_size),
        columns.values.slice(begin, count),
        _NO_HEADERS,
        _NOTHING,
        null_handling="replace",
        null_replacement="",
    )
    return [_content(chunk) for chunk in joined.chunks]


def _batch(
    records: Sequence[bytes | memoryview], times: Numbers, form: Form, sequence: int
) -> bytes:
    codec = form.codec
    if codec:
        plain = b"".join(records)
        compressed = _COMPRESS[codec](plain)
        codec = codec if len(compressed) < len(plain) else 0
        records = [compressed if codec else plain]
    attributes = codec | (_TRANSACTIONAL if form.is_transactional else 0)
    count = len(times)
    head = _AFTER_CRC.pack(
        attributes,
        count - 1,
        int(times[0]),
        int(times.max()),
        form.producer_id,
        form.producer_epoch,
        sequence,
        count,
    )
    length = HEADER_BYTES - _LENGTH_END + sum(map(len, records))
    checksum = crc32c(head)
    for piece in records:
        checksum = crc32c(piece, checksum)
    first = _BEFORE_CRC.pack(0, length, _NO_LEADER_EPOCH, _MAGIC, checksum)
    return b"".join((first, head, *records))


def _sizes(column: pa.ChunkedArray) -> Numbers:
    """Bytes of each; -1 of null."""
    sizes: Numbers = pc.binary_length(column).fill_null(-1).to_numpy().astype(np.int64)
    return sizes


def _zigzag(numbers: Numbers) -> Numbers:
    """As varints have signed numbers: 0, -1, 1, -2 become 0, 1, 2, 3."""
    signed = numbers.astype(np.int64, copy=False)
    found: Numbers = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    return found


def _varint_sizes(numbers: Numbers) -> Numbers:
    """Bytes of each, seven bits in each byte."""
    sizes = np.ones(len(numbers), np.int64)
    largest, limit = int(numbers.max()), 1 << 7
    while largest >= limit:
        sizes += numbers >= np.uint64(limit)
        limit <<= 7
    return sizes


def _varints(*fields: Numbers) -> pa.Array:
    """For each row the varints of its fields, one behind the other."""
    rows, masks = [], []
    sizes = np.zeros(len(fields[0]), np.int64)
    for field in fields:
        field_sizes = _varint_sizes(field)
        sizes += field_sizes
        width = int(field_sizes.max())
        for place in range(width):
            byte = (field >> np.uint64(7 * place)).astype(np.uint8)
            more = field_sizes > place + 1
            rows.append(byte & 0x7F | more.astype(np.uint8) << 7)
            masks.append(field_sizes > place)
    # A column for each byte; those that a row does not have are left out.
    content = np.stack(rows, 1)[np.stack(masks, 1)]
    offsets = np.zeros(len(sizes) + 1, np.int32)
    sizes.cumsum(out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(content)]
    return pa.Array.from_buffers(pa.binary(), len(sizes), buffers)


def _content(array: pa.Array) -> memoryview:
    """The bytes of all values of a binary array, one behind the other."""
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int32)
    begin, end = ends[array.offset], ends[array.offset + len(array)]
    return memoryview(data)[begin:end] if data is not None else memoryview(b"")
