"""Decoding of what brokers send, on bytes made by aiokafka's own encoder."""

import json
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from crc32c import crc32c

from cachesvc.errors import DataLoss
from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from cachesvc.mining.source import RecordColumns, SourcePartition
from tests.support.raw_records import RawBatch, RawRecord, message, varint

PARTITION = SourcePartition("orders", 0)
NO_PRODUCER = -1
ZSTD, NO_COMPRESSION = 4, 0


def record_batch(
    first: int,
    values: Sequence[bytes | None],
    *,
    offsets: Sequence[int] | None = None,
    end: int | None = None,
    producer: int = NO_PRODUCER,
    compression: int = ZSTD,
    headers: Sequence[Any] = (),
    epoch: int = -1,
) -> bytes:
    """One batch as a broker stores it, at ``first``; ``end`` leaves a hole behind its records."""
    builder = DefaultRecordBatchBuilder(
        2, compression, int(producer != NO_PRODUCER), producer, 0, 0, 1 << 30
    )
    for index, value in enumerate(values):
        offset = index if offsets is None else offsets[index] - first
        builder.append(offset, 1_000 + index, b"k%d" % index, value, list(headers))
    made = placed(bytes(builder.build()), first, None if end is None else end - first - 1)
    return made[:12] + struct.pack(">i", epoch) + made[16:]


def placed(batch: bytes, first: int, last_delta: int | None = None, control: bool = False) -> bytes:
    """The batch at another base offset, its checksum made good."""
    changed = bytearray(batch)
    struct.pack_into(">q", changed, 0, first)
    if last_delta is not None:
        struct.pack_into(">i", changed, 23, last_delta)
    if control:
        attributes = struct.unpack_from(">h", changed, 21)[0]
        struct.pack_into(">h", changed, 21, attributes | 0x20)
    struct.pack_into(">I", changed, 17, crc32c(bytes(changed[21:])))
    return bytes(changed)


def marker(offset: int, producer: int, *, commit: bool) -> bytes:
    builder = DefaultRecordBatchBuilder(2, NO_COMPRESSION, 1, producer, 0, -1, 1 << 20)
    builder.append(0, 1_000, struct.pack(">HH", 0, int(commit)), b"\x00" * 6, [])
    return placed(bytes(builder.build()), offset, control=True)


def chunks(
    data: bytes,
    fetch_offset: int = 0,
    records_max: int = 1_000,
    aborted: Sequence[tuple[int, int]] = (),
) -> list[RecordColumns]:
    end, _ = next_fetch(data, fetch_offset)
    return list(KafkaBatch(PARTITION, fetch_offset, end, data, aborted).chunks(records_max))


def ranges(found: Sequence[RecordColumns]) -> list[tuple[int, int, list[int]]]:
    return [(chunk.base_offset, chunk.end_offset, list(chunk.offsets)) for chunk in found]


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4])
def test_all_codecs(compression: int) -> None:
    (chunk,) = chunks(record_batch(0, [b"{}", None, b""], compression=compression))

    assert list(chunk.values) == [b"{}", None, b""]
    assert list(chunk.keys) == [b"k0", b"k1", b"k2"]
    assert list(chunk.timestamps_ms) == [1_000, 1_001, 1_002]
    assert list(chunk.timestamp_types) == [0, 0, 0]
    assert chunk.headers is None
    assert (chunk.base_offset, chunk.end_offset) == (0, 3)


def test_batches_are_joined_up_to_the_limit_and_split_at_it() -> None:
    data = b"".join(record_batch(first, [b"{}"] * 5) for first in (0, 5, 10))

    assert ranges(chunks(data, records_max=7)) == [
        (0, 7, list(range(7))),
        (7, 14, list(range(7, 14))),
        (14, 15, [14]),
    ]
    assert ranges(chunks(data, records_max=5)) == [
        (0, 5, list(range(5))),
        (5, 10, list(range(5, 10))),
        (10, 15, list(range(10, 15))),
    ]
    assert len(chunks(data, records_max=1)) == 15


def test_no_chunk_has_records_of_two_leaders() -> None:
    data = b"".join(
        record_batch(first, [b"{}"] * 5, epoch=epoch)
        for first, epoch in ((0, 3), (5, 3), (10, 7), (15, 8))
    )

    found = chunks(data, records_max=8)

    assert [(chunk.end_offset, chunk.leader_epoch) for chunk in found] == [
        (8, 3),
        (10, 3),
        (15, 7),
        (20, 8),
    ]
    assert next_fetch(data, 0) == (20, 8)
    assert next_fetch(data[:-1], 0) == (15, 7)


def test_the_old_formats_have_no_leader_epoch() -> None:
    builder = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    builder.append(0, 1_000, b"k", b"{}")
    data = bytes(builder.build())

    (chunk,) = chunks(data)

    assert (chunk.leader_epoch, next_fetch(data, 0)) == (-1, (1, -1))


