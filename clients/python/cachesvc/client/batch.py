"""Batches: records of one partition, in offset order, that travel together."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cachesvc.client.errors import DamagedBatch, MissingLibrary
from cachesvc.client.payload import RECORD_SCHEMA, Payload
from cachesvc.client.positions import Position, TopicPartition
from cachesvc.client.record import Record

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Records of one partition, offsets strictly increasing. Immutable.

    Nothing is decoded before it is looked at, and nothing decoded is kept: looking twice decodes
    twice, and memory is what the caller holds on to. ``len(batch)`` is the number of records; it
    can be 0 where the source has nothing but holes.

    Attributes:
        topic_partition: Whose records these are.
        base_offset: Offset of the first record.
        next_position: The offset to go on at behind this batch; greater than the last record's, by
            more than one where the source has a hole.
        record_count: Number of records.
        payload: The records as they came.
    """

    topic_partition: TopicPartition
    base_offset: int
    next_position: int
    record_count: int
    payload: Payload = field(repr=False)

    @property
    def topic(self) -> str:
        """The topic the records belong to."""
        return self.topic_partition.topic

    @property
    def partition(self) -> int:
        """The number of the partition they belong to."""
        return self.topic_partition.partition

    @property
    def incarnation(self) -> int:
        """Which life of a topic of that name."""
        return self.topic_partition.incarnation

    @property
    def position(self) -> Position:
        """The position behind this batch: commit it once all its records are dealt with."""
        of = self.topic_partition
        return Position(of.topic, of.partition, self.next_position, of.incarnation)

    def __len__(self) -> int:
        return self.record_count

    def __iter__(self) -> Iterator[Record]:
        """The records, decoded piece by piece on the way.

        Raises:
            DamagedBatch: The bytes do not decode, or not to ``record_count`` records; what came
                before is right all the same.
        """
        return chain.from_iterable(self.pieces())

    def pieces(self) -> Iterator[list[Record]]:
        """The records as lists of a thousand or so; raises as ``__iter__`` does."""
        count = 0
        for piece in self.payload.pieces(self.topic_partition):
            count += len(piece)
            yield piece
        self._check(count)

    def records(self) -> list[Record]:
        """All records at once; raises as ``__iter__`` does."""
        return list(self)

    def arrow_batches(self) -> Iterator[pa.RecordBatch]:
        """The records as non-empty record batches; raises as ``__iter__`` does.

        Cheaper than ``to_arrow`` where each can be let go before the next.
        """
        count = 0
        for batch in self.payload.arrow_batches():
            count += batch.num_rows
            yield batch
        self._check(count)

    def to_arrow(self) -> pa.Table:
        """The records as a table with the columns of ``RECORD_SCHEMA``.

        Raises:
            DamagedBatch: The bytes do not decode, or not to ``record_count`` records.
        """
        return pa.Table.from_batches(self.arrow_batches(), schema=RECORD_SCHEMA)

    def to_pandas(self) -> "pd.DataFrame":
        """The records as a pandas data frame; raises as ``to_arrow`` does.

        Raises:
            MissingLibrary: pandas is not installed.
        """
        _library("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> "pl.DataFrame":
        """The records as a Polars data frame; raises as ``to_arrow`` does.

        Raises:
            MissingLibrary: Polars is not installed.
        """
        frame: pl.DataFrame = _library("polars").from_arrow(self.to_arrow())
        return frame

    def starting_at(self, offset: int) -> "Batch":
        """The part of this batch from an offset on, perhaps without any record.

        Decodes the whole to count what is left; raises as ``to_arrow`` does.
        """
        count, base = 0, self.next_position
        for batch in self.arrow_batches():
            offsets = batch.column("offset").to_numpy()
            left = offsets[offsets.searchsorted(offset) :].tolist()
            if left:
                base = base if count else left[0]
                count += len(left)
        payload = self.payload.starting_at(offset)
        return Batch(self.topic_partition, base, self.next_position, count, payload)

    def _check(self, count: int) -> None:
        if count != self.record_count:
            raise DamagedBatch(
                f"a batch of {self.topic}/{self.partition} at offset {self.base_offset} has "
                f"{count} records instead of {self.record_count}"
            )


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibrary(
            f"to_{name} needs the package {name}: pip install 'cachesvc-client[{name}]'"
        ) from error
