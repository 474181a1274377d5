"""A log store that runs within a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.log.reading import LogReader
from cachesvc.log.store_settings import LogStoreSettings
from cachesvc.model import PartitionId
from cachesvc.policy.sealing import SealLimits
from cachesvc.store.frames import Frame
from cachesvc.store.ports import TopicEntry
from tests.support.frames import ORDERS

NEVER = SealLimits(bytes_max=1 << 40, records_max=1 << 40, age_ms_max=1 << 40)


def settings(path: Path, **changes: Any) -> LogStoreSettings:
    """Settings under which nothing is sealed by itself."""
    usual = LogStoreSettings(
        path=path,
        memory_bytes_max=1 << 20,
        chunk_cache_bytes_max=1 << 20,
        warm_bytes_max=1 << 30,
        seal=NEVER,
    )
    return replace(usual, **changes)


@asynccontextmanager
async def running(path: Path, **changes: Any) -> AsyncIterator[LogStore]:
    """Opens a store, runs it, and ends it cleanly."""
    store = LogStore.open(settings(path, **changes))
    try:
        async with ran(store):
            yield store
    finally:
        store.close()


async def ensure(store: LogStore, partition: PartitionId, log_start_offset: int) -> PartitionLog:
    """The log of a partition; a new one begins at ``log_start_offset``."""
    if partition not in store.logs:
        await store.changes.create(TopicEntry(starts={partition: log_start_offset}))
    return store.logs[partition]


@asynccontextmanager
async def ran(store: LogStore) -> AsyncIterator[None]:
    """Runs a store that is open."""
    run = asyncio.ensure_future(store.run())
    try:
        yield
    finally:
        store.writer.close()
        await run


async def append(store: LogStore, log: PartitionLog, frames: Iterable[Frame]) -> None:
    """Appends frames at once and waits until all are published."""
    await asyncio.gather(*[store.writer.accept(log, frame) for frame in frames])


async def filled(store: LogStore, frames: Iterable[Frame], begin: int = 0) -> PartitionLog:
    """The log of a partition, with these frames appended."""
    log = await ensure(store, ORDERS, begin)
    await append(store, log, frames)
    return log


async def roll(store: LogStore, log: PartitionLog) -> None:
    """Ends the journal that takes appends and waits until its segment is live."""
    entry = log.active
    assert entry is not None
    assert entry.file is not None
    entry.file.close()
    entry.file = None
    store.sealer.add(log, entry)
    await until(lambda: entry.sealed)


async def read_all(reader: LogReader, log: PartitionLog, offset: int) -> list[Frame]:
    """Everything from exactly this offset to the log's end."""
    frames: list[Frame] = []
    while chunk := await reader.read(log, offset):
        frames += [await reader.slice(chunk[0], offset, chunk[0].end_offset), *chunk[1:]]
        offset = chunk[-1].end_offset
    return frames


async def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    """Waits for something that happens beside the event loop."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.002)
