"""What a batch carries, in each of its forms, as Arrow and as records.

Decoding is lazy and piecewise. An Arrow payload is an IPC stream of several record batches; they
are decoded one after the other, and made into records in slices, so that buffers and objects of
one piece are in the processor's caches, and the memory of the piece before is used again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from operator import length_hint
from typing import Protocol, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from cachesvc.client.errors import DamagedBatch
from cachesvc.client.positions import TopicPartition
from cachesvc.client.record import Facts, Header, Record, TimestampType
from cachesvc.v1 import log_cache_pb2 as pb

T = TypeVar("T")

RECORD_SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("timestamp_type", pa.int8(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.string()),
        pa.field(
            "headers",
            pa.list_(pa.struct([pa.field("key", pa.string()), pa.field("value", pa.binary())])),
        ),
    ]
)
"""The columns of `Batch.to_arrow`."""

PIECE_RECORDS_MAX = 500
"""Records made in one go: enough to hide the cost of going, few enough for a core's own cache."""

DECODED_ROWS = 4_096
"""Rows of a Parquet file decoded in one go."""

_RARE_COLUMNS = ("timestamp", "headers", "timestamp_type")
# One thread: batches of this size decode faster than threads can be told to.
_READ_OPTIONS = ipc.IpcReadOptions(use_threads=False)
_NO_HEADERS: tuple[Header, ...] = ()
_TIMESTAMP_TYPES = {int(kind): kind for kind in TimestampType}


class Payload(Protocol):
    """The records of one batch. Can be gone through any number of times."""

    def arrow_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Non-empty record batches of `RECORD_SCHEMA`, together the whole, in offset order.

        Args:
            columns: Those of the schema that are wanted, in its order; None for all. Others are
                not decompressed.

        Raises:
            DamagedBatch: The bytes do not decode.
        """

    def runs(self, of: TopicPartition) -> Iterator[tuple[int, Iterator[Record]]]:
        """Some hundred records at a time, never none: how many, and they; in offset order.

        A record is made when it is taken, so that the next one finds its memory in the processor's
        caches. Each run has to be taken whole before the next is asked for.

        Raises:
            DamagedBatch: The bytes do not decode.
        """

    def starting_at(self, offset: int) -> "Payload":
        """The records from an offset on."""


class _Encoded(ABC):
    """Records in bytes, as they came.

    Args:
        data: The bytes; what they lie in is kept as long as this.
        first_offset: Records before this one are left out.
    """

    __slots__ = ("_data", "_first_offset")

    def __init__(self, data: pa.Buffer, first_offset: int | None = None) -> None:
        self._data = data
        self._first_offset = first_offset

    @abstractmethod
    def arrow_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]: ...

    def runs(self, of: TopicPartition) -> Iterator[tuple[int, Iterator[Record]]]:
        for batch in self.arrow_batches():
            yield from _runs(batch, batch, of)

    def starting_at(self, offset: int) -> Self:
        return type(self)(self._data, offset)

    def _from_first(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Those of some records that are not left out; the offset is one of their columns."""
        begin = batch.column("offset").to_numpy().searchsorted(self._first_offset)
        return batch.slice(begin)


class ArrowPayload(_Encoded):
    """An Arrow IPC stream, as it came."""

    __slots__ = ()

    def arrow_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        try:
            for decoded in self._reader(columns):
                batch = self._trimmed(decoded, columns)
                if batch.num_rows:
                    yield batch
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DamagedBatch(f"a batch does not decode: {error}") from error

    def _reader(self, columns: Sequence[str] | None) -> pa.RecordBatchReader:
        if columns is None:
            return ipc.open_stream(self._data, options=_READ_OPTIONS)
        names = ipc.read_schema(self._data).names
        needed = columns if self._first_offset is None else {"offset", *columns}
        options = ipc.IpcReadOptions(
            use_threads=False, included_fields=[names.index(name) for name in needed]
        )
        return ipc.open_stream(self._data, options=options)

    def _trimmed(self, batch: pa.RecordBatch, columns: Sequence[str] | None) -> pa.RecordBatch:
        """Without columns that a newer service may add, and without records left out."""
        if self._first_offset is not None:
            batch = self._from_first(batch)
        if batch.schema == RECORD_SCHEMA:
            return batch
        return batch.select(RECORD_SCHEMA.names if columns is None else columns)


class LentPayload(ArrowPayload):
    """An Arrow IPC stream in memory that somebody else is waiting for.

    Its records keep nothing of it, so that one that is kept does not keep all of it.
    """

    __slots__ = ()

    def runs(self, of: TopicPartition) -> Iterator[tuple[int, Iterator[Record]]]:
        for batch in self.arrow_batches():
            rare = batch.select(_RARE_COLUMNS)
            yield from _runs(batch, ipc.read_record_batch(rare.serialize(), rare.schema), of)


