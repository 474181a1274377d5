"""Records as a file: Parquet, CSV or JSON lines."""

import base64
import json
import os
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from cachesvc.client import RECORD_SCHEMA, Batch
from record_lines import json_line

FORMATS = ("parquet", "csv", "jsonl")
_SCHEMA = pa.schema(
    [pa.field("topic", pa.string()), pa.field("partition", pa.int32()), *RECORD_SCHEMA]
)
_TEXT = pa.schema(
    [pa.field(f.name, pa.string() if f.name in ("key", "headers") else f.type) for f in _SCHEMA]
)
_PIECE_BYTES = 32 << 20


def _table(batch: Batch) -> pa.Table:
    """A batch with its topic and partition."""
    found, count = batch.to_arrow(), len(batch)
    places = [
        pa.repeat(batch.topic, count),
        pa.repeat(pa.scalar(batch.partition, pa.int32()), count),
    ]
    return pa.Table.from_arrays([*places, *found.columns], schema=_SCHEMA)


def _as_text(found: pa.Table) -> pa.Table:
    """The same with keys and headers as text."""
    keys = [_key(key) for key in found["key"].to_pylist()]
    headers = [
        None if h is None else json.dumps(h, default=_key) for h in found["headers"].to_pylist()
    ]
    texts = {"key": pa.array(keys, pa.string()), "headers": pa.array(headers, pa.string())}
    return pa.Table.from_arrays([texts.get(n, found[n]) for n in found.column_names], schema=_TEXT)


def _key(data: bytes | None) -> str | None:
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(data or b'').decode()}"


class Output:
    """A file in one of the formats; batches are gathered to pieces that are worth writing."""

    def __init__(self, kind: str, file: BinaryIO) -> None:
        self._kind, self._file = kind, file
        self._gathered: list[pa.Table] = []
        self._writer: Any = None
        if kind == "csv":
            self._writer = pa.csv.CSVWriter(file, _TEXT)
        elif kind == "parquet":
            self._writer = pa.parquet.ParquetWriter(file, _SCHEMA, compression="zstd")

    def add(self, batch: Batch) -> None:
        """Takes a batch. Blocking."""
        if self._writer is None:
            self._file.writelines(map(json_line, batch))
            return
        self._gathered.append(_table(batch))
        if sum(each.nbytes for each in self._gathered) >= _PIECE_BYTES:
            self._write()

    def end(self) -> None:
        """Writes what is left. Blocking."""
        if self._writer is not None:
            self._write()
            self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write(self) -> None:
        if self._gathered:
            piece = pa.concat_tables(self._gathered)
            self._writer.write_table(_as_text(piece) if self._kind == "csv" else piece)
            self._gathered.clear()
