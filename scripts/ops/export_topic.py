#!/usr/bin/env python3
"""Export a topic from the cache to a file: Parquet, CSV or JSON lines.

    export_topic.py orders --output orders.parquet
    export_topic.py orders --from 2026-01-31 --to 2026-02-01 --output orders.csv

The ending of the file says what it becomes, unless --format does. Columns are topic, partition,
offset, timestamp, key, value and headers; in CSV keys that are not UTF-8 are base64 with "base64:"
before it, and headers are JSON. JSON lines have the fields of `cachesvc tail --json`. The file
appears under its name once it is whole, and takes the place of one that was there.
"""

import argparse
import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from cachesvc.client import RECORD_SCHEMA, Batch
from console import USAGE, WELL, ScriptFailed, parser, progress, run, service, show
from ranges import add_options, reading, wanted
from record_lines import json_line

_SCHEMA = pa.schema(
    [pa.field("topic", pa.string()), pa.field("partition", pa.int32()), *RECORD_SCHEMA]
)
_TEXT = pa.schema(
    [pa.field(f.name, pa.string() if f.name in ("key", "headers") else f.type) for f in _SCHEMA]
)
_PIECE_BYTES = 32 << 20


def table(batch: Batch) -> pa.Table:
    """A batch with its topic and partition."""
    found, count = batch.to_arrow(), len(batch)
    places = [
        pa.repeat(batch.topic, count),
        pa.repeat(pa.scalar(batch.partition, pa.int32()), count),
    ]
    return pa.Table.from_arrays([*places, *found.columns], schema=_SCHEMA)


def as_text(found: pa.Table) -> pa.Table:
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
        self._gathered.append(table(batch))
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
            self._writer.write_table(as_text(piece) if self._kind == "csv" else piece)
            self._gathered.clear()


async def main(options: argparse.Namespace) -> int:
    """Writes the file beside its place, then puts it there."""
    kind = options.format or options.output.suffix.removeprefix(".")
    if kind not in ("parquet", "csv", "jsonl"):
        raise ScriptFailed(f"{options.output}: give --format parquet, csv or jsonl", USAGE)
    unfinished = options.output.with_name(f".{options.output.name}.unfinished")
    count = 0
    try:
        with unfinished.open("wb") as file:
            output = Output(kind, file)
            async with service(options) as found:
                ranges = await wanted(found.client, options)
                async with reading(found.client, options, ranges) as batches:
                    async for batch in batches:
                        await asyncio.to_thread(output.add, batch)
                        count += len(batch)
                        progress(count, sum(each.end - each.begin for each in ranges))
            await asyncio.to_thread(output.end)
        unfinished.replace(options.output)
    finally:
        unfinished.unlink(missing_ok=True)
    progress(count, count)
    done = {"file": str(options.output), "records": count}
    show([done | {"file_bytes": options.output.stat().st_size}], options.json, "")
    return WELL


if __name__ == "__main__":
    arguments = parser(__doc__)
    add_options(arguments)
    arguments.add_argument("--output", type=Path, required=True, metavar="FILE")
    arguments.add_argument("--format", choices=("parquet", "csv", "jsonl"))
    run(main, arguments.parse_args())
