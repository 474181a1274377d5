"""Parts of batches: up to an offset, and from one on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.mining.source import BatchPart, SourceBatch, SourcePartition
from tests.unit.mining.fake_source import FakeBatch, FakeRecord

PARTITION = SourcePartition("orders", 0)


@given(
    st.sets(st.integers(10, 60)),
    st.integers(61, 70),
    st.integers(10, 80),
    st.integers(1, 20),
)
def test_what_lies_before_the_end_is_there_and_nothing_else(
    offsets: set[int], batch_end: int, end: int, records_max: int
) -> None:
    records = [FakeRecord(at, b"{}") for at in sorted(offsets)]
    batch = BatchPart.until(FakeBatch(PARTITION, 10, batch_end, records), end)
    chunks = list(batch.chunks(records_max))
    assert [at for chunk in chunks for at in chunk.offsets] == [
        at for at in sorted(offsets) if at < end
    ]
    ends = [10, *(chunk.end_offset for chunk in chunks)]
    assert [chunk.base_offset for chunk in chunks] == ends[:-1]
    assert ends[-1] == (min(end, batch_end) if end > 10 else 10)
    for chunk in chunks:
        assert len(chunk.keys) == len(chunk.values) == len(chunk.timestamps_ms) == len(chunk)


@given(st.sets(st.integers(10, 60)), st.integers(61, 70), st.data(), st.integers(1, 20))
def test_two_parts_are_the_whole(
    offsets: set[int], batch_end: int, data: st.DataObject, records_max: int
) -> None:
    records = [FakeRecord(at, b"%d" % at) for at in sorted(offsets)]
    batch = FakeBatch(PARTITION, 10, batch_end, records)
    cut = data.draw(st.integers(11, batch_end - 1))
    parts: list[SourceBatch] = [BatchPart.until(batch, cut), BatchPart.since(batch, cut)]
    chunks = [chunk for part in parts for chunk in part.chunks(records_max)]
    assert [at for chunk in chunks for at in chunk.offsets] == sorted(offsets)
    assert [value for chunk in chunks for value in chunk.values] == [
        b"%d" % at for at in sorted(offsets)
    ]
    ends = [10, *(chunk.end_offset for chunk in chunks)]
    assert [chunk.base_offset for chunk in chunks] == ends[:-1]
    assert cut in ends
    assert ends[-1] == batch_end
