"""Reads the records that the JSON rule turned away: of segments and of unsealed journals."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.store.file_store import ReadableFile
from cachesvc.store.journal import read_frames
from cachesvc.store.record_schema import REJECT_SCHEMA, decode_payloads
from cachesvc.store.segments import read_table


async def read_rejects(store: LogStore, log: PartitionLog) -> AsyncIterator[list[dict[str, Any]]]:
    """Rejects of a partition in offset order, file by file, as rows of the reject schema.

    ``timestamp`` is in milliseconds. What is sealed, merged or expired meanwhile may be missed.
    """
    sealed_end = log.sealed_end_offset
    for segment in list(log.segments):
        if segment.rejects_path:
            file = store.stores.rejects_file(segment)
            yield await store.reader.run_at(segment.store, _of_segment, file)
    for entry in list(log.journals):
        index = entry.index
        if entry.base_offset < sealed_end or index is None or not index.reject_count:
            continue
        for number in range(len(index.chunks)):
            begin, end = index.extent(number)
            rows = await store.reader.run(_of_chunk, entry.path, begin, end)
            if rows:
                yield rows


def _of_segment(file: ReadableFile) -> list[dict[str, Any]]:
    try:
        return _rows(read_table(file))
    except FileNotFoundError:
        return []


def _of_chunk(path: Path, begin: int, end: int) -> list[dict[str, Any]]:
    try:
        payloads = [frame.rejects for frame in read_frames(path, begin, end) if frame.reject_count]
    except FileNotFoundError:
        return []
    return _rows(decode_payloads(payloads, REJECT_SCHEMA)) if payloads else []


def _rows(table: pa.Table) -> list[dict[str, Any]]:
    column = table.schema.get_field_index("timestamp")
    times = table.column("timestamp").cast(pa.int64())
    rows: list[dict[str, Any]] = table.set_column(column, "timestamp", times).to_pylist()
    return rows
