"""Merging: one segment of several that follow one another, or one at a higher level, checked.

What was written is read again and compared with what was read before anybody may name it.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from cachesvc.errors import DamagedFile, ShuttingDown
from cachesvc.model import Segment
from cachesvc.store.digest import RowDigest
from cachesvc.store.parquet_file import open_parquet
from cachesvc.store.segments import check_complete, delete_files, write_segment


def merge_segments(
    store: Path,
    segments: list[Segment],
    level: int,
    now_ms: int,
    given_up: Callable[[], bool] = lambda: False,
) -> Segment:
    """Writes one segment with the records of adjacent ones. Blocking; memory bounded by row groups.

    What was written is read again, and has to have every row of the sources as it was.

    Args:
        store: The store's directory.
        segments: In offset order, each beginning where the one before it ends. A single one is
            brought to the encoding of its new level.
        level: Of the result.
        now_ms: The present.
        given_up: Asked between row groups whether to stop, from the thread that merges.

    Raises:
        DamagedFile: A source does not hold the records that the manifest says, or what was written
            is not what was read.
        ShuttingDown: It was given up; nothing is left behind.
    """
    records, rejects = RowDigest(), RowDigest()
    merged = write_segment(
        store,
        segments[0].partition,
        (segments[0].base_offset, segments[-1].end_offset),
        records.through(_all_tables([store / segment.path for segment in segments], given_up)),
        rejects.through(
            _all_tables([store / s.rejects_path for s in segments if s.rejects_path], given_up)
        ),
        now_ms=now_ms,
        level=level,
        backfilled_ms=max(segment.backfilled_ms for segment in segments),
        mined_ms=(
            min(segment.oldest_mined_ms for segment in segments),
            max(segment.newest_mined_ms for segment in segments),
        ),
    )
    check_complete(
        store,
        merged,
        sum(segment.record_count for segment in segments),
        sum(segment.reject_count for segment in segments),
    )
    try:
        _check_same(store / merged.path, records, given_up)
        if merged.rejects_path:
            _check_same(store / merged.rejects_path, rejects, given_up)
    except BaseException:
        delete_files(store, merged)
        raise
    return merged


def _check_same(path: Path, rows: RowDigest, given_up: Callable[[], bool]) -> None:
    found = RowDigest()
    for table in _all_tables([path], given_up):
        found.add(table)
    if found != rows:
        raise DamagedFile(f"{path} does not hold the rows that were written to it")


def _all_tables(paths: Iterable[Path], given_up: Callable[[], bool]) -> Iterator[pa.Table]:
    for path in paths:
        for table in _row_groups(path):
            if given_up():
                raise ShuttingDown("a merge was given up")
            yield table


def _row_groups(path: Path) -> Iterator[pa.Table]:
    with open_parquet(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, use_threads=False)
