"""The cache's side: sync tasks that use the client. A worker: `python -m tests.bench.cache`.

Every action subscribes with a client of its own under a new name and reads from the log's start
to known ends, from making the client to the last record.
"""

from __future__ import annotations

import asyncio
import time
import uuid
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pandas  # noqa: F401 - Arrow imports it at the first `to_numpy` wherever it is installed

from cachesvc.client import Client, Mode, Stream
from tests.bench.digest import Digest, Json, Tally
from tests.bench.latency import Latencies
from tests.bench.worker import Say, serve


def read_records(job: Json, _: Say) -> Json:
    """Touch offset and value of every record, as Python objects."""
    return asyncio.run(_read_records(job))


def read_arrow(job: Json, _: Say) -> Json:
    """Touch the columns offset and value of every batch, as an Arrow table."""
    return asyncio.run(_read_arrow(job))


def digest_records(job: Json, _: Say) -> Json:
    """Checksum every record, as Python objects."""
    return asyncio.run(_digest(job, as_arrow=False))


def digest_arrow(job: Json, _: Say) -> Json:
    """Checksum every record, as Arrow columns."""
    return asyncio.run(_digest(job, as_arrow=True))


def follow(job: Json, say: Say) -> Json:
    """Take records as they come, and note how old they are; see `latency`."""
    return asyncio.run(_follow(job, say))


def first_records(job: Json, _: Say) -> Json:
    """Read one record at each of some places, each time with a new client."""
    return asyncio.run(_first_records(job))


def crowd(job: Json, _: Say) -> Json:
    """Hold many streams at once, and count what arrives without decoding it.

    Times are of the clock that all processes of a machine share.
    """
    return asyncio.run(_crowd(job))


async def _read_records(job: Json) -> Json:
    total = sum(job["ends"].values())
    tally = Tally()
    began = ended = time.perf_counter()
    async with _stream(job) as stream:
        async for batch in stream:
            offsets = value_bytes = 0
            for record in batch:
                offsets += record.offset
                value_bytes += len(record.value)  # type: ignore[arg-type]
            tally.records += len(batch)
            tally.offsets += offsets
            tally.value_bytes += value_bytes
            if tally.records >= total:
                ended = time.perf_counter()
                break
    return {"seconds": ended - began, "tally": tally.to_json()}


async def _read_arrow(job: Json) -> Json:
    total = sum(job["ends"].values())
    tally = Tally()
    began = ended = time.perf_counter()
    async with _stream(job) as stream:
        async for batch in stream:
            for part in batch.to_arrow().to_batches():
                tally.add_batch(part)
            if tally.records >= total:
                ended = time.perf_counter()
                break
    return {"seconds": ended - began, "tally": tally.to_json()}


async def _digest(job: Json, *, as_arrow: bool) -> Json:
    total = sum(job["ends"].values())
    digest = Digest()
    async with _stream(job) as stream:
        async for batch in stream:
            if as_arrow:
                for part in batch.arrow_batches():
                    digest.add_batch(batch.partition, part)
            else:
                for piece in batch.pieces():
                    offsets = [record.offset for record in piece]
                    digest.add_records(batch.partition, offsets, [r.value for r in piece])
            if digest.tally.records >= total:
                break
    return {"digest": digest.to_json()}


async def _follow(job: Json, say: Say) -> Json:
    total = sum(job["ends"].values())
    digest = Digest()
    latencies = Latencies(job["warm_offset"])
    async with _stream(job) as stream:
        say("subscribed")
        async for batch in stream:
            records = batch.records()
            now_ns = time.time_ns()
            offsets = [record.offset for record in records]
            latencies.add(now_ns, offsets, [record.key for record in records])
            digest.add_records(batch.partition, offsets, [record.value for record in records])
            if digest.tally.records >= total:
                break
    return {"digest": digest.to_json(), "latencies": latencies.to_json()}


async def _crowd(job: Json) -> Json:
    async with asyncio.TaskGroup() as tasks:
        streams = [tasks.create_task(_count(job)) for _ in range(job["streams"])]
    return {"streams": [stream.result() for stream in streams]}


async def _count(job: Json) -> Json:
    total = sum(job["ends"].values())
    records = 0
    ends: dict[str, int] = {}
    async with _stream(job) as stream:
        opened_s = time.monotonic()
        async for batch in stream:
            records += len(batch)
            ends[str(batch.partition)] = batch.next_position
            if records >= total:
                break
        complete_s = time.monotonic()
    return {"opened_s": opened_s, "complete_s": complete_s, "records": records, "ends": ends}


async def _first_records(job: Json) -> Json:
    found = []
    for partition, offset in job["places"]:
        key = (job["topic"], partition)
        began = time.perf_counter()
        async with (
            Client(job["target"]) as client,
            client.subscribe(
                _new_name(),
                mode=Mode.INCREMENTAL,
                topics=job["topic"],
                start={key: offset},
                end={key: job["ends"][str(partition)]},
            ) as stream,
        ):
            async for batch in stream:
                record = next(iter(batch))
                seconds = time.perf_counter() - began
                found.append([record.offset, zlib.crc32(record.value or b""), seconds])
                break
    return {"found": found}


@asynccontextmanager
async def _stream(job: Json) -> AsyncIterator[Stream]:
    async with (
        Client(job["target"]) as client,
        client.subscribe(
            _new_name(), mode=Mode.FULL_AND_INCREMENTAL, topics=job["topic"]
        ) as stream,
    ):
        yield stream


def _new_name() -> str:
    return f"bench-{uuid.uuid4().hex}"


if __name__ == "__main__":
    serve(
        {
            "records": read_records,
            "arrow": read_arrow,
            "digest-records": digest_records,
            "digest-arrow": digest_arrow,
            "follow": follow,
            "first-records": first_records,
            "crowd": crowd,
        }
    )
