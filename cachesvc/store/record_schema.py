"""The columns of a record and of a reject, shared by journal, Parquet and the wire.

docs/store-format.md specifies them column by column; a change here is a change of
``FORMAT_VERSION``. A *payload* is one encapsulated Arrow IPC record batch message with
LZ4-compressed buffers, without schema and without end marker, so that payloads of one partition
can be joined behind one schema message into a valid IPC stream without being taken apart.
"""

from collections.abc import Iterable

import pyarrow as pa
from pyarrow import ipc

from cachesvc.errors import DamagedFile
from cachesvc.model import ArrowCompression

FORMAT_VERSION = 1

HEADERS_TYPE = pa.list_(pa.struct([pa.field("key", pa.string()), pa.field("value", pa.binary())]))

RECORD_SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("timestamp_type", pa.int8(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.string()),
        pa.field("headers", HEADERS_TYPE),
    ]
)

REJECT_SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("timestamp_type", pa.int8(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", HEADERS_TYPE),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
"""The end marker of the Arrow IPC streaming format."""

DECODING_ERRORS = (
    pa.ArrowInvalid,
    pa.ArrowKeyError,
    pa.ArrowNotImplementedError,
    pa.ArrowSerializationError,
    pa.ArrowTypeError,
    OSError,
)
"""What Arrow raises for bytes that do not hold what they should."""

# One thread: a payload is too small to gain from more.
_WRITE_OPTIONS = {
    ArrowCompression.LZ4: ipc.IpcWriteOptions(compression="lz4", use_threads=False),
    ArrowCompression.ZSTD: ipc.IpcWriteOptions(compression="zstd", use_threads=False),
    ArrowCompression.NONE: ipc.IpcWriteOptions(use_threads=False),
}


def schema_message(schema: pa.Schema) -> bytes:
    """The encapsulated schema message that opens an IPC stream of ``schema``."""
    return bytes(schema.serialize())


RECORD_SCHEMA_MESSAGE = schema_message(RECORD_SCHEMA)
REJECT_SCHEMA_MESSAGE = schema_message(REJECT_SCHEMA)


def encode_payload(
    batch: pa.RecordBatch, compression: ArrowCompression = ArrowCompression.LZ4
) -> bytes:
    """One record batch as a payload. Releases the GIL while it compresses.

    What the store keeps is LZ4; other compressions are for the wire.

    Raises:
        ValueError: ``batch`` has neither the record nor the reject schema, or has metadata.
    """
    if batch.schema.equals(RECORD_SCHEMA, check_metadata=True):
        prefix = len(RECORD_SCHEMA_MESSAGE)
    elif batch.schema.equals(REJECT_SCHEMA, check_metadata=True):
        prefix = len(REJECT_SCHEMA_MESSAGE)
    else:
        raise ValueError(f"not a schema of this store: {batch.schema}")
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, batch.schema, options=_WRITE_OPTIONS[compression]) as writer:
        writer.write_batch(batch)
    payload: bytes = sink.getvalue()[prefix : -len(END_OF_STREAM)].to_pybytes()
    return payload


def join_stream(payloads: Iterable[bytes | memoryview]) -> bytes:
    """Payloads of records as one Arrow IPC stream, complete with schema and end marker."""
    return b"".join((RECORD_SCHEMA_MESSAGE, *payloads, END_OF_STREAM))


def decode_payloads(
    payloads: Iterable[bytes | memoryview],
    schema: pa.Schema = RECORD_SCHEMA,
    columns: Iterable[str] | None = None,
) -> pa.Table:
    """The table that payloads of one schema hold, in their order.

    Args:
        payloads: At least one.
        schema: Of all of them.
        columns: Which to decode, in the order of the schema; None for all.

    Raises:
        DamagedFile: They do not; their checksum held, so whoever wrote them was wrong.
    """
    stream = b"".join((schema_message(schema), *payloads, END_OF_STREAM))
    numbers = None if columns is None else sorted(map(schema.get_field_index, columns))
    options = ipc.IpcReadOptions(included_fields=numbers)
    try:
        return ipc.open_stream(stream, options=options).read_all()
    except DECODING_ERRORS as error:
        raise DamagedFile(f"a payload cannot be decoded: {error}") from error
