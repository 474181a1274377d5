"""Any records come back from frames, journals and segments as they were."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cachesvc.client.payload import ParquetPayload
from cachesvc.errors import DamagedFile
from cachesvc.model import Segment
from cachesvc.store import layout
from cachesvc.store.frames import Frame, decode_frame, encode_frame
from cachesvc.store.journal import JournalFile, read_frames
from cachesvc.store.merging import merge_segments
from cachesvc.store.recoding import first_offset_at, slice_frame, split_frame
from cachesvc.store.segments import read_table
from tests.support.frames import (
    ORDERS,
    Headers,
    Record,
    Reject,
    assert_contiguous,
    frame,
    read_segment,
    records_of,
    rejects_of,
    row_group_files,
    seal,
    table_records,
    table_rejects,
    write_journal,
)

int64s = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
headers: st.SearchStrategy[Headers | None] = st.none() | st.lists(
    st.tuples(texts, st.none() | st.binary(max_size=5)), max_size=3
).map(tuple)


@st.composite
def frames(draw: st.DrawFn, base: int = 0) -> list[Frame]:
    """Frames that continue each other, with holes, tombstones and rejects."""
    found: list[Frame] = []
    for _ in range(draw(st.integers(1, 5))):
        rows: list[Record] = []
        rejects: list[Reject] = []
        length = draw(st.integers(1, 8))
        for offset in range(base, base + length):
            key, time_ms = draw(st.none() | st.binary(max_size=5)), draw(int64s)
            match draw(st.sampled_from(["record", "record", "hole", "reject"])):
                case "record":
                    value = draw(st.none() | texts)
                    kind = draw(st.integers(0, 1))
                    rows.append(Record(offset, value, key, time_ms, draw(headers), kind))
                case "reject":
                    value_ = draw(st.none() | st.binary(max_size=20))
                    rejects.append(Reject(offset, value_, "X", draw(texts), key, time_ms))
        found.append(frame(base, base + length, rows, rejects))
        base += length
    return found


@settings(deadline=None)
@given(frames())
def test_frames_as_bytes(listed: list[Frame]) -> None:
    for each in listed:
        data = memoryview(b"".join(encode_frame(each)))
        assert decode_frame(data, 0) == each


@settings(deadline=None)
@given(frames(), st.data())
def test_parts_of_frames(listed: list[Frame], data: st.DataObject) -> None:
    for each in listed:
        begin = data.draw(st.integers(each.base_offset, each.end_offset - 1))
        end = data.draw(st.integers(begin + 1, each.end_offset))
        part = slice_frame(each, begin, end)
        assert_contiguous([part], begin, end)
        assert records_of([part]) == [
            row for row in records_of([each]) if begin <= row.offset < end
        ]
        if each.record_count:
            pieces = split_frame(each, data.draw(st.integers(1, 10)))
            assert_contiguous(pieces, each.base_offset, each.end_offset)
            assert records_of(pieces) == records_of([each])


@settings(deadline=None)
@given(frames(), int64s, st.integers(0, 40))
def test_the_first_record_at_a_time(
    listed: list[Frame], timestamp_ms: int, from_offset: int
) -> None:
    young = (
        row.offset
        for row in records_of(listed)
        if row.timestamp_ms >= timestamp_ms and row.offset >= from_offset
    )
    assert first_offset_at(listed, timestamp_ms, from_offset) == next(young, None)


@settings(max_examples=60, deadline=None)
@given(frames(), st.floats(0, 1))
def test_a_torn_journal(listed: list[Frame], where: float) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"{0:020}.journal"
        write_journal(path, listed).close()
        size = path.stat().st_size
        header = size - sum(each.encoded_bytes for each in listed)
        data = path.read_bytes()[: header + int(where * (size - header))]
        path.write_bytes(data)
        journal, damage = JournalFile.recover(path, ORDERS)
        journal.close()
        index = journal.index
        kept = [
            each
            for number in range(len(index.chunks))
            for each in read_frames(path, *index.extent(number))
        ]
        assert kept == listed[: len(kept)]
        assert (damage is None) == (index.file_bytes == len(data))
        assert damage is None or isinstance(damage, DamagedFile)
        assert index.end_offset == (kept[-1].end_offset if kept else 0)
        assert index.record_count == len(records_of(kept))


def _check(store: Path, segment: Segment, listed: Sequence[Frame]) -> None:
    found = read_segment(store, segment)
    assert_contiguous(found, listed[0].base_offset, listed[-1].end_offset)
    rows = records_of(listed)
    assert records_of(found) == rows
    files = [ParquetPayload(pa.py_buffer(each.payload)) for each in row_group_files(store, segment)]
    assert [
        row
        for each in files
        for batch in each.arrow_batches()
        for row in table_records(pa.Table.from_batches([batch]))
    ] == rows
    times = [row.timestamp_ms for row in rows]
    assert segment.min_timestamp_ms == min(times, default=0)
    assert segment.max_timestamp_ms == max(times, default=0)
    rejects = (
        table_rejects(read_table(store / segment.rejects_path)) if segment.rejects_path else []
    )
    assert rejects == rejects_of(listed)


@settings(max_examples=40, deadline=None)
@given(frames(), st.data())
def test_segments_and_merges(listed: list[Frame], data: st.DataObject) -> None:
    following = data.draw(frames(base=listed[-1].end_offset))
    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory)
        parts = [seal(store, listed), seal(store, following)]
        _check(store, parts[0], listed)
        _check(store, parts[1], following)
        _check(store, merge_segments(store, parts, 1, 0), [*listed, *following])
        names = {path.name for path in store.rglob("*") if path.is_file()}
        assert not [name for name in names if name.endswith(layout.TEMPORARY_SUFFIX)]
