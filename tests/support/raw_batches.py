"""Record batches by chance, of every kind that a broker may take, and what they mean.

What a batch means is what it was made of: records keep their bytes, and their offsets are those
that the broker counts them by, one after the other from the batch's first.
"""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cramjam

from tests.support.raw_records import (
    GZIP,
    LZ4,
    NONE,
    SNAPPY,
    TIMESTAMP_MS,
    ZSTD,
    RawBatch,
    RawRecord,
    lz4_frame,
    message,
    xerial,
)

_MIN, _MAX = -(1 << 63), (1 << 63) - 1
Pack = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Meant:
    """A record as whoever reads it should see it, but for its offset."""

    timestamp_ms: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What goes to a broker in one request.

    Attributes:
        data: The bytes.
        version: Of the request that takes them.
        meant: The records.
        tame: Whether librdkafka reads it too.
    """

    data: bytes
    version: int
    meant: Sequence[Meant]
    tame: bool


def _halves(data: bytes) -> tuple[bytes, bytes]:
    return data[: len(data) // 2], data[len(data) // 2 :]


def _blocks(data: bytes, size: int) -> list[bytes]:
    return [data[begin : begin + size] for begin in range(0, len(data), size)]


def _zstd(data: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(data))


def _zstd_stream(data: bytes) -> bytes:
    compressor = cramjam.zstd.Compressor()
    compressor.compress(data)
    return bytes(compressor.finish())


_SKIPPABLE = struct.pack("<II", 0x184D2A50, 3) + b"abc"
# By codec; librdkafka reads the first ones, so many as the number says.
_PACKS: dict[int, tuple[int, Sequence[Pack]]] = {
    NONE: (1, [bytes]),
    GZIP: (
        2,
        [
            gzip.compress,
            lambda data: gzip.compress(data) + bytes(7),
            lambda data: gzip.compress(data) + b"behind it",
            lambda data: b"".join(map(gzip.compress, _halves(data))),
        ],
    ),
    SNAPPY: (
        3,
        [
            lambda data: xerial(_blocks(data, 1 << 15)),
            lambda data: xerial(_blocks(data, 11)),
            lambda data: bytes(cramjam.snappy.compress_raw(data)),
            lambda data: xerial([data], (7, 7)),
            lambda data: xerial([data]) + b"abc",
            lambda data: b"".join(xerial([half]) for half in _halves(data) if half),
        ],
    ),
    LZ4: (
        2,
        [
            lambda data: lz4_frame(_blocks(data, 1 << 16)),
            lambda data: lz4_frame(_blocks(data, 13), block_size=0x70, content_size=True),
            lambda data: lz4_frame(_blocks(data, 1 << 16), checksums=True),
            lambda data: lz4_frame(_blocks(data, 1 << 16)) + b"behind it",
        ],
    ),
    ZSTD: (
        2,
        [
            _zstd,
            _zstd_stream,
            lambda data: _SKIPPABLE + _zstd(data),
            lambda data: b"".join(map(_zstd, _halves(data))),
        ],
    ),
}


class BatchMaker:
    """Makes batches; the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0

    def batch(self) -> Made:
        """One of format 2."""
        pick = self._random
        codec = pick.choice([NONE, NONE, GZIP, SNAPPY, LZ4, ZSTD])
        count = pick.choice([1, 1, 2, 3, 7, 40])
        first_ms = pick.choice([TIMESTAMP_MS] * 6 + [-1, 0, -5, 1, _MIN, _MAX])
        records = [self._record() for _ in range(count)]
        numbered = codec != NONE or pick.random() < 0.8
        if not numbered:
            records = [replace(r, offset_delta=pick.choice([0, 1, 5, -3, 9])) for r in records]
        made = RawBatch(
            records, first_timestamp=first_ms, attributes=pick.choice([0, 0, 0x40, 0x7F00])
        )
        which = 0
        tame_packs, packs = _PACKS[codec]
        if codec != NONE:
            which = pick.randrange(len(packs))
            made = made.compressed(codec, packs[which](made.body()))
        meant = [
            Meant(
                _wrapped(first_ms + record.time_delta),
                0,
                record.key,
                record.value,
                tuple((key or b"", value) for key, value in record.headers),
            )
            for record in records
        ]
        tame = (
            numbered
            and which < tame_packs
            and all(not record.attributes for record in records)
            and all(_is_text(key or b"") for record in records for key, _ in record.headers)
        )
        return Made(made.encoded(), 7 if codec == ZSTD else 3, meant, tame)

    def message_set(self, magic: int) -> Made:
        """One of an old format: messages, or one with compressed ones within."""
        pick = self._random
        codec = pick.choice([NONE, NONE, GZIP, SNAPPY, LZ4])
        records = [self._record() for _ in range(pick.choice([1, 1, 2, 5, 30]))]
        # Brokers make any negative time of format 1 a -1 where they compress anew.
        times = [max(-1, _wrapped(TIMESTAMP_MS + record.time_delta)) for record in records]
        messages = [
            message(magic, record.key, record.value, time_ms, offset=index)
            for index, (record, time_ms) in enumerate(zip(records, times, strict=True))
        ]
        data, tame = b"".join(messages), True
        if codec != NONE:
            tame_packs, packs = _PACKS[codec]
            which = pick.randrange(len(packs))
            tame = which < tame_packs and not (codec == LZ4 and magic == 0)
            packed = packs[which](data)
            if codec == LZ4 and magic == 0:
                # The format has the checksum over the wrong bytes of the header.
                packed = lz4_frame(_blocks(data, 1 << 16), header_checksum=0x1A)
            last = len(records) - 1
            data = message(magic, None, packed, max(times), attributes=codec, offset=last)
        meant = [
            Meant(time_ms if magic else -1, 0 if magic else -1, record.key, record.value)
            for record, time_ms in zip(records, times, strict=True)
        ]
        return Made(data, 2, meant, tame)

    def _record(self) -> RawRecord:
        pick = self._random
        self._number += 1
        value = pick.choice(
            [
                b'{"id":%d}' % self._number,
                b'{"id":%d,"text":"%s"}' % (self._number, b"x" * pick.randrange(3_000)),
                '{"nul":"\\u0000","é":"\u20ac"}'.encode(),
                None,
                b"",
                b"\0\xff" * 3,
                b"[]",
            ]
        )
        headers: Sequence[tuple[bytes, bytes | None]] = ()
        if pick.random() < 0.4:
            headers = [
                (pick.choice(_HEADER_KEYS), pick.choice([b"1", b"", None, b"\xff\0", b"v" * 200]))
                for _ in range(pick.choice([1, 1, 2, 5]))
            ]
        return RawRecord(
            pick.choice([None, b"", b"k", b"\xe9\0", b"key-%d" % self._number, b"K" * 300]),
            value,
            headers,
            pick.choice([0, 0, 0, 1, 1_000, -1_000, -TIMESTAMP_MS - 1, _MAX, _MIN]),
            attributes=pick.choice([0] * 12 + [1, 0x7F, 0x80, 0xFF]),
        )


_HEADER_KEYS = [
    b"source",
    b"source",
    b"",
    "clé".encode(),
    b"cl\xe9",
    b"\xff",
    b"bytes:sent",
    b"bytes:cl%E9",
    b"bytes:bytes:",
    b"nul\0",
]


def _wrapped(number: int) -> int:
    """As 64-bit arithmetic has it."""
    return (number - _MIN) % (1 << 64) + _MIN


def _is_text(data: bytes) -> bool:
    """Whether confluent-kafka gives a header's key as it is, which is C's kind of text to it."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data
