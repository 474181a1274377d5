"""Record batches that are damaged, odd, or of a format of the past or the future."""

import json
import struct
from collections.abc import Sequence

import pytest
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

from cachesvc.errors import DataLoss
from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from tests.support.raw_records import RawBatch, RawRecord, varint
from tests.unit.mining.record_batches import (
    NO_COMPRESSION,
    PARTITION,
    chunks,
    placed,
    ranges,
    record_batch,
)


def test_damage_is_noticed_and_what_came_before_it_is_good() -> None:
    good, bad = record_batch(0, [b"{}"] * 3), bytearray(record_batch(3, [b"{}"] * 3))
    bad[-1] ^= 1
    iterator = KafkaBatch(PARTITION, 0, 6, good + bytes(bad)).chunks(3)

    assert list(next(iterator).offsets) == [0, 1, 2]
    with pytest.raises(DataLoss, match=r"orders/0 from offset 3") as raised:
        next(iterator)
    assert raised.value.reason == "SOURCE_DAMAGED"
    assert raised.value.metadata["offset"] == "3"


def test_a_bad_length_of_good_checksum_is_damage_too() -> None:
    batch = bytearray(record_batch(0, [b"{}"] * 3, compression=NO_COMPRESSION))
    struct.pack_into(">i", batch, 57, 50)

    with pytest.raises(DataLoss):
        list(KafkaBatch(PARTITION, 0, 3, placed(bytes(batch), 0)).chunks(10))


# Two records as Kafka 2.3.1 stores them with message.format.version=0.9.0: format 0, LZ4, and 0x1a
# as the checksum of the frame header, which is that of the wrong bytes.
OLD_LZ4 = bytes.fromhex(
    "000000000000000300000066bc7cd2c60003ffffffff0000005804224d1860401a4900000012000100ff1502000000"
    "5a73f1823d0000ffffffff0000004c7b226964223a322c2274657874223a226101002622227d650020000366004c2a"
    "97ba5666001f3366002d50616161227d00000000"
)


def test_lz4_in_the_oldest_record_format() -> None:
    text = "a" * 58
    (chunk,) = KafkaBatch(PARTITION, 2, 4, OLD_LZ4).chunks(10)
    assert list(chunk.offsets) == [2, 3]
    assert (chunk.base_offset, chunk.end_offset) == (2, 4)
    assert list(chunk.timestamps_ms) == [-1, -1]
    assert [value and json.loads(value) for value in chunk.values] == [
        {"id": 2, "text": text},
        {"id": 3, "text": text},
    ]
    # A fetch may begin within it.
    (chunk,) = KafkaBatch(PARTITION, 3, 4, OLD_LZ4).chunks(10)
    assert list(chunk.offsets) == [3]


def test_damage_to_lz4_in_the_oldest_record_format_is_noticed() -> None:
    for at in range(16, len(OLD_LZ4)):
        damaged = bytearray(OLD_LZ4)
        damaged[at] ^= 0x10
        with pytest.raises(DataLoss):
            list(KafkaBatch(PARTITION, 2, 4, bytes(damaged)).chunks(10))


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("compression", [0, 1])
def test_old_record_formats(magic: int, compression: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, compression, 1 << 20)
    for index in range(3):
        builder.append(index, 1_000 + index, b"k", b'{"n":%d}' % index)
    data = bytes(builder.build())

    (chunk,) = chunks(data)

    assert list(chunk.offsets) == [0, 1, 2]
    assert (chunk.base_offset, chunk.end_offset) == (0, 3)
    if magic:
        assert list(chunk.timestamps_ms) == [1_000, 1_001, 1_002]
        assert list(chunk.timestamp_types) == [0, 0, 0]
    else:
        assert list(chunk.timestamps_ms) == [-1, -1, -1]
        assert list(chunk.timestamp_types) == [-1, -1, -1]


