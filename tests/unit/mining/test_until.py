"""Batches that end where an older range does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cachesvc.mining.source import BatchUntil, SourcePartition
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
    batch = BatchUntil(FakeBatch(PARTITION, 10, batch_end, records), end)
    chunks = list(batch.chunks(records_max))
    assert [at for chunk in chunks for at in chunk.offsets] == [
        at for at in sorted(offsets) if at < end
    ]
    ends = [10, *(chunk.end_offset for chunk in chunks)]
    assert [chunk.base_offset for chunk in chunks] == ends[:-1]
    assert ends[-1] == (min(end, batch_end) if end > 10 else 10)
    for chunk in chunks:
        assert len(chunk.keys) == len(chunk.values) == len(chunk.timestamps_ms) == len(chunk)
