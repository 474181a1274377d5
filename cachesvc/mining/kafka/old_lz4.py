"""LZ4 in the oldest record format, which aiokafka leaves out.

Kafka before 0.10 took the checksum of an LZ4 frame's header over the wrong bytes, and brokers keep
to that in records of format 0 (KAFKA-3160, KIP-57). Everything else is as in later formats, but
that the offsets of the messages within are absolute: what is decompressed is a message set.
"""

import struct

from aiokafka.codec import lz4_decode

_MAGIC_AT, _ATTRIBUTES_AT, _KEY_AT = 16, 17, 18
_CODEC_MASK, _LZ4 = 0x07, 3
_LENGTH = struct.Struct(">i")
# Of a frame: its magic number, flags, block size, perhaps the size of the content, checksum.
_DESCRIPTOR_AT, _HAS_CONTENT_SIZE = 4, 0x08
_PRIME_1, _PRIME_2, _PRIME_3, _PRIME_4, _PRIME_5 = (
    2_654_435_761,
    2_246_822_519,
    3_266_489_917,
    668_265_263,
    374_761_393,
)


def is_old_lz4(data: bytes, position: int) -> bool:
    """Whether the message at ``position`` is of format 0 and compressed with LZ4."""
    return data[_MAGIC_AT + position] == 0 and data[_ATTRIBUTES_AT + position] & _CODEC_MASK == _LZ4


def messages_within(data: bytes, position: int) -> bytes:
    """The message set in the compressed message at ``position``.

    Raises:
        Exception: The bytes are damaged; of which kind is the decoder's matter.
    """
    (key_length,) = _LENGTH.unpack_from(data, position + _KEY_AT)
    value_at = position + _KEY_AT + _LENGTH.size + max(0, key_length)
    (value_length,) = _LENGTH.unpack_from(data, value_at)
    begin = value_at + _LENGTH.size
    found: bytes = lz4_decode(_mended(data[begin : begin + value_length]))
    return found


def _mended(frame: bytes) -> bytes:
    """A frame with the checksum that its header ought to have."""
    end = _DESCRIPTOR_AT + (10 if frame[_DESCRIPTOR_AT] & _HAS_CONTENT_SIZE else 2)
    checksum = _xxh32(frame[_DESCRIPTOR_AT:end]) >> 8 & 0xFF
    return frame[:end] + bytes([checksum]) + frame[end + 1 :]


def _xxh32(data: bytes) -> int:
    """The xxHash of less than 16 bytes, with seed 0."""
    words = len(data) // 4 * 4
    found = _PRIME_5 + len(data)
    for (word,) in struct.iter_unpack("<I", data[:words]):
        found = _rotated(found + word * _PRIME_3, 17) * _PRIME_4
    for byte in data[words:]:
        found = _rotated(found + byte * _PRIME_5, 11) * _PRIME_1
    found &= 0xFFFF_FFFF
    found = (found ^ found >> 15) * _PRIME_2 & 0xFFFF_FFFF
    found = (found ^ found >> 13) * _PRIME_3 & 0xFFFF_FFFF
    return found ^ found >> 16


def _rotated(number: int, bits: int) -> int:
    number &= 0xFFFF_FFFF
    return (number << bits | number >> 32 - bits) & 0xFFFF_FFFF
