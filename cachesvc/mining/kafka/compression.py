"""Decompression by the rules of Kafka's own consumer, which are those that brokers accept by.

aiokafka's decoders are faster, and stricter in places that Kafka does not look at: bytes behind the
end of a gzip or LZ4 stream, the checksum of LZ4 content, versions of snappy's framing and several
of its streams in a row. What they refuse comes here.

Kafka before 0.10 took the checksum of an LZ4 frame's header over the wrong bytes, and brokers keep
to that in messages of format 0 (KAFKA-3160, KIP-57); here no checksum of LZ4 is looked at, for that
of the record batch covers all of them.
"""

import struct
import zlib

from aiokafka.codec import lz4_decode, snappy_decode, zstd_decode

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)

_GZIP_WINDOW_BITS = 31
# snappy-java's framing: magic, version, oldest version that reads it; then blocks with their sizes.
_XERIAL_MAGIC = b"\x82SNAPPY\0"
_XERIAL_HEADER_BYTES = 16
_XERIAL_SIZE = struct.Struct(">i")
# An LZ4 frame: magic, flags, block size, perhaps the content's size, header checksum; then blocks,
# each behind its size, and a size of 0.
_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_LZ4_FLAGS_AT, _LZ4_BLOCKS_AT = 4, 7
_LZ4_HAS_CONTENT_SIZE, _LZ4_HAS_BLOCK_CHECKSUMS = 0x08, 0x10
_LZ4_CONTENT_SIZE_BYTES, _LZ4_CHECKSUM_BYTES = 8, 4
_LZ4_SIZE = struct.Struct("<I")
_LZ4_STORED = 0x8000_0000
_LZ4_END = b"\0\0\0\0"
# Headers of frames with independent blocks and nothing else, by their byte for the block size.
_LZ4_PLAIN_HEADERS = {
    size: _LZ4_MAGIC + bytes((0x60, size, checksum))
    for size, checksum in ((0x40, 0x82), (0x50, 0xFB), (0x60, 0x51), (0x70, 0x73))
}


def decompressed(codec: int, data: bytes) -> bytes:
    """What was compressed.

    Args:
        codec: Kafka's number of it.
        data: The compressed bytes.

    Raises:
        Exception: They are damaged; of which kind is the decoder's matter.
    """
    if codec == GZIP:
        return _gzip(data)
    if codec == SNAPPY:
        return _snappy(data)
    if codec == LZ4:
        return _lz4(data)
    if codec == ZSTD:
        found: bytes = zstd_decode(data)
        return found
    raise ValueError(f"there is no compression {codec}")


def _gzip(data: bytes) -> bytes:
    """All members; what lies behind one and is none ends it, as in Java's ``GZIPInputStream``."""
    parts: list[bytes] = []
    while data:
        member = zlib.decompressobj(_GZIP_WINDOW_BITS)
        try:
            part = member.decompress(data)
        except zlib.error:
            if not parts:
                raise
            break
        if not member.eof:
            if not parts:
                raise EOFError("the gzip stream is cut off")
            break
        parts.append(part)
        data = member.unused_data
    return b"".join(parts)


def _snappy(data: bytes) -> bytes:
    """Streams in snappy-java's framing, of any version, one behind the other; or a bare block."""
    if not data.startswith(_XERIAL_MAGIC) or len(data) < _XERIAL_HEADER_BYTES:
        found: bytes = snappy_decode(data)
        return found
    parts: list[bytes] = []
    at = 0
    while at + _XERIAL_SIZE.size <= len(data):
        if data.startswith(_XERIAL_MAGIC, at):
            at += _XERIAL_HEADER_BYTES
            continue
        begin = at + _XERIAL_SIZE.size
        (size,) = _XERIAL_SIZE.unpack_from(data, at)
        if not 0 < size <= len(data) - begin:
            raise ValueError(f"a snappy block of {size} bytes where {len(data) - begin} are left")
        parts.append(snappy_decode(data[begin : begin + size]))
        at = begin + size
    return b"".join(parts)


def _lz4(data: bytes) -> bytes:
    """The first frame; nobody looks at what lies behind its end."""
    if not data.startswith(_LZ4_MAGIC):
        raise ValueError("no LZ4 frame")
    flags, block_size = data[_LZ4_FLAGS_AT], data[_LZ4_FLAGS_AT + 1]
    if block_size not in _LZ4_PLAIN_HEADERS:
        raise ValueError(f"an LZ4 frame with {block_size:#x} as the size of its blocks")
    checksum_bytes = _LZ4_CHECKSUM_BYTES if flags & _LZ4_HAS_BLOCK_CHECKSUMS else 0
    at = _LZ4_BLOCKS_AT + (_LZ4_CONTENT_SIZE_BYTES if flags & _LZ4_HAS_CONTENT_SIZE else 0)
    plain = [_LZ4_PLAIN_HEADERS[block_size]]
    while (size := _LZ4_SIZE.unpack_from(data, at)[0] & ~_LZ4_STORED) != 0:
        end = at + _LZ4_SIZE.size + size
        if end > len(data):
            raise EOFError("the LZ4 frame is cut off")
        plain.append(data[at:end])
        at = end + checksum_bytes
    found: bytes = lz4_decode(b"".join((*plain, _LZ4_END)))
    return found
