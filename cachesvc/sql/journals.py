"""The journals of a view as a stream of Arrow batches that may be read several times."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from cachesvc.sql.messages import JournalPart
from cachesvc.store.journal import read_frames
from cachesvc.store.record_schema import RECORD_SCHEMA, decode_payloads

PLACED_SCHEMA = RECORD_SCHEMA.append(pa.field("incarnation", pa.int32())).append(
    pa.field("partition", pa.int32())
)
"""Records, and where they are from."""


class JournalRecords:
    """Gives DuckDB a new stream at each scan; one piece of a journal is in memory at a time.

    Damage ends a scan, and ``failure`` says so then: DuckDB has only words of its own for it.

    Args:
        parts: What to read, in order.
    """

    def __init__(self, parts: Sequence[JournalPart]) -> None:
        self._parts = parts
        self.failure: Exception | None = None

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Begins a scan; see Arrow's PyCapsule interface."""
        reader = pa.RecordBatchReader.from_batches(PLACED_SCHEMA, self._batches())
        return reader.__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for part in self._parts:
                for begin, end in part.pieces:
                    frames = read_frames(Path(part.path), begin, end)
                    payloads = [frame.payload for frame in frames if frame.record_count]
                    for batch in decode_payloads(payloads).to_batches():
                        yield _with_place(batch, part)
        except Exception as error:
            self.failure = error
            raise


def _with_place(batch: pa.RecordBatch, part: JournalPart) -> pa.RecordBatch:
    numbers = (part.incarnation, part.partition)
    places = [pa.repeat(pa.scalar(number, pa.int32()), batch.num_rows) for number in numbers]
    return pa.RecordBatch.from_arrays([*batch.columns, *places], schema=PLACED_SCHEMA)
