"""Decoding of what brokers send, on bytes made by aiokafka's own encoder."""

import struct

import pytest
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder

from cachesvc.mining.kafka.record_batches import KafkaBatch, next_fetch
from tests.support.raw_records import message
from tests.unit.mining.record_batches import (
    NO_COMPRESSION,
    PARTITION,
    chunks,
    marker,
    placed,
    ranges,
    record_batch,
)


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
