"""Records of a frame as messages: what encoding RECORDS carries."""

import pyarrow as pa

from cachesvc.serving.wire_format import tag, varint
from cachesvc.store.frames import Frame
from cachesvc.store.header_keys import header_key_bytes, is_escaped
from cachesvc.store.record_schema import decode_payloads
from cachesvc.v1 import log_cache_pb2 as pb

_RECORDS = pb.Batch.DESCRIPTOR.fields_by_name["records"].number
_VALUE = pb.Record.DESCRIPTOR.fields_by_name["value"].number
# A larger value is not copied into a message, and out of it again.
_LARGE_BYTES = 1 << 20


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
            record.headers.add(key=text, value=header["value"], raw_key=exact)
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
    begin = tag(_VALUE) + varint(len(value))
    size = len(rest) + len(begin) + len(value)
    return tag(_RECORDS), varint(size), rest, begin, value
