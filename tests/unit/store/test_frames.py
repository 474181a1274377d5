from __future__ import annotations

import struct

import pytest
from crc32c import crc32c

from cachesvc.errors import DamagedFile
from cachesvc.store.frames import (
    FRAME_MAGIC,
    HEADER_BYTES,
    Frame,
    decode_frame,
    encode_frame,
    iterate_frames,
)
from tests.support.frames import Record, Reject, frame, full_frame, record

WITH_BOTH = frame(5, 12, [record(6), record(9)], [Reject(7), Reject(10)])
FRAMES = {
    "records": full_frame(0, 3),
    "records and rejects": WITH_BOTH,
    "rejects only": frame(5, 9, rejects=[Reject(6)]),
    "holes only": frame(5, 9),
    "no range": frame(5, 5),
    "times before 1970": frame(0, 1, [record(0, timestamp_ms=-1)]),
    "largest offset": frame(2**63 - 2, 2**63 - 1, [Record(2**63 - 2, timestamp_ms=2**63 - 1)]),
}


def encoded(each: Frame) -> bytes:
    return b"".join(encode_frame(each))


@pytest.mark.parametrize("name", FRAMES)
def test_decodes_what_was_encoded(name: str) -> None:
    data = encoded(FRAMES[name])
    assert len(data) == FRAMES[name].encoded_bytes
    assert decode_frame(memoryview(data), 0) == FRAMES[name]


def test_payloads_are_views_and_not_copies() -> None:
    data = memoryview(encoded(WITH_BOTH))
    found = decode_frame(data, 0)
    assert isinstance(found.payload, memoryview)
    assert found.payload.obj is data.obj


def test_takes_payloads_that_are_views() -> None:
    viewed = decode_frame(memoryview(encoded(WITH_BOTH)), 0)
    assert encoded(viewed) == encoded(WITH_BOTH)


def test_decodes_in_the_middle_of_a_buffer() -> None:
    data = b"before" + encoded(WITH_BOTH) + b"behind"
    assert decode_frame(memoryview(data), 6) == WITH_BOTH


def test_notices_every_flipped_bit() -> None:
    data = bytearray(encoded(WITH_BOTH))
    for number in range(8 * len(data)):
        data[number // 8] ^= 1 << number % 8
        with pytest.raises(DamagedFile):
            decode_frame(memoryview(data), 0)
        data[number // 8] ^= 1 << number % 8


def test_notices_every_cut() -> None:
    data = encoded(WITH_BOTH)
    for size in range(len(data)):
        with pytest.raises(DamagedFile, match="cut off"):
            decode_frame(memoryview(data)[:size], 0)


@pytest.mark.parametrize(
    ("begin", "bytes_", "message"),
    [
        (0, b"XDCF", "no frame at byte 0: wrong magic b'XDCF'"),
        (4, b"\0\0\0\0", "checksum of the frame at byte 0 does not hold"),
        (8, b"\xff\xff\xff\xff", "frame at byte 0 is cut off"),
        (HEADER_BYTES, b"\0", "checksum of the frame at byte 0 does not hold"),
    ],
)
def test_says_what_is_wrong(begin: int, bytes_: bytes, message: str) -> None:
    data = bytearray(encoded(WITH_BOTH))
    data[begin : begin + len(bytes_)] = bytes_
    with pytest.raises(DamagedFile) as caught:
        decode_frame(memoryview(data), 0)
    assert str(caught.value) == message


def test_refuses_a_range_that_ends_before_it_begins() -> None:
    fields = struct.pack("<IIqqqqqII", 0, 0, 9, 8, 9, 0, 0, 0, 0)
    data = FRAME_MAGIC + struct.pack("<I", crc32c(fields)) + fields
    with pytest.raises(DamagedFile, match=r"covers \[9, 8\)"):
        decode_frame(memoryview(data), 0)


def test_iterates_with_the_byte_at_which_each_begins() -> None:
    frames = [full_frame(0, 3), frame(3, 5), WITH_BOTH]
    data = memoryview(b"".join(map(encoded, frames)))
    second = frames[0].encoded_bytes
    third = second + frames[1].encoded_bytes
    assert list(iterate_frames(data)) == list(zip([0, second, third], frames, strict=True))
    assert list(iterate_frames(data, second)) == list(zip([second, third], frames[1:], strict=True))
    assert list(iterate_frames(data, len(data))) == []


def test_iterates_up_to_the_damage() -> None:
    frames = [full_frame(0, 3), full_frame(3, 6)]
    data = memoryview(b"".join(map(encoded, frames)))[:-1]
    iterator = iterate_frames(data)
    assert next(iterator) == (0, frames[0])
    with pytest.raises(DamagedFile, match=f"frame at byte {frames[0].encoded_bytes} is cut off"):
        next(iterator)
