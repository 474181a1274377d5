"""What a delivery becomes: columns of records for each partition of the target. No I/O.

Order is kept per partition of the source: its records go to each partition of the target in the
order in which they came.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.client import Header
from cachesvc.mining.kafka.producing import AnyColumns, ArrowColumns, Columns, Part, TargetTopic
from cachesvc.mining.source import SourcePartition
from cachesvc.sync.changes import Changes
from cachesvc.sync.errors import Refusal, TargetFailed
from cachesvc.sync.sink import Delivery
from cachesvc.sync.sinks.kafka.partitioning import partitions_of

# Lengths and numbers of a record, and the header of the batch that it is in alone.
_OVERHEAD_BYTES = 128
_BINARY = pa.binary()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of one of a delivery's changes; ``places`` says which, None for all of them."""

    changes: int
    rows: pa.RecordBatch
    places: Any = None

    def place(self, row: int) -> int:
        return row if self.places is None else int(self.places[row])


@dataclass(frozen=True, slots=True)
class Plan:
    """Parts for the producer, and where their rows come from.

    Attributes:
        parts: None without records.
        pieces: Of each part, in order.
    """

    parts: list[Part]
    pieces: list[list[_Piece]]

    def origin(self, part: int, row: int) -> tuple[int, int]:
        """Which of the delivery's changes a row of a part is of, and which of its rows."""
        for piece in self.pieces[part]:
            if row < piece.rows.num_rows:
                return piece.changes, piece.place(row)
            row -= piece.rows.num_rows
        raise IndexError(row)


def plan(
    delivery: Delivery,
    topics: Mapping[str, TargetTopic],
    *,
    by_key: bool,
    timestamp_ms: int | None,
) -> Plan:
    """Parts of a delivery. CPU work.

    Args:
        delivery: What is to be written.
        topics: The target of each topic of the source.
        by_key: Whether keys choose the partition, or the source's number does.
        timestamp_ms: Instead of the records' own.

    Raises:
        TargetFailed: The target has no partition of that number.
    """
    pieces: defaultdict[SourcePartition, list[_Piece]] = defaultdict(list)
    for number, changes in enumerate(delivery.changes):
        if not len(changes):
            continue
        target = topics[changes.source.topic]
        if by_key:
            for chosen, piece in _split(number, changes, target):
                pieces[SourcePartition(target.name, chosen)].append(piece)
        else:
            _check_partition(changes, target)
            partition = SourcePartition(target.name, changes.source.partition)
            pieces[partition].append(_Piece(number, changes.rows))
    parts = [
        Part(partition, columns_of([piece.rows for piece in each], timestamp_ms))
        for partition, each in pieces.items()
    ]
    return Plan(parts, list(pieces.values()))


def _split(number: int, changes: Changes, target: TargetTopic) -> list[tuple[int, _Piece]]:
    """The rows of changes, by the partition that their key means."""
    rows, count = changes.rows, target.partitions
    without_key = changes.source.partition % count
    keys = rows.column("key")
    if count == 1 or keys.null_count == len(keys):
        return [(without_key, _Piece(number, rows))]
    partitions = partitions_of(keys, count, without_key).to_numpy().astype(np.int64)
    order = np.argsort(partitions, kind="stable")
    begins = np.flatnonzero(np.diff(partitions[order], prepend=-1)).tolist()
    sorted_rows = rows.take(pa.array(order))
    found = []
    for begin, end in pairwise([*begins, len(order)]):
        piece = _Piece(number, sorted_rows.slice(begin, end - begin), order[begin:end])
        found.append((int(partitions[order[begin]]), piece))
    return found


def _check_partition(changes: Changes, target: TargetTopic) -> None:
    number = changes.source.partition
    if number >= target.partitions:
        raise TargetFailed(
            f"topic {target.name} has {target.partitions} partitions, and {changes.source.topic} a "
            f"partition {number}; give the target as many (kafka-topics --alter --partitions …), "
            'or set partitioner = "key"',
            reason="PARTITION_MISSING",
        )


def columns_of(batches: list[pa.RecordBatch], timestamp_ms: int | None = None) -> AnyColumns:
    """Rows as records; a delete is a tombstone, whatever is known of the row that is gone.

    Args:
        batches: Of ``CHANGE_SCHEMA``.
        timestamp_ms: Instead of the records' own.
    """
    table = pa.Table.from_batches(batches)
    deleted = table.column("deleted")
    keys, values = table.column("key"), table.column("value").cast(_BINARY)
    if pc.any(pc.and_(deleted, values.is_valid())).as_py():
        values = pc.if_else(deleted, pa.scalar(None, _BINARY), values)
    times = table.column("timestamp").cast(pa.int64()).to_numpy()
    if timestamp_ms is not None:
        times = np.full(len(times), timestamp_ms)
    headers = _headers(table.column("headers"))
    if headers is None:
        return ArrowColumns(keys, values, times)
    return Columns(keys.to_pylist(), values.to_pylist(), times.tolist(), headers)


def _headers(column: pa.ChunkedArray) -> list[list[tuple[str, bytes | None]]] | None:
    if not pc.sum(pc.list_value_length(column)).as_py():
        return None
    return [
        [
            # As bytes once they are; ``Header`` knows the texts that stand for others.
            (header_key(header["key"], header["value"]), header["value"])
            for header in headers or ()
        ]
        for headers in column.to_pylist()
    ]


def header_key(text: str, value: bytes | None) -> str:
    """A header's key as ``Columns`` has it, of the text that stands for it."""
    if not text.startswith("bytes:"):
        return text
    return Header(text, value).key_bytes.decode(errors="surrogateescape")


def known_refusals(delivery: Delivery, topics: Mapping[str, TargetTopic]) -> list[Refusal]:
    """Records that the topics' own settings say are refused, before anything is written.

    A record that is larger than the topic takes is only among the suspects where it may be
    compressed: see ``suspects``.
    """
    refusals = []
    for number, changes in enumerate(delivery.changes):
        if not len(changes):
            continue
        target = topics[changes.source.topic]
        keys = changes.rows.column("key")
        if target.compacted and keys.null_count:
            detail = f"topic {target.name} is compacted and takes no record without a key"
            refusals += [
                Refusal(number, int(row), "INVALID_RECORD", detail)
                for row in np.flatnonzero(keys.is_null().to_numpy(zero_copy_only=False))
            ]
    return refusals


def suspects(delivery: Delivery, topics: Mapping[str, TargetTopic]) -> list[tuple[int, int]]:
    """Changes and row of records that are larger than their topic takes, unless compressed."""
    found: list[tuple[int, int]] = []
    for number, changes in enumerate(delivery.changes):
        limit = topics[changes.source.topic].bytes_max if len(changes) else None
        if limit is None:
            continue
        sizes = _sizes(changes.rows)
        found += [(number, int(row)) for row in np.flatnonzero(sizes > limit - _OVERHEAD_BYTES)]
    return found


def _sizes(rows: pa.RecordBatch) -> Any:
    sizes = [
        pc.binary_length(rows.column(name)).fill_null(0).to_numpy().astype(np.int64)
        for name in ("key", "value")
    ]
    return sizes[0] + sizes[1]
