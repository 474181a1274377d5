"""A sync task with transforms and a sink that counts. A worker.

`python -m tests.bench.transforming`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cachesvc.client import Positions
from cachesvc.sync import Check, Delivery, Task
from cachesvc.sync.parts import parts_of
from cachesvc.sync.transforms import sql  # noqa: F401 - else a task loads it while it is timed
from tests.bench.digest import Json
from tests.bench.worker import Say, serve


def on_records(record: dict[str, Any]) -> dict[str, Any]:
    """A function of a user's: takes the row, and adds a field."""
    value = record["value"]
    return {**record, "value": {**value["after"], "by": value["op"]}}


def on_batches(batch: pa.RecordBatch) -> pa.Table:
    """A function of a user's, in columns: one text for another."""
    values = pc.replace_substring(batch.column("value"), '"op":"c"', '"op":"r"')
    return pa.table({"offset": batch.column("offset"), "value": values})


class _Counting:
    """Takes everything, and counts."""

    def __init__(self) -> None:
        self.rows = 0

    async def open(self) -> Positions | None:
        return None

    async def write(self, delivery: Delivery) -> None:
        self.rows += sum(map(len, delivery.changes))

    async def check(self) -> list[Check]:
        return []

    async def close(self) -> None:
        pass


def run_task(job: Json, _: Say) -> Json:
    """Carries a topic through transforms; seconds, rows of the sink, refused records."""
    return asyncio.run(_run_task(job))


async def _run_task(job: Json) -> Json:
    config: dict[str, Any] = {
        "name": f"bench-{uuid.uuid4().hex}",
        "source": {"service": job["service"], "topics": [job["topic"]], "mode": "FULL"},
        "transforms": job["transforms"],
        "sink": {"kind": "jsonl", "path": "-"},
    }
    sink = _Counting()
    began = time.perf_counter()
    async with Task(parts_of(config, sink=sink)) as task:
        await task.wait()
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "rows": sink.rows, "refused": task.status().refused}


if __name__ == "__main__":
    serve({"run": run_task})
