"""Pieces of a task's source, made by hand."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from cachesvc.client import TopicPartition
from cachesvc.sync import CHANGE_SCHEMA, Changes
from cachesvc.sync.runner.pieces import Piece, RefusedRecord


def changes(offsets: Sequence[int], partition: int = 0, size: int = 10) -> Changes:
    """Changes whose values have about so many bytes."""
    rows = [
        {
            "offset": offset,
            "timestamp": offset,
            "timestamp_type": 0,
            "key": b"k",
            "value": '{"a":"%s"}' % ("x" * size),
            "headers": None,
            "deleted": False,
        }
        for offset in offsets
    ]
    of = TopicPartition("orders", partition, 1)
    batch = pa.RecordBatch.from_pylist(rows, schema=CHANGE_SCHEMA)
    return Changes(of, offsets[-1] + 1 if offsets else 0, batch)


def piece(
    offsets: Sequence[int], partition: int = 0, size: int = 10, refused: Iterable[int] = ()
) -> Piece:
    return Piece(
        changes(offsets, partition, size), [RefusedRecord(each, "BAD", "") for each in refused]
    )


def offsets_of(pieces: Iterable[Piece]) -> list[list[int]]:
    return [each.changes.rows.column("offset").to_pylist() for each in pieces]


def ends_of(pieces: Iterable[Piece]) -> list[int]:
    return [each.changes.next_position for each in pieces]