def test_good_batches_before_a_bad_one_come_in_any_size_of_chunk() -> None:
    good, bad = record_batch(0, [b"{}"] * 3), bytearray(record_batch(3, [b"{}"] * 2))
    bad[-1] ^= 1
    iterator = KafkaBatch(PARTITION, 0, 5, good + bytes(bad)).chunks(1_000)

    assert list(next(iterator).offsets) == [0, 1, 2]
    with pytest.raises(DataLoss) as raised:
        next(iterator)
    told = raised.value.metadata
    assert (told["offset"], told["end_offset"], told["bytes"]) == ("3", "5", str(len(bad)))


def test_records_before_the_one_that_cannot_be_decoded_come() -> None:
    records = [RawRecord(b"k", b'{"n":%d}' % n) for n in range(3)]
    body = b"".join(record.encoded(n) for n, record in enumerate(records)) + varint(5) + b"\0\0"
    data = RawBatch(body, count=4).encoded()
    for records_max in (1, 2, 3, 100):
        found: list[int] = []
        iterator = KafkaBatch(PARTITION, 0, 4, data).chunks(records_max)
        while len(found) < 3:
            found += next(iterator).offsets
        assert found == [0, 1, 2]
        with pytest.raises(DataLoss) as raised:
            next(iterator)
        assert raised.value.metadata["offset"] == "3"


def test_a_length_that_cannot_be_is_told_and_not_gone_over_for_ever() -> None:
    good = record_batch(0, [b"{}"])
    for length in (-12, -1, 0, 5):
        data = good + struct.pack(">qiib", 1, length, 0, 2) + bytes(60)
        end, _ = next_fetch(data, 0)
        assert end >= 1
        with pytest.raises(DataLoss):
            list(KafkaBatch(PARTITION, 0, end, data).chunks(10))
        end, _ = next_fetch(data[len(good) :], 1)
        assert end == 2


@pytest.mark.parametrize(
    "deltas", [(0, 0, 0), (2, 1, 0), (0, 9, 1), (-4, 1, 1), (1, 1, 2), (5, 5, 5)]
)
def test_a_producers_own_numbers_count_for_nothing(deltas: Sequence[int]) -> None:
    records = [RawRecord(b"%d" % n, b"{}", offset_delta=delta) for n, delta in enumerate(deltas)]
    data = placed(RawBatch(records).encoded(), 7)

    (chunk,) = chunks(data, 7)

    assert chunk.offsets == range(7, 10)
    assert chunk.keys == [b"0", b"1", b"2"]
    assert ranges(chunks(data, 8, records_max=1)) == [(8, 9, [8]), (9, 10, [9])]


def test_attributes_of_records_mean_nothing() -> None:
    """The decoder takes those above 127 for two bytes; here it finds sense in what it gets."""
    records = [
        RawRecord(b"", b"\x02ab", [(b"", b"")], attributes=0x80),
        RawRecord(b"k", b"{}", attributes=0xFF),
    ]
    for made in (records, records[:1], [RawRecord(b"", b"{}"), records[1]]):
        (chunk,) = chunks(RawBatch(made).encoded())
        assert list(chunk.keys) == [record.key for record in made]
        assert list(chunk.values) == [record.value for record in made]


@pytest.mark.parametrize("key", [None, b"", b"\0", b"\0\0\0\x09", b"\0\x07\0\0 and more"])
def test_markers_of_unknown_kind_are_left_out(key: bytes | None) -> None:
    control = RawBatch([RawRecord(key, b"")], attributes=0x20).encoded()
    data = record_batch(0, [b"{}"]) + placed(control, 1) + record_batch(2, [b"{}"])

    assert ranges(chunks(data)) == [(0, 3, [0, 2])]


def test_a_time_of_minus_one_is_one_that_the_producer_set() -> None:
    (chunk,) = chunks(RawBatch([RawRecord(b"k", b"{}")], first_timestamp=-1).encoded())

    assert (list(chunk.timestamps_ms), list(chunk.timestamp_types)) == ([-1], [0])


def test_a_format_of_the_future_is_told() -> None:
    data = bytearray(record_batch(0, [b"{}"]))
    data[16] = 3

    with pytest.raises(DataLoss, match="record format 3"):
        list(KafkaBatch(PARTITION, 0, 1, bytes(data)).chunks(10))
