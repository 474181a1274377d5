"""SubscribeResponses as ready bytes.

A batch is the bulk of all traffic: its message is put together around payloads that were encoded
once, without ever parsing or copying them field by field. Protobuf's wire format allows that: a
length-delimited field is a tag, a length and the bytes.
"""

from collections.abc import Sequence

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
_LENGTH_DELIMITED = 2


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
    columns = [table.column(name).to_pylist() for name in ("offset", "key", "value", "headers")]
    times = table.column("timestamp").cast("int64").to_pylist()
    types = table.column("timestamp_type").to_pylist()
    records = []
    for offset, key, value, headers, time_ms, time_type in zip(*columns, times, types, strict=True):
        record = pb.Record(offset=offset, timestamp_ms=time_ms, key=key, timestamp_type=time_type)
        if value is not None:
            record.value = value.encode()
        for header in headers or ():
            text = header["key"]
            exact = header_key_bytes(text) if is_escaped(text) else None
            record.headers.add(key=text, value=header["value"], key_bytes=exact)
        records.append(record)
    return pb.Batch(records=records).SerializeToString()


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
