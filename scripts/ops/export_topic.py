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
from pathlib import Path

from console import USAGE, WELL, ScriptFailed, parser, progress, run, service, show
from file_formats import FORMATS, Output
from ranges import add_options, reading, wanted


async def main(options: argparse.Namespace) -> int:
    """Writes the file beside its place, then puts it there."""
    kind = options.format or options.output.suffix.removeprefix(".")
    if kind not in FORMATS:
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
    arguments.add_argument("--format", choices=FORMATS)
    run(main, arguments.parse_args())
