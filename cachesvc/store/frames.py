"""The frame: what a reader appended in one piece, and the unit of everything that follows.

A frame is a 64-byte header, a payload of records and a payload of rejects (either may be empty);
``record_schema`` says what a payload is, docs/store-format.md specifies every byte. This module is
pure: bytes in, bytes out.

Invariant of a journal: frames are contiguous, ``frame.base_offset == previous.end_offset``.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crc32c import crc32c

from cachesvc.errors import DamagedFile

FRAME_MAGIC = b"CDCF"
_HEADER = struct.Struct("<4sIIIqqqqqII")
HEADER_BYTES = _HEADER.size
_CHECKED_FROM = 8
"""The checksum covers everything behind the magic and the checksum itself."""

assert HEADER_BYTES == 64


@dataclass(frozen=True, slots=True)
class Frame:
    """Records of ``[base_offset, end_offset)`` of one partition, encoded.

    Attributes:
        base_offset: Begin of the covered range.
        end_offset: End of the covered range, the position after the frame.
        first_offset: Offset of the first record; ``end_offset`` without records, ``base_offset``
            where there are some that a filter leaves out unread.
        min_timestamp_ms: Smallest record timestamp; 0 without records.
        max_timestamp_ms: Largest record timestamp; 0 without records.
        record_count: Records in ``payload``.
        reject_count: Records in ``rejects``.
        payload: One encapsulated Arrow record batch message; empty without records.
        rejects: The same of the reject schema; empty without rejects.
    """

    base_offset: int
    end_offset: int
    first_offset: int
    min_timestamp_ms: int
    max_timestamp_ms: int
    record_count: int
    reject_count: int
    payload: bytes | memoryview
    rejects: bytes | memoryview = b""

    @property
    def encoded_bytes(self) -> int:
        """Bytes of this frame in a journal."""
        return HEADER_BYTES + len(self.payload) + len(self.rejects)


def encode_frame(frame: Frame) -> list[bytes | memoryview]:
    """The frame as buffers to write one after the other."""
    unchecked = _pack(frame, 0)
    checksum = crc32c(unchecked[_CHECKED_FROM:])
    checksum = crc32c(frame.payload, checksum)
    checksum = crc32c(frame.rejects, checksum)
    return [_pack(frame, checksum), frame.payload, frame.rejects]


def _pack(frame: Frame, checksum: int) -> bytes:
    return _HEADER.pack(
        FRAME_MAGIC,
        checksum,
        len(frame.payload),
        len(frame.rejects),
        frame.base_offset,
        frame.end_offset,
        frame.first_offset,
        frame.min_timestamp_ms,
        frame.max_timestamp_ms,
        frame.record_count,
        frame.reject_count,
    )


def decode_frame(buffer: memoryview, position: int) -> Frame:
    """The frame that begins at ``position`` of ``buffer``, its payloads as views into it.

    Raises:
        DamagedFile: The bytes there are not a whole, undamaged frame.
    """
    begin = position + HEADER_BYTES
    if begin > len(buffer):
        raise DamagedFile(f"frame header at byte {position} is cut off")
    fields = _HEADER.unpack_from(buffer, position)
    magic, checksum, payload_bytes, rejects_bytes, base, end = fields[:6]
    if magic != FRAME_MAGIC:
        raise DamagedFile(f"no frame at byte {position}: wrong magic {bytes(magic)!r}")
    middle, stop = begin + payload_bytes, begin + payload_bytes + rejects_bytes
    if stop > len(buffer):
        raise DamagedFile(f"frame at byte {position} is cut off")
    if crc32c(buffer[position + _CHECKED_FROM : stop]) != checksum:
        raise DamagedFile(f"checksum of the frame at byte {position} does not hold")
    if not base <= end:
        raise DamagedFile(f"frame at byte {position} covers [{base}, {end})")
    first, low, high, records, rejects = fields[6:]
    payloads = buffer[begin:middle], buffer[middle:stop]
    return Frame(base, end, first, low, high, records, rejects, *payloads)


def frame_bytes(buffer: memoryview) -> int:
    """How long the frame at the begin of ``buffer`` says that it is, right or wrong."""
    if len(buffer) < HEADER_BYTES:
        return HEADER_BYTES
    _, _, payload_bytes, rejects_bytes, *_ = _HEADER.unpack_from(buffer)
    return HEADER_BYTES + int(payload_bytes) + int(rejects_bytes)


def iterate_frames(buffer: memoryview, position: int = 0) -> Iterator[tuple[int, Frame]]:
    """All frames of ``buffer`` from ``position`` to its end, each with the byte where it begins.

    Raises:
        DamagedFile: At the first byte that is not a whole, undamaged frame; the frames before it
            have been yielded.
    """
    while position < len(buffer):
        frame = decode_frame(buffer, position)
        yield position, frame
        position += frame.encoded_bytes


def first_offset(frames: Iterable[Frame], begin: int, end: int) -> int | None:
    """About where the first record of contiguous frames within ``[begin, end)`` lies.

    Exact but for holes within a frame that begins before ``begin``; None without records.
    """
    for frame in frames:
        if begin < frame.end_offset and frame.first_offset < frame.end_offset:
            first = max(begin, frame.first_offset)
            return first if first < end else None
    return None
