"""Pieces of a task's source on their way: changes, what they were made of, what was refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from cachesvc.client import Position, TopicPartition
from cachesvc.sync.changes import CHANGE_SCHEMA, Changes


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that a transform cannot deal with.

    Attributes:
        offset: Which one of the piece's source.
        reason: Word in capitals.
        detail: For people.
    """

    offset: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Changes of one partition, ready for a delivery.

    Attributes:
        changes: What is to be written.
        refused: Records that a transform refused, by offset; the position of ``changes`` lies
            behind them.
        before: The rows as the source had them, of which dead letters are made; None where nothing
            has changed them.
    """

    changes: Changes
    refused: Sequence[RefusedRecord] = ()
    before: pa.RecordBatch | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.changes)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes; what both kinds of rows share is counted for each."""
        return self.changes.nbytes + (0 if self.before is None else int(self.before.nbytes))

    @property
    def original(self) -> pa.RecordBatch:
        """The rows as the source had them."""
        return self.changes.rows if self.before is None else self.before

    def cut(self, rows: int) -> tuple["Piece", "Piece"]:
        """At a row between the first and the last; rows of one offset stay together.

        Where all rows have one offset, the second is without any.
        """
        end = _between_offsets(self.changes, rows)
        first, last = self.changes.slice(0, end), self.changes.slice(end, len(self.changes))
        border = first.next_position
        head = tail = None
        if self.before is not None:
            at = int(self.before.column("offset").to_numpy().searchsorted(border))
            head, tail = self.before.slice(0, at), self.before.slice(at)
        return (
            Piece(first, [each for each in self.refused if each.offset < border], head),
            Piece(last, [each for each in self.refused if each.offset >= border], tail),
        )


def passed(position: Position) -> Piece:
    """A piece without a row: everything of a partition before ``position`` came in others."""
    source = TopicPartition(position.topic, position.partition, position.incarnation)
    rows = pa.RecordBatch.from_pylist([], schema=CHANGE_SCHEMA)
    return Piece(Changes(source, position.offset, rows))


def _between_offsets(changes: Changes, rows: int) -> int:
    """The end nearest to ``rows`` that keeps rows of one offset together; not 0."""
    offsets = changes.rows.column("offset").to_numpy()
    at = offsets[rows]
    begin = int(offsets.searchsorted(at, "left"))
    return begin or int(offsets.searchsorted(at, "right"))


def row_at(rows: pa.RecordBatch, offset: int) -> pa.RecordBatch:
    """The one row of an offset; without any where there is none."""
    offsets = rows.column("offset").to_numpy()
    begin, end = offsets.searchsorted(offset, "left"), offsets.searchsorted(offset, "right")
    return rows.slice(int(begin), min(1, int(end - begin)))
