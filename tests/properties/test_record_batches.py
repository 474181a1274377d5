"""Records of Arrow columns become the bytes that aiokafka's builder makes of them one by one."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesvc.mining.kafka.producing import CODECS, AnyColumns, ArrowColumns, Columns, Form, encode
from cachesvc.mining.kafka.producing.arrow_encoding import encode_arrow
from cachesvc.mining.kafka.record_batches import KafkaBatch
from cachesvc.mining.kafka.stored_batch import stored_batches
from cachesvc.mining.source import SourcePartition

Row = tuple[bytes | None, bytes | None, int]

_BYTES = st.none() | st.binary(max_size=200) | st.integers(60, 20_000).map(lambda n: b"x" * n)
_TIMES = st.integers(1_700_000_000_000, 1_700_000_100_000) | st.integers(0, 1 << 61)
_ROWS = st.lists(st.tuples(_BYTES, _BYTES, _TIMES), min_size=1, max_size=300)
# As the first of a batch the builder takes -1 for a time that is not there yet.
_ANY_ROWS = st.lists(st.tuples(_BYTES, _BYTES, _TIMES | st.just(-1)), min_size=1, max_size=300)
_FORMS = st.builds(
    Form,
    codec=st.just(CODECS["none"]),
    bytes_max=st.integers(1, 70_000),
    producer_id=st.integers(-1, 1 << 40),
    producer_epoch=st.integers(-1, 1 << 14),
    is_transactional=st.booleans(),
)


def _chunked(column: list[bytes | None], cuts: list[int]) -> pa.ChunkedArray:
    """In chunks that do not begin where their buffers do."""
    ends = sorted({0, len(column), *(cut % (len(column) + 1) for cut in cuts)})
    whole = pa.array([b"before", *column], pa.binary())
    chunks = [whole.slice(1 + begin, end - begin) for begin, end in pairwise(ends)]
    return pa.chunked_array(chunks, pa.binary())


def _arrow(rows: list[Row], cuts: list[int]) -> ArrowColumns:
    keys, values, times = (list(column) for column in zip(*rows, strict=True))
    return ArrowColumns(
        _chunked(keys, cuts), _chunked(values, cuts[::-1]), np.array(times, np.int64)
    )


def _at_once(
    columns: ArrowColumns, begin: int, form: Form, sequence: int = -1
) -> tuple[bytes, int]:
    """Also of a few records, which ``encode`` makes one by one."""
    most = columns.fitting_max(begin, len(columns), form.bytes_max)
    return encode_arrow(columns, begin, most, form, sequence)


def _by_builder(columns: Columns, begin: int, end: int, form: Form, sequence: int) -> bytes:
    """Exactly these records in one batch, whatever its size."""
    data, done = encode(columns, begin, end, replace(form, bytes_max=1 << 30), sequence)
    assert done == end
    return bytes(data)


@settings(max_examples=60)
@given(_ROWS, _FORMS, st.lists(st.integers(0, 1_000), max_size=4), st.integers(0, 1 << 30))
def test_record_batches_are_those_of_the_builder(
    rows: list[Row], form: Form, cuts: list[int], sequence: int
) -> None:
    keys, values, times = (list(column) for column in zip(*rows, strict=True))
    plain, columns = Columns(keys, values, times), _arrow(rows, cuts)
    begin = 0
    while begin < len(rows):
        data, end = _at_once(columns, begin, form, sequence)
        assert data == _by_builder(plain, begin, end, form, sequence)
        assert len(data) <= form.bytes_max or end == begin + 1
        if end < len(rows):
            longer = _by_builder(plain, begin, end + 1, form, sequence)
            assert len(longer) > form.bytes_max, "as many as fit"
        begin = end


@pytest.mark.parametrize("with_headers", [False, True])
@settings(max_examples=20)
@given(rows=_ANY_ROWS, form=_FORMS)
def test_records_without_a_time_stay_without(
    with_headers: bool, rows: list[Row], form: Form
) -> None:
    keys, values, times = (list(column) for column in zip(*rows, strict=True))
    columns: AnyColumns = _arrow(rows, [])
    if with_headers:
        columns = Columns(keys, values, times, [[("h", b"1")]] * len(rows))
    begin, found = 0, []
    while begin < len(rows):
        data, end = encode(columns, begin, len(rows), form)
        found += _read(bytes(data), end - begin)
        begin = end
    assert found == rows


def _read(data: bytes, count: int) -> list[Row]:
    (chunk,) = KafkaBatch(SourcePartition("o", 0), 0, count, data).chunks(count)
    return list(zip(chunk.keys, chunk.values, chunk.timestamps_ms, strict=True))


@pytest.mark.parametrize("codec", sorted(set(CODECS.values()) - {CODECS["none"]}))
@settings(max_examples=15)
@given(rows=_ANY_ROWS, form=_FORMS)
def test_compressed_they_are_read_as_they_were(codec: int, rows: list[Row], form: Form) -> None:
    data, end = _at_once(_arrow(rows, []), 0, replace(form, codec=codec))
    plain, plain_end = _at_once(_arrow(rows, []), 0, form)
    assert end == plain_end
    assert len(data) <= len(plain), "what does not become smaller is not compressed"
    (batch,) = stored_batches(data)
    assert (batch.is_compressed, batch.is_sound) == (len(data) < len(plain), True)
    assert (batch.record_count, batch.next_offset) == (end, end)
    assert _read(data, end) == rows[:end]


def test_thousands_of_records_whose_numbers_take_more_bytes_are_those_of_the_builder() -> None:
    count = 20_000
    keys = [b"%d" % number if number % 7 else None for number in range(count)]
    values = [b"v" * (number % 300) if number % 11 else None for number in range(count)]
    times = [1_700_000_000_000 + number * number for number in range(count)]
    columns = ArrowColumns(_chunked(keys, [9, 7_000]), _chunked(values, []), np.array(times))
    plain = Columns(keys, values, times)
    for bytes_max in (64 << 20, 500_000, 20_000):
        form = Form(CODECS["none"], bytes_max, 7, 1)
        begin = 0
        while begin < count:
            data, end = encode(columns, begin, count, form, 5)
            assert data == _by_builder(plain, begin, end, form, 5)
            assert len(data) <= bytes_max
            begin = end
