"""Batches: records of one partition, in offset order, that travel together."""

import importlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cachesvc.client.errors import DamagedBatch, InvalidRequest, MissingLibrary
from cachesvc.client.fields import FieldReader, FieldType
from cachesvc.client.payload import RECORD_SCHEMA, Payload, text_pieces
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
        snapshot: Whether they are of a snapshot: the latest of their keys, where the log has others
            between. Positions are the log's.
    """

    topic_partition: TopicPartition
    base_offset: int
    next_position: int
    record_count: int
    payload: Payload = field(repr=False)
    snapshot: bool = False

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
        """Which incarnation of a topic of that name."""
        return self.topic_partition.incarnation

    @property
    def position(self) -> Position:
        """The position behind this batch: commit it once all its records are dealt with."""
        of = self.topic_partition
        return Position(of.topic, of.partition, self.next_position, of.incarnation)

    def __len__(self) -> int:
        return self.record_count

    def __iter__(self) -> Iterator[Record]:
        """The records, each made when it is taken; decoded piece by piece on the way.

        Raises:
            DamagedBatch: The bytes do not decode, or not to ``record_count`` records; what came
                before is right all the same.
        """
        return chain.from_iterable(self._runs())

    def pieces(self) -> Iterator[list[Record]]:
        """The records as lists of some hundred; raises as ``__iter__`` does."""
        return map(list, self._runs())

    def records(self) -> list[Record]:
        """All records at once; raises as ``__iter__`` does."""
        return list(self)

    def arrow_batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The records as non-empty record batches; raises as ``to_arrow`` does.

        Cheaper than ``to_arrow`` where each can be let go before the next.
        """
        chosen = None if columns is None else _chosen(columns).names
        count = 0
        for batch in self.payload.arrow_batches(chosen):
            count += batch.num_rows
            yield batch
        self._check(count)

    def to_arrow(self, columns: Collection[str] | None = None) -> pa.Table:
        """The records as a table.

        Args:
            columns: Which of ``RECORD_SCHEMA``, whose order the table keeps; None for all. What is
                not named is not even decompressed.

        Raises:
            DamagedBatch: The bytes do not decode, or not to ``record_count`` records.
            InvalidRequest: There is no such column.
        """
        schema = RECORD_SCHEMA if columns is None else _chosen(columns)
        return pa.Table.from_batches(self.arrow_batches(columns), schema=schema)

    @property
    def offsets(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """The records' offsets, strictly increasing; raises as ``to_arrow`` does."""
        return self._numbers("offset")

    @property
    def timestamps_ms(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Milliseconds since the Unix epoch, -1 without one; raises as ``to_arrow`` does."""
        return self._numbers("timestamp")

    @property
    def keys(self) -> pa.ChunkedArray:
        """The records' keys, binary; null where Kafka has null. Raises as ``to_arrow`` does."""
        return self.to_arrow(["key"]).column("key")

    @property
    def values(self) -> pa.ChunkedArray:
        """The records' values, text; null for a tombstone. Raises as ``to_arrow`` does."""
        return self.to_arrow(["value"]).column("value")

    def field(self, path: str, type: FieldType = None) -> pa.ChunkedArray:
        """One field of all values, such as ``after.price``; see ``fields``."""
        return self.fields({path: type}).column(path)

    def fields(self, wanted: Mapping[str, FieldType] | Iterable[str]) -> pa.Table:
        """Some fields of all values, in columns named as they are asked for.

        The values are gone through once, and no object is made of what is not asked for. Null
        stands where there is no such field, where something on the way to it is no object, and for
        tombstones.

        Args:
            wanted: Paths, ``after.price``, each with the Arrow type to read it as; ``"json"`` gives
                the JSON text as it stands in the value. Without a type it is what Arrow makes of
                the values, which has to be the same for all of them. A dot in a name has a
                backslash before it.

        Raises:
            InvalidRequest: A path is none, or a value is of another type (``FIELD_TYPE``).
            DamagedBatch: The bytes do not decode, or not to ``record_count`` records.
        """
        types = wanted if isinstance(wanted, Mapping) else dict.fromkeys(wanted)
        reader = FieldReader(types)
        for batch in self.arrow_batches(["value"]):
            for piece in text_pieces(batch.column("value")):
                reader.add(piece)
        return reader.table()

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
        return Batch(self.topic_partition, base, self.next_position, count, payload, self.snapshot)

    def _runs(self) -> Iterator[Iterator[Record]]:
        count = 0
        for records, run in self.payload.runs(self.topic_partition):
            count += records
            yield run
        self._check(count)

    def _numbers(self, column: str) -> "np.ndarray[Any, np.dtype[np.int64]]":
        chunks = self.to_arrow([column]).column(0).chunks
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *(chunk.view(pa.int64()).to_numpy() for chunk in chunks)])

    def _check(self, count: int) -> None:
        if count != self.record_count:
            raise DamagedBatch(
                f"a batch of {self.topic}/{self.partition} at offset {self.base_offset} has "
                f"{count} records instead of {self.record_count}"
            )


def _chosen(columns: Collection[str]) -> pa.Schema:
    unknown = sorted(set(columns).difference(RECORD_SCHEMA.names))
    if unknown:
        raise InvalidRequest(f"a record has no column {unknown[0]!r}, only {RECORD_SCHEMA.names}")
    return pa.schema([each for each in RECORD_SCHEMA if each.name in set(columns)])


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingLibrary(
            f"to_{name} needs the package {name}: pip install 'cachesvc-client[{name}]'"
        ) from error
