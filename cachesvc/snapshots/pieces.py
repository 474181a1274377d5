"""Row groups of Parquet files, read side by side and given in order, a bounded number at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cachesvc.store.parquet_file import open_parquet

_GROUPS = 8

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Piece:
    """A few row groups of a file, which follow each other.

    Attributes:
        path: Of the file.
        groups: Their numbers.
        first: The lowest offset that counts in them.
        last: The highest offset in them.
    """

    path: Path
    groups: tuple[int, ...]
    first: int
    last: int


def pieces_of(path: Path, read_from: int) -> list[Piece]:
    """A file in pieces, without row groups that lie before an offset. Blocking; reads its footer.

    Raises:
        DamagedFile: The footer is damaged.
        FileNotFoundError: There is no such file.
    """
    with open_parquet(path) as file:
        metadata = file.metadata
        bounds = [
            metadata.row_group(number).column(0).statistics
            for number in range(metadata.num_row_groups)
        ]
        wanted = [number for number, each in enumerate(bounds) if each.max_raw >= read_from]
        return [
            Piece(
                path,
                tuple(part),
                max(read_from, bounds[part[0]].min_raw),
                bounds[part[-1]].max_raw,
            )
            for part in (wanted[at : at + _GROUPS] for at in range(0, len(wanted), _GROUPS))
        ]


def read_piece(piece: Piece, columns: list[str] | None) -> Iterator[pa.Table]:
    """The row groups of a piece, one after the other, without what lies before it. Blocking.

    Args:
        piece: Which.
        columns: Those that are wanted, with ``offset`` first; None for all.

    Raises:
        DamagedFile: A page fails its checksum.
    """
    with open_parquet(piece.path) as file:
        for number in piece.groups:
            yield _from(_read(file, number, columns), piece.first)


def _read(file: pq.ParquetFile, number: int, columns: list[str] | None) -> pa.Table:
    return file.read_row_group(number, columns=columns, use_threads=False)


def _from(table: pa.Table, offset: int) -> pa.Table:
    """Leaves out the rows before an offset; offsets rise."""
    offsets = table.column("offset")
    if not len(offsets) or offsets[0].as_py() >= offset:
        return table
    return table.filter(pc.greater_equal(offsets, offset))


def in_order(
    threads: ThreadPoolExecutor, ahead: int, work: Callable[[In], Out], items: Iterable[In]
) -> Iterator[Out]:
    """What work makes of each item, in order; at most ``ahead`` are under way or wait."""
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            waiting.append(threads.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
