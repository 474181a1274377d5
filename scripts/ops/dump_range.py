#!/usr/bin/env python3
"""Print records of a topic by their offsets, as JSON lines.

    dump_range.py orders --partition 2 --from 41000 --to 41010
    dump_range.py orders --from 2026-01-31T12:00:00Z --to 2026-01-31T12:05:00Z | jq .value.id

Lines have the fields of `cachesvc tail --json`, in the order of their offsets in each partition.
Only what is cached is read; where a range begins below that, stderr says so.
"""

import argparse
import sys

from console import WELL, parser, run, say, service
from ranges import add_options, reading, wanted
from record_lines import json_line


async def main(options: argparse.Namespace) -> int:
    """Prints them."""
    async with service(options) as found:
        ranges = await wanted(found.client, options)
        for each in ranges:
            if isinstance(options.begin, int) and options.begin < each.begin:
                say(f"{each.topic}/{each.partition} is cached from offset {each.begin} on")
        async with reading(found.client, options, ranges) as batches:
            async for batch in batches:
                sys.stdout.buffer.writelines(map(json_line, batch))
    sys.stdout.buffer.flush()
    return WELL


if __name__ == "__main__":
    arguments = parser(__doc__)
    add_options(arguments)
    run(main, arguments.parse_args())
