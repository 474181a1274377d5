"""SubscribeResponses as ready bytes.

A batch is the bulk of all traffic: its message is put together around payloads that were encoded
once, without ever parsing or copying them field by field. Protobuf's wire format allows that: a
length-delimited field is a tag, a length and the bytes.
"""

from collections.abc import Sequence

import pyarrow as pa

from cachesvc.model import Encoding, PartitionId
from cachesvc.store.frames import Frame
from cachesvc.store.header_keys import header_key_bytes, is_escaped
from cachesvc.store.record_schema import (
    END_OF_STREAM,
    RECORD_SCHEMA_MESSAGE,
    decode_payloads,
)
from cachesvc.v1 import log_cache_pb2 as pb

_BATCH = pb.SubscribeResponse.DESCRIPTOR.fields_by_name["batch"].number
_ARROW_IPC = pb.Batch.DESCRIPTOR.fields_by_name["arrow_ipc"].number
_RECORDS = pb.Batch.DESCRIPTOR.fields_by_name["records"].number
_VALUE = pb.Record.DESCRIPTOR.fields_by_name["value"].number
_LENGTH_DELIMITED = 2
# A larger value is not copied into a message, and out of it again.
_LARGE_BYTES = 1 << 20


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(field: int) -> bytes:
    return _varint(field << 3 | _LENGTH_DELIMITED)


def arrow_response(partition: PartitionId, frames: Sequence[Frame]) -> bytes:
    """A ``batch`` event with the records of contiguous frames, at least one of which has some."""
    payloads = [frame.payload for frame in frames if frame.record_count]
    size = len(RECORD_SCHEMA_MESSAGE) + sum(map(len, payloads)) + len(END_OF_STREAM)
    head = _batch_head(partition, frames) + _tag(_ARROW_IPC) + _varint(size)
    begin = _tag(_BATCH) + _varint(len(head) + size) + head
    return b"".join((begin, RECORD_SCHEMA_MESSAGE, *payloads, END_OF_STREAM))


def records_response(
    partition: PartitionId, frames: Sequence[Frame], bodies: Sequence[bytes]
) -> bytes:
    """The same with encoding RECORDS; ``bodies`` are those of ``records_body``, frame by frame."""
    head = _batch_head(partition, frames)
    size = len(head) + sum(map(len, bodies))
    return b"".join((_tag(_BATCH), _varint(size), head, *bodies))


def records_body(frame: Frame) -> bytes:
    """The field ``Batch.records`` of a frame, as bytes that may be joined. Blocking."""
    if not frame.record_count:
        return b""
    table = decode_payloads([frame.payload])
    columns = [table.column(name).to_pylist() for name in ("offset", "key", "headers")]
    column = table.column("value").cast(pa.binary())
    values = column.to_pylist() if column.nbytes < _LARGE_BYTES else map(_bytes_or_view, column)
    times = table.column("timestamp").cast("int64").to_pylist()
    types = table.column("timestamp_type").to_pylist()
    done: list[bytes | memoryview] = []
    records: list[pb.Record] = []
    rows = zip(*columns, values, times, types, strict=True)
    for offset, key, headers, value, time_ms, time_type in rows:
        record = pb.Record(offset=offset, timestamp_ms=time_ms, key=key, timestamp_type=time_type)
        for header in headers or ():
            text = header["key"]
            exact = header_key_bytes(text) if is_escaped(text) else None
            record.headers.add(key=text, value=header["value"], key_bytes=exact)
        if isinstance(value, memoryview):
            done += [pb.Batch(records=records).SerializeToString(), *_large_record(record, value)]
            records.clear()
            continue
        if value is not None:
            record.value = value
        records.append(record)
    return b"".join((*done, pb.Batch(records=records).SerializeToString()))


def _bytes_or_view(value: pa.BinaryScalar) -> bytes | memoryview | None:
    """A value, and a large one without copying it."""
    data = value.as_buffer()
    if data is None:
        return None
    return memoryview(data) if data.size >= _LARGE_BYTES else bytes(data)


def _large_record(record: pb.Record, value: memoryview) -> tuple[bytes | memoryview, ...]:
    """The field ``Batch.records`` with one record, whose value is copied no further."""
    rest = record.SerializeToString()
    begin = _tag(_VALUE) + _varint(len(value))
    size = len(rest) + len(begin) + len(value)
    return _tag(_RECORDS), _varint(size), rest, begin, value


def encoded_size(frames: Sequence[Frame], encoding: Encoding) -> int:
    """Bytes that frames take in a batch, for choosing how many go together."""
    return sum(len(frame.payload) for frame in frames) * (
        1 if encoding is Encoding.ARROW_IPC else 4
    )


def _batch_head(partition: PartitionId, frames: Sequence[Frame]) -> bytes:
    first = next(frame.first_offset for frame in frames if frame.record_count)
    return pb.Batch(
        topic=partition.topic,
        partition=partition.partition,
        incarnation=partition.incarnation,
        base_offset=first,
        next_position=frames[-1].end_offset,
        record_count=sum(frame.record_count for frame in frames),
    ).SerializeToString()
