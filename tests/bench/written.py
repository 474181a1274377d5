"""Segments of flights that are written without a broker."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pyarrow as pa

from cachesvc.model import PartitionId, Segment
from cachesvc.store.record_schema import RECORD_SCHEMA
from cachesvc.store.segments import write_segment
from tests.support.flights import flights

PARTITION = PartitionId("bench", "flights", 1, 0)
_PIECE = 50_000
# A prime, so that keys come in no order and none twice before all have come.
_STRIDE = 7_919


def write_segments(directory: Path, records: int, count: int, keys: int) -> list[Segment]:
    """Write so many adjacent segments of one partition, as sealing leaves them."""
    bounds = [records * number // count for number in range(count + 1)]
    return [write_one(directory, begin, end, keys) for begin, end in pairwise(bounds)]


def write_one(directory: Path, begin: int, end: int, keys: int) -> Segment:
    """Write the segment of a range of offsets, as sealing leaves it."""
    return write_segment(
        directory,
        PARTITION,
        (begin, end),
        _tables(begin, end, keys),
        (),
        now_ms=0,
        level=0,
        backfilled_ms=0,
        mined_ms=(0, 0),
    )


def _tables(begin: int, end: int, keys: int) -> Iterator[pa.Table]:
    events = flights(end - begin, begin)
    for base in range(begin, end, _PIECE):
        values = [value for _, value in islice(events, min(_PIECE, end - base))]
        offsets = range(base, base + len(values))
        columns = {
            "offset": offsets,
            "timestamp": offsets,
            "timestamp_type": [0] * len(values),
            "key": [b'{"id":%d}' % (offset * _STRIDE % keys) for offset in offsets],
            "value": pa.array(values, pa.binary()).cast(pa.string()),
            "headers": [None] * len(values),
        }
        yield pa.table(columns, schema=RECORD_SCHEMA)
