"""Records down to the byte, as no client would write them, produced over a bare socket.

Kafka's message format documentation is what this follows: record batches (format 2) and message
sets (formats 0 and 1). Nothing is checked: what is wrong goes to the broker as it is.
"""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cramjam
from crc32c import crc32c

RawHeaders = Sequence[tuple[bytes | None, bytes | None]]

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
LOG_APPEND_TIME = 0x08
TIMESTAMP_MS = 1_700_000_000_000
_TIMEOUT_S = 30.0
_PRODUCE, _CLIENT = 0, b"raw"
_XERIAL_MAGIC = b"\x82SNAPPY\0"


def varint(number: int) -> bytes:
    """A signed number in Kafka's zigzag encoding, of up to 64 bits."""
    rest = (number << 1 ^ number >> 63) & (1 << 64) - 1
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of a batch.

    Attributes:
        time_delta: Against the batch's first timestamp.
        offset_delta: Against the batch's base offset; None for its place in the batch.
        attributes: One byte that nobody uses.
    """

    key: bytes | None = None
    value: bytes | None = None
    headers: RawHeaders = ()
    time_delta: int = 0
    offset_delta: int | None = None
    attributes: int = 0

    def encoded(self, index: int) -> bytes:
        """Its bytes as the record at that place."""
        offset_delta = index if self.offset_delta is None else self.offset_delta
        body = bytes([self.attributes]) + varint(self.time_delta) + varint(offset_delta)
        body += _sized(self.key) + _sized(self.value) + varint(len(self.headers))
        for key, value in self.headers:
            body += _sized(key) + _sized(value)
        return varint(len(body)) + body


@dataclass(frozen=True, slots=True)
class RawBatch:
    """A record batch of format 2.

    Attributes:
        records: Or their bytes, compressed or not, as they are to stand in the batch.
        first_timestamp: What the records' times are relative to.
        max_timestamp: None for what Kafka's producer writes.
        attributes: The lower three bits name the compression.
        count: Of the records, as the header says; None for the truth.
        last_delta: Offset of the last record against the first; None for the truth.
    """

    records: Sequence[RawRecord] | bytes
    first_timestamp: int = TIMESTAMP_MS
    max_timestamp: int | None = None
    attributes: int = 0
    count: int | None = None
    last_delta: int | None = None
    base_offset: int = 0

    def compressed(self, codec: int, payload: bytes) -> RawBatch:
        """The same batch with its records in this compressed form."""
        assert not isinstance(self.records, bytes)
        count = len(self.records) if self.count is None else self.count
        last = len(self.records) - 1 if self.last_delta is None else self.last_delta
        return replace(
            self,
            records=payload,
            attributes=self.attributes | codec,
            count=count,
            last_delta=last,
            max_timestamp=self._max_timestamp(),
        )

    def body(self) -> bytes:
        """The records, one behind the other."""
        if isinstance(self.records, bytes):
            return self.records
        return b"".join(record.encoded(index) for index, record in enumerate(self.records))

    def encoded(self) -> bytes:
        """The batch with its checksum."""
        listed = () if isinstance(self.records, bytes) else self.records
        count = len(listed) if self.count is None else self.count
        last = count - 1 if self.last_delta is None else self.last_delta
        times = self.first_timestamp, self._max_timestamp()
        checked = struct.pack(">hiqqqhii", self.attributes, last, *times, -1, -1, -1, count)
        checked += self.body()
        head = struct.pack(">ibI", -1, 2, crc32c(checked))
        size = len(head) + len(checked)
        return struct.pack(">qi", self.base_offset, size) + head + checked

    def _max_timestamp(self) -> int:
        if self.max_timestamp is not None:
            return self.max_timestamp
        deltas = () if isinstance(self.records, bytes) else [r.time_delta for r in self.records]
        found = self.first_timestamp + max(deltas, default=0)
        return (found + (1 << 63)) % (1 << 64) - (1 << 63)


def message(
    magic: int,
    key: bytes | None,
    value: bytes | None,
    timestamp_ms: int = TIMESTAMP_MS,
    *,
    attributes: int = 0,
    offset: int = 0,
) -> bytes:
    """A message of format 0, which has no timestamp, or 1. Compressed ones have a set as value."""
    checked = struct.pack(">bb", magic, attributes)
    if magic:
        checked += struct.pack(">q", timestamp_ms)
    for part in (key, value):
        checked += struct.pack(">i", -1 if part is None else len(part)) + (part or b"")
    body = struct.pack(">I", zlib.crc32(checked)) + checked
    return struct.pack(">qi", offset, len(body)) + body


def xerial(blocks: Iterable[bytes], versions: tuple[int, int] = (1, 1)) -> bytes:
    """Blocks in snappy-java's framing, which names its version and the oldest that reads it."""
    parts = [_XERIAL_MAGIC + struct.pack(">ii", *versions)]
    for block in blocks:
        packed = bytes(cramjam.snappy.compress_raw(block))
        parts += [struct.pack(">i", len(packed)), packed]
    return b"".join(parts)


