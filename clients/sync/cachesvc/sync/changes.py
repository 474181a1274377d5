"""What flows through a task: changes of one partition, in columns."""

from dataclasses import dataclass, field, replace

import pyarrow as pa

from cachesvc.client import RECORD_SCHEMA, Batch, Position, TopicPartition

CHANGE_SCHEMA = RECORD_SCHEMA.append(pa.field("deleted", pa.bool_(), nullable=False))
"""The columns of `Changes.rows`: those of the client's batches, and whether a row is a delete.

``value`` is the text of a JSON object. That of a delete is null for a tombstone, or what is known
of the row that is gone, such as ``before`` of a Debezium envelope.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Changes of one partition, offsets strictly increasing. Immutable; ``len`` is that of rows.

    Rows that a transform dropped are missing, and one that it split is there several times, with
    the same offset. The position behind them stays what it is.

    Attributes:
        source: Whose records these were.
        next_position: The offset to go on at once all of this is dealt with.
        rows: Columns of `CHANGE_SCHEMA`.
    """

    source: TopicPartition
    next_position: int
    rows: pa.RecordBatch = field(repr=False)

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    @property
    def position(self) -> Position:
        """The position behind this."""
        of = self.source
        return Position(of.topic, of.partition, self.next_position, of.incarnation)

    @property
    def nbytes(self) -> int:
        """Size in memory, in bytes."""
        return int(self.rows.nbytes)

    def with_rows(self, rows: pa.RecordBatch) -> "Changes":
        """The same piece of the source with other rows."""
        return replace(self, rows=rows)

    def slice(self, begin: int, end: int) -> "Changes":
        """Rows ``[begin, end)``; the position behind them only counts with the last one."""
        next_position = self.next_position
        if end < len(self):
            next_position = self.rows.column("offset")[end].as_py()
        return Changes(self.source, next_position, self.rows.slice(begin, end - begin))


def changes_of(batch: Batch) -> Changes:
    """A batch of the client as changes; a tombstone is a delete.

    Raises:
        DamagedBatch: The bytes do not decode.
    """
    table = batch.to_arrow().combine_chunks()
    rows = (
        table.to_batches()[0]
        if table.num_rows
        else pa.RecordBatch.from_pylist([], schema=RECORD_SCHEMA)
    )
    columns = [*rows.columns, rows.column("value").is_null()]
    changes = pa.RecordBatch.from_arrays(columns, schema=CHANGE_SCHEMA)
    return Changes(batch.topic_partition, batch.next_position, changes)
