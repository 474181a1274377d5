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
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import broker
from cachesvc.v1 import admin_pb2
from console import UNWELL, WELL, ScriptFailed, Service, parser, run, service, show
from ranges import Range, add_options, reading, wanted

_REJECTS_MAX = 100_000


class Sum:
    """Count and checksum of records that come in the order of their offsets."""

    def __init__(self) -> None:
        self.records = 0
        self._digest = hashlib.blake2b(digest_size=8)

    def add(self, records: Iterable[Any]) -> None:
        """Enters records, of the client or of aiokafka."""
        for each in records:
            self.records += 1
            key, value = each.key, each.value
            sizes = [-1 if part is None else len(part) for part in (key, value)]
            self._digest.update(b"%d %d %d " % (each.offset, *sizes))
            self._digest.update((key or b"") + (value or b""))

    @property
    def text(self) -> str:
        """The checksum, as hexadecimal digits."""
        return self._digest.hexdigest()


async def rejected(found: Service, options: argparse.Namespace) -> set[tuple[int, int]]:
    """Partition and offset of what the JSON rule turned away.

    Raises:
        ScriptFailed: It is too much to be told.
    """
    request = admin_pb2.ListRejectsRequest(
        connection=options.connection, topic=options.topic, limit=_REJECTS_MAX
    )
    pages = [page async for page in found.admin.ListRejects(request)]
    places = {(each.partition, each.offset) for page in pages for each in page.rejects}
    if len(places) >= _REJECTS_MAX:
        raise ScriptFailed(f"more records of {options.topic} were turned away than can be listed")
    return places


async def compare(
    found: Service, options: argparse.Namespace, ranges: Sequence[Range], consumer: Any
) -> list[dict[str, object]]:
    """A row for each range."""
    turned_away = await rejected(found, options)
    cached = {each.partition: Sum() for each in ranges}
    async with reading(found.client, options, [r for r in ranges if r.begin < r.end]) as batches:
        async for batch in batches:
            cached[batch.partition].add(batch)
    rows: list[dict[str, object]] = []
    for each in ranges:
        here, there, number = cached[each.partition], Sum(), each.partition
        async for records in broker.records(consumer, each):
            there.add(r for r in records if (number, r.offset) not in turned_away)
        outside = sum(of == number and each.begin <= at < each.end for of, at in turned_away)
        rows.append(
            {
                "topic": each.topic,
                "partition": number,
                "begin": each.begin,
                "end": each.end,
                "same": here.text == there.text,
                "cache_records": here.records,
                "broker_records": there.records,
                "rejected": outside,
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