def lz4_frame(
    blocks: Iterable[bytes],
    *,
    block_size: int = 0x40,
    content_size: bool = False,
    checksums: bool = False,
    header_checksum: int | None = None,
) -> bytes:
    """An LZ4 frame, block by block.

    Args:
        blocks: What is compressed, in pieces of at most the block size.
        block_size: The descriptor's byte for it.
        content_size: Whether the header tells the size of the whole.
        checksums: Whether there is one of the content, which is wrong: Kafka does not look at it.
        header_checksum: None for the right one.
    """
    listed = list(blocks)
    flags = 0x60 | 0x08 * content_size | 0x04 * checksums
    descriptor = bytes((flags, block_size))
    if content_size:
        descriptor += struct.pack("<Q", sum(map(len, listed)))
    if header_checksum is None:
        header_checksum = xxh32(descriptor) >> 8 & 0xFF
    parts = [struct.pack("<I", 0x184D2204), descriptor, bytes([header_checksum])]
    for block in listed:
        packed = bytes(cramjam.lz4.compress_block(block, store_size=False))
        if len(packed) >= len(block):
            parts += [struct.pack("<I", len(block) | 0x8000_0000), block]
        else:
            parts += [struct.pack("<I", len(packed)), packed]
    parts.append(bytes(4))
    if checksums:
        parts.append(b"\xde\xad\xbe\xef")
    return b"".join(parts)


def xxh32(data: bytes) -> int:
    """The xxHash of less than 16 bytes, with seed 0."""
    primes = 2_654_435_761, 2_246_822_519, 3_266_489_917, 668_265_263, 374_761_393

    def rotated(number: int, bits: int) -> int:
        number &= 0xFFFF_FFFF
        return (number << bits | number >> 32 - bits) & 0xFFFF_FFFF

    words = len(data) // 4 * 4
    found = primes[4] + len(data)
    for (word,) in struct.iter_unpack("<I", data[:words]):
        found = rotated(found + word * primes[2], 17) * primes[3]
    for byte in data[words:]:
        found = rotated(found + byte * primes[4], 11) * primes[0]
    found &= 0xFFFF_FFFF
    found = (found ^ found >> 15) * primes[1] & 0xFFFF_FFFF
    found = (found ^ found >> 13) * primes[2] & 0xFFFF_FFFF
    return found ^ found >> 16


def produce_raw(
    bootstrap: str, topic: str, data: bytes, partition: int = 0, version: int = 3
) -> tuple[int, int]:
    """Sends bytes to the leader of a partition.

    Args:
        bootstrap: The leader.
        topic: Its name.
        data: One record batch, or one message set.
        partition: Its number.
        version: Of the request: 3 takes batches of format 2, less takes message sets. From 7 on
            brokers take Zstandard.

    Returns:
        Kafka's error code, and the offset that the first record got.
    """
    body = struct.pack(">h", -1) if version >= 3 else b""
    body += struct.pack(">hii", -1, int(_TIMEOUT_S * 1000), 1) + _named(topic.encode())
    body += struct.pack(">iii", 1, partition, len(data)) + data
    request = struct.pack(">hhi", _PRODUCE, version, 1) + _named(_CLIENT) + body
    host, port = bootstrap.rsplit(":", 1)
    with socket.create_connection((host, int(port)), _TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _received(connection, 4))
        answer = _received(connection, size)
    # Correlation id, number of topics, name, number of partitions, partition.
    at = 4 + 4 + 2 + len(topic.encode()) + 4 + 4
    error_code, base_offset = struct.unpack_from(">hq", answer, at)
    return error_code, base_offset


def _received(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = connection.recv(size)
        if not part:
            raise EOFError("the broker closed the connection")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _sized(part: bytes | None) -> bytes:
    return varint(-1) if part is None else varint(len(part)) + part


def _named(text: bytes) -> bytes:
    return struct.pack(">h", len(text)) + text