class ParquetPayload(_Encoded):
    """A Parquet file of one row group, as it came."""

    __slots__ = ()

    def arrow_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        names = RECORD_SCHEMA.names if columns is None else columns
        needed = [name for name in RECORD_SCHEMA.names if name in names or self._trims(name)]
        schema = pa.schema([RECORD_SCHEMA.field(name) for name in needed])
        try:
            with pq.ParquetFile(
                pa.BufferReader(self._data), page_checksum_verification=True
            ) as file:
                rows = 0
                for decoded in file.iter_batches(DECODED_ROWS, columns=needed, use_threads=False):
                    decoded.validate()
                    rows += decoded.num_rows
                    for batch in pa.Table.from_batches([decoded]).cast(schema).to_batches():
                        trimmed = self._trimmed(batch, names)
                        if trimmed.num_rows:
                            yield trimmed
                if rows != file.metadata.num_rows:
                    raise DamagedBatch(f"a batch has {rows} rows of {file.metadata.num_rows}")
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DamagedBatch(f"a batch does not decode: {error}") from error

    def _trims(self, name: str) -> bool:
        return self._first_offset is not None and name == "offset"

    def _trimmed(self, batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
        if self._first_offset is None:
            return batch
        return self._from_first(batch).select(names)


class RecordsPayload:
    """One message a record, as they came."""

    __slots__ = ("_messages",)

    def __init__(self, messages: Sequence[pb.Record]) -> None:
        self._messages = messages

    def arrow_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        for messages in _slices(self._messages):
            yield _record_batch(messages, RECORD_SCHEMA.names if columns is None else columns)

    def runs(self, of: TopicPartition) -> Iterator[tuple[int, Iterator[Record]]]:
        for messages in _slices(self._messages):
            yield len(messages), iter(_records(messages, of))

    def starting_at(self, offset: int) -> "RecordsPayload":
        return RecordsPayload([message for message in self._messages if message.offset >= offset])


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for begin in range(0, len(items), PIECE_RECORDS_MAX):
        yield items[begin : begin + PIECE_RECORDS_MAX]


def _runs(
    batch: pa.RecordBatch, rare: pa.RecordBatch, of: TopicPartition
) -> Iterator[tuple[int, Iterator[Record]]]:
    """The records of a batch. Values become objects piece by piece, what is rare when asked for.

    A column of nothing but nulls, of one value or of consecutive numbers costs nothing. What is
    rare is in a batch that may be another; the records keep it.
    """
    offsets = _offsets(batch.column("offset"))
    times, headers, types = map(rare.column, _RARE_COLUMNS)
    facts = Facts(
        of,
        offsets,
        lambda: times.view(pa.int64()).to_numpy().tolist(),
        lambda: _headers(headers),
        lambda: _timestamp_types(types),
    )
    left = iter(offsets)
    keys = iter(_binary(batch.column("key")))
    for values in text_pieces(batch.column("value")):
        count = length_hint(values)
        yield (
            count,
            map(Record, islice(left, count), islice(keys, count), values, repeat(facts)),
        )


def text_pieces(column: pa.Array) -> Iterator[Iterable[bytes | None]]:
    """The bytes of texts, in pieces that fit into the processor's caches."""
    column = column.view(pa.binary())
    for begin in range(0, len(column), PIECE_RECORDS_MAX):
        yield _binary(column.slice(begin, PIECE_RECORDS_MAX))


def _offsets(column: pa.Array) -> range | list[int]:
    numbers = column.to_numpy()
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first == len(numbers) - 1:  # strictly increasing
        return range(first, last + 1)
    consecutive: list[int] = numbers.tolist()
    return consecutive


def _binary(column: pa.Array) -> Iterable[bytes | None]:
    if column.null_count == len(column):
        return repeat(None, len(column))
    values: list[bytes | None] = column.to_numpy(zero_copy_only=False).tolist()
    return values


def _headers(column: pa.Array) -> Sequence[tuple[Header, ...]]:
    if column.null_count == len(column):
        return [_NO_HEADERS] * len(column)
    return [
        tuple(Header(header["key"], header["value"]) for header in headers or ())
        for headers in column.to_pylist()
    ]


def _timestamp_types(column: pa.Array) -> Sequence[TimestampType]:
    return [_TIMESTAMP_TYPES[number] for number in column.to_pylist()]


def _records(messages: Sequence[pb.Record], of: TopicPartition) -> list[Record]:
    times = [message.timestamp_ms for message in messages]
    headers = list(map(_message_headers, messages))
    types = [_TIMESTAMP_TYPES[message.timestamp_type] for message in messages]
    offsets = [message.offset for message in messages]
    facts = Facts(of, offsets, lambda: times, lambda: headers, lambda: types)
    return [
        Record(
            message.offset,
            message.key if message.HasField("key") else None,
            message.value if message.HasField("value") else None,
            facts,
        )
        for message in messages
    ]


def _message_headers(message: pb.Record) -> tuple[Header, ...]:
    return tuple(
        Header(header.key, header.value if header.HasField("value") else None)
        for header in message.headers
    )


def _record_batch(messages: Sequence[pb.Record], columns: Sequence[str]) -> pa.RecordBatch:
    fields = [RECORD_SCHEMA.field(name) for name in columns]
    # Values are UTF-8, as the service has checked.
    return pa.RecordBatch.from_arrays(
        [
            pa.array(list(map(_CELLS[field.name], messages)), pa.binary()).cast(field.type)
            if pa.types.is_string(field.type)
            else pa.array(list(map(_CELLS[field.name], messages)), field.type)
            for field in fields
        ],
        schema=pa.schema(fields),
    )


def _header_rows(message: pb.Record) -> list[dict[str, object]] | None:
    return [
        {"key": header.key, "value": header.value if header.HasField("value") else None}
        for header in message.headers
    ] or None


_CELLS: Mapping[str, Callable[[pb.Record], object]] = {
    "offset": lambda message: message.offset,
    "timestamp": lambda message: message.timestamp_ms,
    "timestamp_type": lambda message: int(message.timestamp_type),
    "key": lambda message: message.key if message.HasField("key") else None,
    "value": lambda message: message.value if message.HasField("value") else None,
    "headers": _header_rows,
}
