"""Count and checksum of ranges, of the cache and of the broker."""

import argparse
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import broker
from cachesvc.v1 import admin_pb2
from console import ScriptFailed, Service
from ranges import Range, reading

_REJECTS_MAX = 100_000
Place = tuple[int, int]
"""Partition and offset."""


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


async def of_cache(
    found: Service, options: argparse.Namespace, ranges: Sequence[Range]
) -> dict[int, Sum]:
    """By partition."""
    sums = {each.partition: Sum() for each in ranges}
    async with reading(found.client, options, [r for r in ranges if r.begin < r.end]) as batches:
        async for batch in batches:
            sums[batch.partition].add(batch)
    return sums


async def of_broker(consumer: Any, each: Range, without: set[Place]) -> Sum:
    """Of a range, without some records."""
    found = Sum()
    async for records in broker.records(consumer, each):
        found.add(r for r in records if (each.partition, r.offset) not in without)
    return found


async def turned_away(found: Service, options: argparse.Namespace) -> set[Place]:
    """The records of a topic that the JSON rule turned away.

    Raises:
        ScriptFailed: They are too many to be told.
    """
    request = admin_pb2.ListRejectsRequest(
        connection=options.connection, topic=options.topic, limit=_REJECTS_MAX
    )
    pages = [page async for page in found.admin.ListRejects(request)]
    places = {(each.partition, each.offset) for page in pages for each in page.rejects}
    if len(places) >= _REJECTS_MAX:
        raise ScriptFailed(f"more records of {options.topic} were turned away than can be listed")
    return places
