"""Ranges of offsets that a script reads, and reading them."""

import argparse
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from cachesvc.client import (
    Batch,
    Client,
    ClientError,
    Mode,
    PartitionOffsets,
    Position,
    StreamSettings,
)
from console import UNKNOWN, ScriptFailed, time_of

_SETTINGS = StreamSettings(give_up_after_s=30)
_WHERE = "an offset, or a time as 2026-01-31T12:00:00Z"


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets ``[begin, end)`` of one partition."""

    topic: str
    partition: int
    begin: int
    end: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """The topic, and what of it."""
    parser.add_argument("topic")
    parser.add_argument("--connection", default="", help="needed where the service has several")
    parser.add_argument(
        "--partition", type=int, action="append", metavar="N", help="only this one; repeatable"
    )
    parser.add_argument(
        "--from", dest="begin", type=_place, metavar="WHERE", help=f"{_WHERE}; else the log's start"
    )
    parser.add_argument(
        "--to", dest="end", type=_place, metavar="WHERE", help="likewise, exclusive; else its end"
    )


def _place(text: str) -> int | datetime:
    return int(text) if text.isdecimal() else time_of(text)


async def wanted(client: Client, options: argparse.Namespace) -> list[Range]:
    """What the options mean, within what is cached now; empty ranges are left out.

    Raises:
        ScriptFailed: Nothing is cached of what was named.
    """
    begins = await _offsets(client, options, options.begin)
    ends = await _offsets(client, options, options.end)
    ranges = []
    for number, of in sorted(ends.items()):
        if number not in begins or number not in (options.partition or [number]):
            continue
        begin = _offset(options.begin, begins[number], of.log_start_offset)
        end = min(_offset(options.end, of, of.log_end_offset), of.log_end_offset)
        ranges.append(Range(options.topic, number, max(begin, of.log_start_offset), end))
    if not ranges:
        raise ScriptFailed(f"nothing is cached of {options.topic} and these partitions", UNKNOWN)
    return [each for each in ranges if each.begin < each.end]


async def _offsets(
    client: Client, options: argparse.Namespace, place: int | datetime | None
) -> dict[int, PartitionOffsets]:
    at = place if isinstance(place, datetime) else None
    found = await client.list_offsets(options.topic, connection=options.connection, at=at)
    return {of.partition: of for of in found}


def _offset(place: int | datetime | None, of: PartitionOffsets, default: int) -> int:
    match place:
        case None:
            return default
        case int():
            return place
        case _:  # no record is as new as that: the end
            at = of.offset_at_timestamp
            return of.log_end_offset if at is None else at


@asynccontextmanager
async def reading(
    client: Client, options: argparse.Namespace, ranges: Sequence[Range]
) -> AsyncIterator[AsyncIterator[Batch]]:
    """The batches of ranges, by a subscription that goes when this is left, for whatever reason."""
    if not ranges:
        yield _nothing()
        return
    name = f"ops-{secrets.token_hex(6)}"
    try:
        async with client.subscribe(
            name,
            topics=options.topic,
            connection=options.connection,
            mode=Mode.INCREMENTAL,
            start=[Position(each.topic, each.partition, each.begin) for each in ranges],
            end=[Position(each.topic, each.partition, each.end) for each in ranges],
            settings=_SETTINGS,
        ) as stream:
            yield stream
    finally:
        with suppress(ClientError):  # gone with the service, or never made
            await client.delete_subscription(name)


async def _nothing() -> AsyncIterator[Batch]:
    for batch in list[Batch]():
        yield batch
