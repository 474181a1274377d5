#!/usr/bin/env python3
"""Compare the cache with the broker: count and checksum of a topic's records, by partition.

    compare_with_broker.py orders                       # all that both have now
    compare_with_broker.py orders --from 41000 --to 42000 --kafka broker:9092

The checksum is over offset, key and value of each record. Records that the JSON rule turned away
are in neither sum; `rejected` counts them. The exit code is 1 if a partition differs.

Needs aiokafka. The broker is the connection's unless --kafka says otherwise. What it takes to get
in stands in a TOML file (--kafka-settings), such as security_protocol = "SASL_SSL" or ssl_cafile.
This reads the range from the broker: the load that the cache is there to avoid.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import broker
import sums
from console import UNWELL, WELL, Service, parser, run, service, show
from ranges import Range, add_options, wanted


async def compare(
    found: Service, options: argparse.Namespace, ranges: Sequence[Range], consumer: Any
) -> list[dict[str, object]]:
    """A row for each range."""
    away = await sums.turned_away(found, options)
    cached = await sums.of_cache(found, options, ranges)
    rows: list[dict[str, object]] = []
    for each in ranges:
        here, there = cached[each.partition], await sums.of_broker(consumer, each, away)
        rejected = sum(of == each.partition and each.begin <= at < each.end for of, at in away)
        rows.append(
            {
                "topic": each.topic,
                "partition": each.partition,
                "begin": each.begin,
                "end": each.end,
                "same": here.text == there.text,
                "cache_records": here.records,
                "broker_records": there.records,
                "rejected": rejected,
                "cache_checksum": here.text,
                "broker_checksum": there.text,
            }
        )
    return rows


async def main(options: argparse.Namespace) -> int:
    """Reads both, and says whether they are the same."""
    async with service(options) as found, broker.consumer(found, options) as consumer:
        ranges = await broker.still_there(consumer, await wanted(found.client, options))
        rows = await compare(found, options, ranges, consumer)
    show(rows, options.json, "there is nothing to compare")
    return WELL if all(row["same"] for row in rows) else UNWELL


if __name__ == "__main__":
    arguments = parser(__doc__)
    add_options(arguments)
    broker.add_options(arguments)
    run(main, arguments.parse_args())
