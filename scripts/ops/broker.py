"""A topic as the broker has it, read with aiokafka, which comes with the service."""

import argparse
import asyncio
import importlib
import time
import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from console import ScriptFailed, Service, connection
from ranges import Range

_SILENCE_S_MAX = 30.0
_POLL_MS = 200
_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the broker is, and what it takes to get in."""
    parser.add_argument("--kafka", metavar="HOST:PORT", help="else the servers of the connection")
    parser.add_argument(
        "--kafka-settings", metavar="FILE", type=Path, help="arguments of AIOKafkaConsumer, as TOML"
    )


@asynccontextmanager
async def consumer(found: Service, options: argparse.Namespace) -> AsyncIterator[Any]:
    """A consumer that belongs to no group and commits nothing.

    Raises:
        ScriptFailed: aiokafka is not installed, or the broker is not known or not reached.
    """
    try:
        aiokafka = importlib.import_module("aiokafka")
        helpers = importlib.import_module("aiokafka.helpers")
    except ImportError as error:
        raise ScriptFailed("this needs aiokafka: pip install aiokafka") from error
    settings: dict[str, Any] = {"isolation_level": "read_committed"}
    if options.kafka_settings is not None:
        text = await asyncio.to_thread(options.kafka_settings.read_text)
        settings |= tomllib.loads(text)
    files = {name.removeprefix("ssl_"): settings.pop(name, None) for name in _FILES}
    if any(files.values()):
        settings["ssl_context"] = helpers.create_ssl_context(**files)
    settings["enable_auto_commit"] = False
    servers = options.kafka
    if servers is None:
        servers = list((await connection(found, options.connection)).bootstrap_servers)
    try:
        async with aiokafka.AIOKafkaConsumer(bootstrap_servers=servers, **settings) as made:
            yield made
    except aiokafka.errors.KafkaError as error:
        raise ScriptFailed(f"the broker at {servers}: {error}") from error


async def still_there(consumer: Any, ranges: Sequence[Range]) -> list[Range]:
    """What the broker has of ranges: it may have deleted the beginning."""
    partitions = {each: _partition(each) for each in ranges}
    begins = await consumer.beginning_offsets(list(partitions.values()))
    return [
        replace(each, begin=min(max(each.begin, begins[partition]), each.end))
        for each, partition in partitions.items()
    ]


async def records(consumer: Any, each: Range) -> AsyncIterator[Sequence[Any]]:
    """The records of a range, in the order of their offsets.

    Raises:
        ScriptFailed: The broker gives nothing more before its end.
    """
    partition = _partition(each)
    consumer.assign([partition])
    consumer.seek(partition, each.begin)
    position, heard = each.begin, time.monotonic()
    while position < each.end:
        got = await consumer.getmany(partition, timeout_ms=_POLL_MS)
        before, position = position, await consumer.position(partition)
        if position > before:  # also where there are no records, but markers of transactions
            heard = time.monotonic()
            yield [record for record in got.get(partition, ()) if record.offset < each.end]
        elif time.monotonic() - heard > _SILENCE_S_MAX:
            raise ScriptFailed(f"the broker gives nothing of {partition} from {position} on")


def _partition(each: Range) -> Any:
    return importlib.import_module("aiokafka").TopicPartition(each.topic, each.partition)
