"""A sync task for any environment: smoke.py ADDRESS TOPIC EXPECTED NAME.

Reads the topic in every form that the client gives, each form as a subscription of its own, in two
sittings with a commit between them, and compares with the rows of EXPECTED. Imports nothing but the
client and what it hands records to. Prints as JSON how many records each form had, where the client
came from, and whether the service is there too.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

import cachesvc.client
from cachesvc.client import Batch, Client, Encoding, Mode

Row: TypeAlias = tuple[int, int, int, str | None, str | None, list[list[Any]]]
"""Partition, offset, timestamp in ms, key, value, and headers with their values in hex."""

_TIMEOUT_S = 60.0


def as_records(batch: Batch) -> list[Row]:
    return [
        (
            record.partition,
            record.offset,
            record.timestamp_ms,
            None if record.key is None else record.key.decode(),
            None if record.value is None else record.value.decode(),
            [
                [each.key, None if each.value is None else each.value.hex()]
                for each in record.headers
            ],
        )
        for record in batch
    ]


def as_arrow(batch: Batch) -> list[Row]:
    return from_columns(batch, batch.to_arrow().to_pylist())


def as_pandas(batch: Batch) -> list[Row]:
    frame = batch.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    return from_columns(batch, frame.to_dict("records"))


def as_polars(batch: Batch) -> list[Row]:
    return from_columns(batch, batch.to_polars().iter_rows(named=True))


def from_columns(batch: Batch, rows: Iterable[Mapping[Any, Any]]) -> list[Row]:
    return [
        (
            batch.partition,
            row["offset"],
            milliseconds(row["timestamp"]),
            None if row["key"] is None else row["key"].decode(),
            row["value"] if isinstance(row["value"], str) else None,
            [
                [each["key"], None if each["value"] is None else each["value"].hex()]
                for each in (() if row["headers"] is None else row["headers"])
            ],
        )
        for row in rows
    ]


def milliseconds(at: datetime) -> int:
    assert at.tzinfo is not None
    return round(at.timestamp() * 1_000)


FORMS: Mapping[str, tuple[Encoding, Callable[[Batch], list[Row]]]] = {
    "records": (Encoding.ARROW_IPC, as_records),
    "messages": (Encoding.RECORDS, as_records),
    "arrow": (Encoding.ARROW_IPC, as_arrow),
    "pandas": (Encoding.ARROW_IPC, as_pandas),
    "polars": (Encoding.ARROW_IPC, as_polars),
}


async def read(client: Client, name: str, topic: str, form: str) -> list[Row]:
    """All rows of a topic: those of the first batch, and the others behind a commit."""
    encoding, rows_of = FORMS[form]
    rows: list[Row] = []
    async with client.subscribe(name, topics=topic, mode=Mode.FULL, encoding=encoding) as stream:
        async for batch in stream:
            rows += rows_of(batch)
            await stream.commit(batch.position)
            break
    async with client.subscribe(name, topics=topic, mode=Mode.FULL, encoding=encoding) as stream:
        async for batch in stream:
            rows += rows_of(batch)
            await stream.commit(batch.position)
        await stream.commit()
    assert (await client.get_subscription(name)).full_sync_done
    return rows


async def main(address: str, topic: str, expected: list[Row], name: str) -> dict[str, int]:
    counts = {}
    async with asyncio.timeout(_TIMEOUT_S), Client(address) as client:
        for form in FORMS:
            rows = sorted(await read(client, f"{name}-{form}", topic, form))
            different = [pair for pair in zip(rows, expected, strict=False) if pair[0] != pair[1]]
            assert not different, f"{form}: {different[0][0]} instead of {different[0][1]}"
            assert len(rows) == len(expected), f"{form}: {len(rows)} records of {len(expected)}"
            counts[form] = len(rows)
    return counts


if __name__ == "__main__":
    _, where, what, path, who = sys.argv
    rows = sorted(map(tuple, json.loads(Path(path).read_text())))
    told: dict[str, object] = {"counts": asyncio.run(main(where, what, rows, who))}
    told["client"] = cachesvc.client.__file__
    told["service"] = importlib.util.find_spec("cachesvc.serving") is not None
    print(json.dumps(told))