def test_dense_offsets_are_a_range() -> None:
    (dense,) = chunks(record_batch(3, [b"{}"] * 4), 3)
    (holey,) = chunks(record_batch(3, [b"{}"] * 2, offsets=[3, 6]), 3)

    assert dense.offsets == range(3, 7)
    assert holey.offsets == [3, 6]


def test_a_fetch_from_the_middle_of_a_batch_leaves_out_what_lies_before() -> None:
    data = record_batch(0, [b"{}"] * 10)

    assert ranges(chunks(data, 4)) == [(4, 10, [4, 5, 6, 7, 8, 9])]
    assert ranges(chunks(data, 9, records_max=3)) == [(9, 10, [9])]


def test_holes_of_compaction_are_covered() -> None:
    data = record_batch(2, [b"{}", b"{}"], offsets=[4, 7], end=12) + record_batch(15, [b"{}"])

    assert ranges(chunks(data, 0)) == [(0, 16, [4, 7, 15])]
    assert ranges(chunks(data, 8)) == [(8, 16, [15])]


def test_a_batch_that_compaction_emptied_is_covered() -> None:
    empty = record_batch(0, [b"{}"] * 3)
    header_only = bytearray(placed(empty[:61], 0, 2))
    struct.pack_into(">i", header_only, 8, 49)
    struct.pack_into(">i", header_only, 57, 0)
    struct.pack_into(">h", header_only, 21, 0)
    data = placed(bytes(header_only), 0)

    assert ranges(chunks(data)) == [(0, 3, [])]


def test_a_batch_that_was_cut_off_waits_for_the_next_fetch() -> None:
    whole, cut = record_batch(0, [b"{}"] * 2), record_batch(2, [b"{}"] * 2)

    for length in (0, 5, 40, len(cut) - 1):
        data = whole + cut[:length]
        assert next_fetch(data, 0)[0] == 2
        assert ranges(chunks(data)) == [(0, 2, [0, 1])]
    assert next_fetch(cut[:-1], 2)[0] == 2
    assert chunks(cut[:-1], 2) == []


def test_headers_of_some_records() -> None:
    headers = [("a", b"1"), ("a", None), ("ü", b"")]
    data = record_batch(0, [b"{}"]) + record_batch(1, [b"{}"], headers=headers)

    (chunk,) = chunks(data)

    assert chunk.headers is not None
    assert [list(listed) for listed in chunk.headers] == [[], headers]


def test_committed_transactions_pass_and_their_markers_do_not() -> None:
    data = record_batch(0, [b"{}"] * 2, producer=7) + marker(2, 7, commit=True)

    assert ranges(chunks(data)) == [(0, 3, [0, 1])]


def test_aborted_transactions_are_left_out_and_covered() -> None:
    data = (
        record_batch(0, [b"{}"] * 2, producer=7)
        + record_batch(2, [b"{}"], producer=8)
        + record_batch(3, [b"{}"])
        + marker(4, 7, commit=False)
        + record_batch(5, [b"{}"], producer=7)
        + marker(6, 7, commit=True)
        + marker(7, 8, commit=True)
    )

    assert ranges(chunks(data, aborted=[(7, 0)])) == [(0, 8, [2, 3, 5])]


def test_nothing_but_an_aborted_transaction() -> None:
    data = record_batch(5, [b"{}"] * 5, producer=7) + marker(10, 7, commit=False)

    assert ranges(chunks(data, 5, aborted=[(7, 5)])) == [(5, 11, [])]


def test_a_transaction_that_began_before_the_fetch_and_one_that_aborts_twice() -> None:
    data = (
        record_batch(5, [b"{}"], producer=7)
        + marker(6, 7, commit=False)
        + record_batch(7, [b"{}"], producer=7)
        + marker(8, 7, commit=False)
    )

    assert ranges(chunks(data, 5, aborted=[(7, 7), (7, 1)])) == [(5, 9, [])]


def test_chunks_without_records_at_the_limit() -> None:
    data = record_batch(0, [b"{}"] * 4, producer=7) + marker(4, 7, commit=True)

    assert ranges(chunks(data, records_max=4)) == [(0, 4, [0, 1, 2, 3]), (4, 5, [])]


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


def test_many_small_batches_of_large_records_end_a_chunk_early() -> None:
    noise = bytes((n * 7919) % 251 for n in range(300_000))
    data = b"".join(record_batch(n, [noise], compression=NO_COMPRESSION) for n in range(8))

    found = chunks(data)

    assert [len(chunk) for chunk in found] == [4, 4]


def test_the_bytes_do_not_show_in_a_repr() -> None:
    assert "hunter2" not in repr(KafkaBatch(PARTITION, 0, 1, b"hunter2"))


def test_the_smallest_message_at_the_end_is_taken() -> None:
    data = message(0, b"k", b"{}") + message(0, None, None, offset=1)

    assert len(data) - len(message(0, b"k", b"{}")) == 26
    assert next_fetch(data, 0) == (2, -1)
    (chunk,) = chunks(data)
    assert (list(chunk.keys), list(chunk.values)) == ([b"k", None], [b"{}", None])
    assert next_fetch(data[:-1], 0) == (1, -1)


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
