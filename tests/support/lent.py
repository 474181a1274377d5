"""What a task was handed in shared memory, told from what came in messages."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from cachesvc.client import Batch, Client, Mode
from cachesvc.client.payload import LentPayload
from tests.support.checker import Anomaly, HasOffsetAndValue, Observation, check
from tests.support.tasks import PATIENCE_S, Delivered


@dataclass(slots=True)
class Told:
    """What a stream gave, and which way it came.

    Attributes:
        delivered: The records.
        lent: How many batches came in shared memory.
        sent: How many came in messages.
    """

    delivered: Delivered = field(default_factory=Delivered)
    lent: int = 0
    sent: int = 0

    def add(self, batch: Batch) -> None:
        """Enters a batch."""
        self.delivered.add(batch)
        if is_lent(batch):
            self.lent += 1
        else:
            self.sent += 1

    def wrong(
        self, truth: Mapping[int, Sequence[HasOffsetAndValue]], topic: str, task: str = "task"
    ) -> list[Anomaly]:
        """What is wrong with a stream that was to give all of a topic."""
        rows = self.delivered.of(topic)
        return check(truth, [Observation(task, number, rows.get(number, [])) for number in truth])


def is_lent(batch: Batch) -> bool:
    """Whether the records of a batch lie in memory that the service shares."""
    return isinstance(batch.payload, LentPayload)


async def told(
    address: str, name: str, topic: str, *, token: str | None = None, **how: Any
) -> Told:
    """All that a FULL stream gives."""
    found = Told()
    async with (
        asyncio.timeout(PATIENCE_S),
        Client(address, token=token) as client,
        client.subscribe(name, topics=[topic], mode=Mode.FULL, **how) as stream,
    ):
        async for batch in stream:
            found.add(batch)
    return found


def checksum(table: pa.Table) -> str:
    """Of every value of a table as it is in memory now."""
    found = hashlib.sha256()
    for batch in table.to_batches():
        found.update(batch.serialize())
    return found.hexdigest()


def shared_bytes(pid: int) -> int:
    """Of the pages that a process has of memory shared with others."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssShmem:"):
            return int(line.split()[1]) << 10
    raise AssertionError(f"process {pid} has no RssShmem")


def mapped_blocks(pid: int) -> int:
    """How many blocks of the service's memory a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return sum("cachesvc-records" in line for line in maps.splitlines())
