"""Logs as lists, and their records on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from cachesvc.client import RECORD_SCHEMA
from cachesvc.v1 import log_cache_pb2 as pb

Key: TypeAlias = tuple[str, int]
Offsets: TypeAlias = dict[Key, int]

FIRST_TIMESTAMP_MS = 1_700_000_000_000
_PAYLOAD_ROWS = 2
PARQUET = -1
"""What ``encode`` takes for a Parquet file; not an encoding that one asks for."""
_COMPRESSED = ipc.IpcWriteOptions(compression="lz4")


class Logs:
    """The records of some partitions. Belongs to one event loop.

    Args:
        offsets: The offsets of the records of each partition, strictly increasing.
    """

    def __init__(self, offsets: Mapping[Key, Sequence[int]]) -> None:
        self._logs = {key: [record(key, each) for each in of] for key, of in offsets.items()}
        self._waiting: set[asyncio.Future[None]] = set()
        self.version = 0

    def keys_of(self, topics: Iterable[str]) -> list[Key]:
        """The partitions of some topics, in order."""
        wanted = set(topics)
        return sorted(key for key in self._logs if key[0] in wanted)

    def start(self, key: Key) -> int:
        return self._logs[key][0].offset if self._logs[key] else 0

    def end(self, key: Key) -> int:
        records = self._logs.get(key)
        return records[-1].offset + 1 if records else 0

    def at_time(self, key: Key, timestamp_ms: int | None) -> int | None:
        if timestamp_ms is None:
            return None
        found = (each.offset for each in self._logs[key] if each.timestamp_ms >= timestamp_ms)
        return next(found, None)

    def records(self, key: Key, begin: int, end: int) -> list[pb.Record]:
        return [each for each in self._logs[key] if begin <= each.offset < end]

    def append(self, key: Key, *offsets: int) -> None:
        """Add records, to a new partition if need be, and wake the streams that wait."""
        self._logs.setdefault(key, []).extend(record(key, each) for each in offsets)
        self.version += 1
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def changed(self, since: int, evicted: asyncio.Future[str]) -> None:
        """Wait for a version after `since`, or until there is no reason to wait any more."""
        if self.version != since:
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await asyncio.wait((waiting, evicted), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(waiting)


def value(key: Key, offset: int) -> bytes | None:
    """The value of a record; every seventh is a tombstone."""
    if offset % 7 == 6:
        return None
    return f'{{"topic":"{key[0]}","partition":{key[1]},"offset":{offset},"é":"ß"}}'.encode()


def record(key: Key, offset: int) -> pb.Record:
    """The one record there is at this offset."""
    headers = []
    if offset % 5 == 4:
        headers = [pb.Header(key="trace", value=b"\xff"), pb.Header(key="empty")]
    timestamp_ms, kind = FIRST_TIMESTAMP_MS + offset, pb.CREATE_TIME
    if offset % 11 == 6:
        timestamp_ms, kind = -1, pb.NO_TIMESTAMP_TYPE
    elif offset % 4 == 3:
        kind = pb.LOG_APPEND_TIME
    return pb.Record(
        offset=offset,
        timestamp_ms=timestamp_ms,
        key=b"k%d" % offset if offset % 3 else None,
        value=value(key, offset),
        headers=headers,
        timestamp_type=kind,
    )


def encode(
    key: Key, records: Sequence[pb.Record], next_position: int, encoding: int = pb.ARROW_IPC
) -> pb.Batch:
    """A batch of these records."""
    batch = pb.Batch(
        topic=key[0],
        partition=key[1],
        incarnation=1,
        base_offset=records[0].offset if records else next_position,
        next_position=next_position,
        record_count=len(records),
    )
    if encoding == pb.RECORDS:
        batch.records.extend(records)
    elif encoding == PARQUET:
        batch.parquet = parquet(records)
    else:
        batch.arrow_ipc = arrow_ipc(records)
    return batch


def arrow_ipc(records: Sequence[pb.Record]) -> bytes:
    """An Arrow IPC stream of several compressed record batches, as the service makes it."""
    sink = pa.BufferOutputStream()
    with ipc.new_stream(sink, RECORD_SCHEMA, options=_COMPRESSED) as stream:
        for begin in range(0, len(records), _PAYLOAD_ROWS):
            stream.write_batch(_record_batch(records[begin : begin + _PAYLOAD_ROWS]))
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def parquet(records: Sequence[pb.Record]) -> bytes:
    """A Parquet file of one row group, as segments have them."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        RECORD_SCHEMA.with_metadata({"cachesvc.format_version": "1"}),
        compression="zstd",
        use_dictionary=False,
        column_encoding={"key": "DELTA_BYTE_ARRAY", "value": "DELTA_LENGTH_BYTE_ARRAY"},
        write_page_checksum=True,
    ) as writer:
        writer.write_batch(_record_batch(records))
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def _record_batch(records: Sequence[pb.Record]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [
            {
                "offset": each.offset,
                "timestamp": each.timestamp_ms,
                "timestamp_type": int(each.timestamp_type),
                "key": each.key if each.HasField("key") else None,
                "value": each.value.decode() if each.HasField("value") else None,
                "headers": [
                    {"key": header.key, "value": header.value if header.HasField("value") else None}
                    for header in each.headers
                ]
                or None,
            }
            for each in records
        ],
        schema=RECORD_SCHEMA,
    )
