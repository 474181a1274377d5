"""Records of a stored batch, decoded byte by byte as Kafka's own consumer does.

Ten times slower than aiokafka's compiled decoder, and for what that one refuses or gets wrong:
header keys that are not UTF-8, attributes of records beyond seven bits, unusual compression. The
rules are those of ``DefaultRecord`` and ``AbstractLegacyRecordBatch`` of Kafka's Java client.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cachesvc.mining.kafka.compression import decompressed
from cachesvc.mining.kafka.stored_batch import HEADER_V2_BYTES, StoredBatch, stored_batches

_MAGIC_MAX = 2
_LENGTH = struct.Struct(">i")
_KEY_AT = {0: 18, 1: 26}
_INT_BITS, _LONG_BITS = 32, 64
_SEVEN_BITS = 0x7F
# What `str` keeps bytes as that are not UTF-8, one by one and without loss (PEP 383).
_KEY_ERRORS = "surrogateescape"

HeaderPairs = list[tuple[str, bytes | None]]


@dataclass(slots=True)
class PlainRecord:
    """A record with the names that aiokafka's have.

    Attributes:
        headers: Of keys that are not UTF-8, the bytes that are not are lone surrogates.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: HeaderPairs


def plain_records(batch: StoredBatch) -> Iterator[PlainRecord]:
    """All records of a batch, offsets rising strictly and within its range.

    A producer may number the records of an uncompressed batch as it likes, and brokers take that
    without a look and count them by their place. A record whose number is not behind that of the
    one before, or not within the batch, gets the nearest offset that keeps the order; with no
    record missing that is the one by its place.

    Raises:
        ValueError, IndexError: The bytes are damaged; what came before is right.
        Exception: So is what is compressed.
    """
    found: Iterable[PlainRecord]
    if not 0 <= batch.magic <= _MAGIC_MAX:
        raise ValueError(f"record format {batch.magic} is not known")
    if batch.magic == _MAGIC_MAX:
        found, count = _batch_records(batch), batch.record_count
        last, end = batch.base_offset - 1, batch.next_offset
    else:
        found = list(_messages(batch))
        last, end, count = -1, found[-1].offset + 1, len(found)
    for left, record in zip(range(count, 0, -1), found, strict=True):
        record.offset = min(max(record.offset, last + 1), end - left)
        if record.offset <= last:
            raise ValueError(f"{count} records do not fit before offset {end}")
        last = record.offset
        yield record


def has_odd_attributes(batch: StoredBatch, count: int) -> bool:
    """Whether one of the first records of a batch has an attribute that is no 7-bit number.

    Raises:
        Exception: The bytes are damaged.
    """
    data, at = _payload(batch), 0
    for _ in range(count):
        size = data[at] >> 1  # of a small record; this goes over very many
        at += 1
        if data[at - 1] > _SEVEN_BITS:
            size, at = _varint(data, at - 1)
        if data[at] > _SEVEN_BITS:
            return True
        at += size
    return False


def _payload(batch: StoredBatch) -> bytes:
    data = bytes(batch.data[HEADER_V2_BYTES:])
    return decompressed(batch.codec, data) if batch.is_compressed else data


def _batch_records(batch: StoredBatch) -> Iterator[PlainRecord]:
    data, at = _payload(batch), 0
    for _ in range(batch.record_count):
        record, at = _record(batch, data, at)
        yield record
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the last record")


def _record(batch: StoredBatch, data: bytes, at: int) -> tuple[PlainRecord, int]:
    size, begin = _varint(data, at)
    time_delta, at = _varint(data, begin + 1, _LONG_BITS)  # behind attributes that mean nothing
    offset_delta, at = _varint(data, at)
    key, at = _sized(data, at)
    value, at = _sized(data, at)
    header_count, at = _varint(data, at)
    if header_count < 0:
        raise ValueError(f"a record of {header_count} headers")
    headers: HeaderPairs = []
    for _ in range(header_count):
        header_key, at = _sized(data, at)
        if header_key is None:
            raise ValueError("a header without a key")
        header_value, at = _sized(data, at)
        headers.append((header_key.decode(errors=_KEY_ERRORS), header_value))
    if at - begin != size:
        raise ValueError(f"a record of {at - begin} bytes, where it says {size}")
    timestamp = batch.max_timestamp if batch.timestamp_type else batch.first_timestamp + time_delta
    offset = batch.base_offset + offset_delta
    return PlainRecord(offset, _signed(timestamp, _LONG_BITS), key, value, headers), at


def _varint(data: bytes, at: int, bits: int = _INT_BITS) -> tuple[int, int]:
    """A number in zigzag encoding and where it ends; what goes beyond its bits is cut off."""
    found = shift = 0
    while True:
        byte = data[at]
        at += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift >= bits + 3:  # 5 bytes at most, or 10
            raise ValueError("a number that does not end")
    found &= (1 << bits) - 1
    return found >> 1 ^ -(found & 1), at


def _sized(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Bytes behind their size, None for a negative one; and where they end."""
    size, at = _varint(data, at)
    if size < 0:
        return None, at
    end = at + size
    if end > len(data):
        raise IndexError(f"{size} bytes where {len(data) - at} are left")
    return data[at:end], end


def _signed(number: int, bits: int) -> int:
    """The number as two's complement of so many bits, as Java's arithmetic has it."""
    half = 1 << bits - 1
    return (number + half) % (2 * half) - half


def _messages(batch: StoredBatch) -> Iterator[PlainRecord]:
    """The message, or those within. Within format 1 offsets are relative, to the last one's."""
    if not batch.is_compressed:
        yield _message(batch, batch.base_offset, batch.first_timestamp)
        return
    _, value = _key_and_value(batch)
    if value is None:
        raise ValueError("a compressed message without a value")
    within = list(stored_batches(decompressed(batch.codec, value)))
    if not within:
        raise ValueError("a compressed message without messages")
    base = max(0, batch.base_offset - within[-1].base_offset) if batch.magic else 0
    for each in within:
        if each.is_compressed or each.magic != batch.magic:
            raise ValueError("a compressed message within another, or of another format")
        by_broker = batch.timestamp_type == 1
        timestamp = batch.first_timestamp if by_broker else each.first_timestamp
        yield _message(each, base + each.base_offset, timestamp)


def _message(stored: StoredBatch, offset: int, timestamp: int) -> PlainRecord:
    return PlainRecord(offset, timestamp, *_key_and_value(stored), [])


def _key_and_value(stored: StoredBatch) -> tuple[bytes | None, bytes | None]:
    parts: list[bytes | None] = []
    at = _KEY_AT[stored.magic]
    for _ in range(2):
        (size,) = _LENGTH.unpack_from(stored.data, at)
        at += _LENGTH.size
        if size > len(stored.data) - at:
            raise IndexError(f"{size} bytes where {len(stored.data) - at} are left")
        parts.append(None if size < 0 else bytes(stored.data[at : at + size]))
        at += max(size, 0)
    key, value = parts
    return key, value
