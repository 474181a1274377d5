"""Makes a snapshot out of segments and the snapshot before it, in memory that is bounded.

Two passes over the files. The first reads offsets and keys alone and has DuckDB find the latest
offset of each key; what does not fit in its memory is spilled. The second reads the row groups that
have such a record, whole, and keeps those records: in offset order as they lie, so that nothing
wide is ever sorted or hashed. Values are looked at in one place only, for deletes of Debezium.

A record without a key stands for itself and stays. One whose value is null deletes its key.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.bounds import Bounds, open_duckdb
from cachesvc.errors import DamagedFile
from cachesvc.model import Snapshot
from cachesvc.snapshots.order import Order
from cachesvc.snapshots.pieces import Piece, in_order, pieces_of, read_piece
from cachesvc.store.record_schema import RECORD_SCHEMA
from cachesvc.store.snapshot_file import write_snapshot
from cachesvc.store.statements import load_statements

_SQL = load_statements("latest.sql", package="cachesvc.snapshots")
_KEYS = pa.schema([RECORD_SCHEMA.field("offset"), RECORD_SCHEMA.field("key")])
_THREADS_MAX = 4

Progress = Callable[[int, int], None]
"""Told pieces done, and pieces in total."""


def make_snapshot(order: Order, bounds: Bounds, spill: str, progress: Progress) -> Snapshot:
    """Writes a snapshot, durable and named by nobody. Blocking.

    Args:
        order: What to make.
        bounds: What it may take.
        spill: The directory of temporary files.
        progress: Is told how far it is.

    Raises:
        DamagedFile: A source does not hold what it should.
        FileNotFoundError: A source is gone.
        duckdb.OutOfMemoryException: It takes more than it may.
        OSError: The disk does not take it; nothing is left behind.
    """
    with (
        open_duckdb(bounds, spill) as connection,
        ThreadPoolExecutor(min(bounds.threads, _THREADS_MAX)) as threads,
    ):
        return _Making(order, connection, threads, bounds.threads + 1, progress).run()


class _Making:
    def __init__(
        self,
        order: Order,
        connection: "duckdb.DuckDBPyConnection",
        threads: ThreadPoolExecutor,
        ahead: int,
        progress: Progress,
    ) -> None:
        self._order = order
        self._connection = connection
        self._threads = threads
        self._ahead = ahead
        self._progress = progress
        self._pieces = _sources(order)
        self._with_unkeyed: set[int] = set()  # numbers of pieces that have records without a key
        self._done = self._read = self._found = 0
        self._failure: Exception | None = None

    def run(self) -> Snapshot:
        """See ``make_snapshot``."""
        reader = pa.RecordBatchReader.from_batches(_KEYS, self._keys())
        self._connection.register("records", reader)
        try:
            self._connection.execute(_SQL["find_latest"]).fetchall()
        except duckdb.Error:
            if self._failure is not None:  # DuckDB has only words of its own for it
                raise self._failure from None
            raise
        order = self._order
        snapshot = write_snapshot(
            Path(order.store),
            order.partition,
            (order.base_offset, order.end_offset),
            self._kept(),
            complete_from_offset=order.complete_from_offset,
            read_count=order.read_before + self._read,
            now_ms=order.now_ms,
        )
        ((latest,),) = self._connection.execute(_SQL["count_latest"]).fetchall()
        if self._found != latest:
            (Path(order.store) / snapshot.file.path).unlink()
            raise DamagedFile(
                f"{order.partition}: {latest} keys have {self._found} latest records; a file has "
                "changed meanwhile, or two have the same records"
            )
        return snapshot

    def _keys(self) -> Iterator[pa.RecordBatch]:
        """Offsets and keys of all records."""
        read = in_order(self._threads, self._ahead, _read_keys, self._pieces)
        try:
            for number, table in enumerate(read):
                if table.column("key").null_count:
                    self._with_unkeyed.add(number)
                if self._pieces[number].path != self._previous:
                    self._read += table.num_rows
                self._step()
                yield from table.to_batches()
        except Exception as error:
            self._failure = error
            raise

    @property
    def _previous(self) -> Path | None:
        order = self._order
        return Path(order.store, order.previous) if order.previous else None

    def _kept(self) -> Iterator[pa.Table]:
        """The records of the snapshot, in order."""
        read = in_order(self._threads, self._ahead, _read_latest, self._with_latest())
        for found, table in read:
            self._found += found
            self._step()
            yield self._without_deletes(table) if self._order.debezium else table

    def _with_latest(self) -> Iterator[tuple[Piece, pa.Array]]:
        """The pieces that have records of the snapshot, with the offsets of those with a key."""
        for number, piece in enumerate(self._pieces):
            latest = self._latest(piece)
            if len(latest) or number in self._with_unkeyed:
                yield piece, latest
            else:
                self._step()

    def _latest(self, piece: Piece) -> pa.Array:
        bounds = [piece.first, piece.last]
        found = self._connection.sql(_SQL["list_latest"], params=bounds).to_arrow_table()
        return found.column("offset").combine_chunks()

    def _without_deletes(self, table: pa.Table) -> pa.Table:
        self._connection.register("piece", table)
        try:
            deletes = self._connection.sql(_SQL["find_deletes"]).to_arrow_table()
        finally:
            self._connection.unregister("piece")
        gone = pc.is_in(table.column("offset"), value_set=deletes.column("offset"))
        return table.filter(pc.or_(pc.invert(gone), pc.is_null(table.column("key"))))

    def _step(self) -> None:
        self._done += 1
        self._progress(self._done, 2 * len(self._pieces))


def _sources(order: Order) -> Sequence[Piece]:
    """All that is read, in offset order."""
    store = Path(order.store)
    pieces = pieces_of(store / order.previous, 0) if order.previous else []
    for segment in order.segments:
        pieces += pieces_of(store / segment, order.read_from)
    return pieces


def _read_keys(piece: Piece) -> pa.Table:
    return pa.concat_tables(read_piece(piece, ["offset", "key"])).cast(_KEYS)


def _read_latest(wanted: tuple[Piece, pa.Array]) -> tuple[int, pa.Table]:
    """How many of the latest records are in a piece, and what of it stays."""
    piece, latest = wanted
    found = 0
    kept = []
    for table in read_piece(piece, None):
        chosen: Any = pc.is_in(table.column("offset"), value_set=latest)
        found += pc.sum(chosen).as_py() or 0
        chosen = pc.or_(chosen, pc.is_null(table.column("key")))
        kept.append(table.filter(pc.and_(chosen, pc.is_valid(table.column("value")))))
    return found, pa.concat_tables(kept)
