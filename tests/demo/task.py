"""A sync task as a process of its own: python -m tests.demo.task JOB.

It prints a line of JSON every now and then, and a last one with "checksum". It ends when its
stream is complete or when its standard input is closed, and commits its positions before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from cachesvc.client import (
    Batch,
    CaughtUp,
    Client,
    ClientError,
    FellBehind,
    Mode,
    Position,
    Started,
    Stream,
)
from tests.demo.checksum import Checksum

_REPORT_S = 0.2
_SLOW_BATCH_BYTES = 64 * 1024

Job = Mapping[str, Any]
"""address, name, topics, arrow; end: [topic, partition, offset] each, or none; records_per_s."""


class SyncTask:
    """Subscribes, takes what comes, and tells how far it is."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._arrow: bool = job["arrow"]
        self._records_per_s: float | None = job["records_per_s"]
        self._checksum = Checksum()
        self._began = 0.0
        self._waiting_for: set[str] = set()

    async def run(self) -> None:
        """Runs to the end.

        Raises:
            ClientError: The service refuses it, or cannot be reached.
        """
        job = self._job
        end = [Position(*position) for position in job["end"]] or None
        async with (
            Client(job["address"]) as client,
            client.subscribe(
                job["name"],
                topic_expression=job["topics"],
                mode=Mode.FULL_AND_INCREMENTAL,
                end=end,
                batch_bytes_max=_SLOW_BATCH_BYTES if self._records_per_s else 0,
            ) as stream,
        ):
            await self._run(stream)

    async def _run(self, stream: Stream) -> None:
        consuming = asyncio.create_task(self._consume(stream))
        dismissed = asyncio.create_task(_stdin_closed())
        while not (consuming.done() or dismissed.done()):
            await asyncio.wait(
                (consuming, dismissed), timeout=_REPORT_S, return_when=asyncio.FIRST_COMPLETED
            )
            await stream.commit(stream.position)
            self._report(stream)
        dismissed.cancel()
        if consuming.done():
            consuming.result()
        consuming.cancel()
        await asyncio.wait((consuming, dismissed))
        await stream.commit(stream.position)
        self._report(stream, checksum=self._checksum.hex())

    async def _consume(self, stream: Stream) -> None:
        async for event in stream.events():
            match event:
                case Started():
                    self._began = time.monotonic()
                    self._waiting_for = {topic for topic, _ in event.positions}
                case Batch():
                    self._take(event)
                    await self._keep_pace()
                case CaughtUp():
                    self._waiting_for.discard(event.topic)
                case FellBehind():
                    self._waiting_for.add(event.topic)

    def _take(self, batch: Batch) -> None:
        """Where a real task would write to its target."""
        if self._arrow:
            for part in batch.arrow_batches():
                self._checksum.add_batch(batch.topic, batch.partition, part)
            return
        for piece in batch.pieces():
            offsets = [record.offset for record in piece]
            values = [record.value for record in piece]
            self._checksum.add_records(batch.topic, batch.partition, offsets, values)

    async def _keep_pace(self) -> None:
        if self._records_per_s is not None:
            due = self._began + self._checksum.records / self._records_per_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _report(self, stream: Stream, **more: str) -> None:
        report = {
            "records": self._checksum.records,
            "live": not self._waiting_for,
            "positions": [[p.topic, p.partition, p.offset] for p in stream.position.values()],
            **more,
        }
        print(json.dumps(report), flush=True)


async def _stdin_closed() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def main() -> int:
    """Runs the task that the first argument describes; returns the exit code."""
    job = json.loads(sys.argv[1])
    try:
        asyncio.run(SyncTask(job).run())
    except ClientError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
