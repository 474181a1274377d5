"""Compressed bytes as brokers take them and aiokafka does not."""

import gzip
import struct

import cramjam
import pytest

from cachesvc.mining.kafka.compression import GZIP, LZ4, SNAPPY, ZSTD, decompressed
from tests.support.raw_records import lz4_frame, xerial

TEXT = b"some text, some text, " * 5_000
LZ4_BLOCKS = [b"a" * 1_000, bytes(range(256)), b"b"]


def _zstd(data: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(data))


@pytest.mark.parametrize("data", [b"", b"a", TEXT])
@pytest.mark.parametrize("behind", [b"", b"garbage", bytes(9), b"\x1f\x8b\x08\0 no member"])
def test_gzip_with_something_behind_it(data: bytes, behind: bytes) -> None:
    assert decompressed(GZIP, gzip.compress(data) + behind) == data


def test_gzip_of_several_members() -> None:
    members = [gzip.compress(part) for part in (b"one, ", b"", b"two")]
    assert decompressed(GZIP, b"".join(members)) == b"one, two"


@pytest.mark.parametrize("versions", [(1, 1), (1, 0), (2, 1), (9, 9)])
def test_snappy_framing_of_any_version(versions: tuple[int, int]) -> None:
    framed = xerial([TEXT[:5], TEXT[5:]], versions)
    assert decompressed(SNAPPY, framed) == TEXT
    assert decompressed(SNAPPY, framed + framed + b"abc") == TEXT + TEXT
    assert decompressed(SNAPPY, xerial([], versions)) == b""


def test_snappy_without_framing() -> None:
    assert decompressed(SNAPPY, bytes(cramjam.snappy.compress_raw(TEXT))) == TEXT


@pytest.mark.parametrize("block_size", [0x40, 0x50, 0x60, 0x70])
@pytest.mark.parametrize("content_size", [False, True])
@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("behind", [b"", b"garbage"])
def test_lz4_with_checksums_that_nobody_looks_at(
    block_size: int, content_size: bool, checksums: bool, behind: bytes
) -> None:
    frame = lz4_frame(
        LZ4_BLOCKS, block_size=block_size, content_size=content_size, checksums=checksums
    )
    assert decompressed(LZ4, frame + behind) == b"".join(LZ4_BLOCKS)


def test_zstd_of_several_frames_and_of_unknown_size() -> None:
    compressor = cramjam.zstd.Compressor()
    compressor.compress(b"streamed, ")
    streamed = bytes(compressor.finish())
    skippable = struct.pack("<II", 0x184D2A50, 2) + b"xx"
    assert decompressed(ZSTD, streamed + skippable + _zstd(b"whole")) == b"streamed, whole"


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (GZIP, b"no gzip"),
        (GZIP, gzip.compress(TEXT)[:-9]),
        (SNAPPY, xerial([TEXT])[:-1]),
        (SNAPPY, xerial([TEXT]) + struct.pack(">i", -5) + bytes(9)),
        (LZ4, b"no frame"),
        (LZ4, lz4_frame([TEXT])[:-1]),
        (LZ4, lz4_frame([TEXT], block_size=0x10)),
        (ZSTD, _zstd(TEXT)[:-1]),
        (5, b""),
    ],
)
def test_damage(codec: int, data: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - of which kind is the decoder's matter
        decompressed(codec, data)
