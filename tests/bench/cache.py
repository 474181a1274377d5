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
from contextlib import AsyncExitStack, asynccontextmanager

import pandas  # noqa: F401 - Arrow imports it at the first `to_numpy` wherever it is installed

from cachesvc.client import Client, Mode, Position, Stream
from tests.bench import filtering
from tests.bench.digest import Digest, Json, Tally
from tests.bench.latency import Latencies
from tests.bench.worker import Say, serve

_STREAMS_PER_CONNECTION = 50


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


def idle(job: Json, say: Say) -> Json:
    """Hold many streams on which nothing happens."""
    return asyncio.run(_idle(job, say))


def commits(job: Json, _: Say) -> Json:
    """Commit after each of some records, each caller one after the other."""
    return asyncio.run(_commits(job))


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
    began_s = time.monotonic()
    async with _stream(job) as stream:
        opened_s = time.monotonic()
        async for batch in stream:
            records += len(batch)
            ends[str(batch.partition)] = batch.next_position
            if records >= total:
                break
        complete_s = time.monotonic()
    times = {"began_s": began_s, "opened_s": opened_s, "complete_s": complete_s}
    return {**times, "records": records, "ends": ends}


async def _idle(job: Json, say: Say) -> Json:
    """Streams of tasks that share connections, which is how many of them fit a process.

    Those of one connection are opened one after the other, beside those of all others.
    """
    counts = [
        min(_STREAMS_PER_CONNECTION, job["streams"] - first)
        for first in range(0, job["streams"], _STREAMS_PER_CONNECTION)
    ]
    all_of_them = asyncio.Barrier(len(counts) + 1)
    async with asyncio.TaskGroup() as tasks:
        held = [tasks.create_task(_hold(job, count, all_of_them)) for count in counts]
        await all_of_them.wait()
        say("subscribed")
        await asyncio.sleep(job["idle_s"])
        say("idle")
        await all_of_them.wait()
    return {"open": sum(each.result() for each in held)}


async def _hold(job: Json, count: int, all_of_them: asyncio.Barrier) -> int:
    """Hold streams of one connection, until all say that it is over; how many are open then."""
    async with AsyncExitStack() as stack:
        reading: list[asyncio.Task[None]] = []
        stack.callback(lambda: [task.cancel() for task in reading])
        client = await stack.enter_async_context(Client(job["target"]))
        for _ in range(count):
            subscribed = client.subscribe(_new_name(), mode=Mode.INCREMENTAL, topics=job["topic"])
            stream = await stack.enter_async_context(subscribed)
            reading.append(asyncio.create_task(_discard(stream)))
        await all_of_them.wait()
        await all_of_them.wait()
        return sum(not task.done() for task in reading)


async def _discard(stream: Stream) -> None:
    async for _ in stream:
        pass


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


async def _commits(job: Json) -> Json:
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(_stream(job)) for _ in range(job["callers"])]
        async with asyncio.TaskGroup() as tasks:
            read = [tasks.create_task(_read_some(each, job["commits"])) for each in streams]
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for stream, positions in zip(streams, read, strict=True):
                tasks.create_task(_commit_each(stream, positions.result()))
        return {"seconds": time.perf_counter() - began}


async def _read_some(stream: Stream, count: int) -> list[Position]:
    positions: list[Position] = []
    async for batch in stream:
        positions += [record.position for record in batch]
        if len(positions) >= count:
            break
    return positions[:count]


async def _commit_each(stream: Stream, positions: list[Position]) -> None:
    for position in positions:
        await stream.commit(position)


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
            "commits": commits,
            "idle": idle,
            "filter-service": filtering.by_service,
            "filter-client": filtering.by_client,
            "filter-bytes": filtering.count_bytes,
        }
    )
