"""What a task lets go of is the service's again, however much at a time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pyarrow as pa
import pytest

from cachesvc.client import Client, Mode, Stream
from tests.faults.stage import eventually, objects
from tests.support.kafka_broker import KafkaBroker
from tests.support.lent import is_lent, mapped_blocks, shared_bytes, told
from tests.support.service import ServiceProcess
from tests.support.topics import create_topic, produce

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

TOPIC = "bursts"
# More batches than one stream has at a time, each just worth handing over.
PARTITIONS = 160
LOANS_MAX = 100
RECORDS = 60 * PARTITIONS
BYTES = 1_000
SETTINGS: dict[str, dict[str, Any]] = {"server": {"shared_memory_bytes_max": 1 << 30}}


@pytest.fixture(scope="module")
def service(
    kafka: KafkaBroker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    create_topic(kafka.bootstrap, TOPIC, PARTITIONS)
    produce(kafka.bootstrap, TOPIC, objects(0, RECORDS, PARTITIONS, BYTES))
    with ServiceProcess(tmp_path_factory.mktemp("bursts"), kafka.bootstrap, SETTINGS) as started:
        asyncio.run(told(started.address, "mines", TOPIC))
        yield started


@asynccontextmanager
async def _stays(
    service: ServiceProcess, name: str
) -> AsyncIterator[tuple[Stream, list[pa.Table]]]:
    """A stream that stays, and the tables of all that there was."""
    tables: list[pa.Table] = []
    async with (
        asyncio.timeout(200),
        Client(service.address) as client,
        client.subscribe(name, topics=[TOPIC], mode=Mode.FULL_AND_INCREMENTAL) as stream,
    ):
        rows = 0
        async for batch in stream:
            rows += len(batch)
            if is_lent(batch):
                tables.append(batch.to_arrow())
            if rows == RECORDS:
                break
        del batch
        yield stream, tables


def test_what_is_let_go_of_all_at_once_is_given_back(service: ServiceProcess) -> None:
    """While the service is busy with something else; the stream goes on and stays idle."""

    async def run() -> None:
        before = mapped_blocks(os.getpid())
        async with _stays(service, "lets-go") as (_, tables):
            assert len(tables) == LOANS_MAX
            assert mapped_blocks(os.getpid()) >= before + len(tables)
            service.signal(signal.SIGSTOP)
            tables.clear()
            service.signal(signal.SIGCONT)
            await asyncio.to_thread(
                eventually, lambda: not shared_bytes(service.pid), "the service to have it", 60
            )
            await asyncio.to_thread(
                eventually, lambda: mapped_blocks(os.getpid()) <= before, "the task to unmap it", 30
            )

    asyncio.run(run())
