"""Segments and ranges as short text, so that tests read as lists of offsets."""

from __future__ import annotations

from collections.abc import Iterable

from cachesvc.model import PartitionId, Segment
from cachesvc.policy.coverage import Coverage, OffsetRange

ORDERS = PartitionId("main", "orders", 1, 0)


def segment(
    base: int,
    end: int,
    size: int,
    *,
    level: int = 0,
    partition: PartitionId = ORDERS,
    newest_ms: int = 0,
    created_ms: int = 0,
    records: int = 1,
    mined_ms: tuple[int, int] = (0, 0),
) -> Segment:
    return Segment(
        partition=partition,
        base_offset=base,
        end_offset=end,
        record_count=records,
        bytes=size,
        min_timestamp_ms=min(0, newest_ms),
        max_timestamp_ms=newest_ms,
        created_ms=created_ms,
        level=level,
        path=f"{partition.partition}/{base}-{end}.parquet",
        oldest_mined_ms=mined_ms[0],
        newest_mined_ms=mined_ms[1],
    )


def sized(*sizes: int, partition: PartitionId = ORDERS) -> list[Segment]:
    """Segments of these sizes, ten offsets each, one after another from offset 0."""
    return [
        segment(10 * number, 10 * number + 10, size, partition=partition)
        for number, size in enumerate(sizes)
    ]


def offsets(text: str) -> OffsetRange:
    """`"3-7"` is [3, 7)."""
    begin, _, end = text.partition("-")
    return OffsetRange(int(begin), int(end))


def ranges(text: str) -> list[OffsetRange]:
    """`"0-5 9-12"` is [0, 5) and [9, 12)."""
    return [offsets(part) for part in text.split()]


def cover(text: str) -> Coverage:
    return Coverage.of(ranges(text))


def shown(parts: Iterable[OffsetRange]) -> str:
    return " ".join(f"{part.begin}-{part.end}" for part in parts)
