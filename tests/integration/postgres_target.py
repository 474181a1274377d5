"""What tests of the PostgreSQL sink do and ask: writing, checking, rows as changes."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from cachesvc.client import Positions
from cachesvc.sync import Changes, Check, Sink, TaskContext
from cachesvc.sync.sinks.postgres import POSTGRES
from cachesvc.sync.testing import changes, delete, delivery, put
from tests.support.postgres import PostgresServer

PLAIN = {"id": "bigint", "partition": "int", "number": "int", "note": "text"}
numbers = itertools.count()


def settings_of(server: PostgresServer, table: str, **more: Any) -> dict[str, Any]:
    place = {"conninfo": server.dsn, "password_env": "WAREHOUSE_PASSWORD", "table": table}
    return {**place, "positions_table": f"positions_{table}", **more}


def sink_of(settings: Mapping[str, Any], task: str = "task", *, shared: bool = False) -> Sink:
    context = TaskContext(task, shared=shared)
    return POSTGRES.make(msgspec.convert(settings, POSTGRES.settings), context)


def write(settings: Mapping[str, Any], *pieces: Changes) -> Positions | None:
    """What open says, after a sink of its own has written a delivery."""

    async def live() -> Positions | None:
        sink = sink_of(settings)
        try:
            await sink.open()
            await sink.write(delivery(*pieces))
            return await sink.open()
        finally:
            await sink.close()

    return asyncio.run(live())


def checked(settings: Mapping[str, Any]) -> Sequence[Check]:
    async def live() -> Sequence[Check]:
        return await sink_of(settings).check()

    return asyncio.run(live())


def values(*texts: str | None, key: bytes | None = None) -> Changes:
    """Changes with these texts as values; those without are tombstones."""
    piece = changes([put(n) if text else delete(n, of=n) for n, text in enumerate(texts)])
    columns = dict(zip(piece.rows.schema.names, piece.rows.columns, strict=True))
    columns["value"] = pa.array(texts, pa.string())
    if key is not None:
        columns["key"] = pa.array([key] * len(texts), pa.binary())
    return piece.with_rows(
        pa.RecordBatch.from_arrays([*columns.values()], schema=piece.rows.schema)
    )
