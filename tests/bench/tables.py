"""Filling a table, by COPY or by a sync task. A worker: `python -m tests.bench.tables`."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pandas  # noqa: F401 - Arrow imports it at the first `to_numpy` wherever it is installed
import psycopg

from cachesvc.sync.sinks import postgres  # noqa: F401 - else a task loads it while it is timed
from cachesvc.sync.task import Task
from tests.bench.digest import Json
from tests.bench.worker import Say, serve

_PIECE_BYTES = 1 << 20


def copy(job: Json, _: Say) -> Json:
    """Copy a prepared file into a table, in one transaction."""
    with psycopg.connect(job["dsn"]) as connection, Path(job["file"]).open("rb") as file:
        began = time.perf_counter()
        with connection.cursor() as cursor, cursor.copy(f"copy {job['table']} from stdin") as into:
            while piece := file.read(_PIECE_BYTES):
                into.write(piece)
        connection.commit()
        return {"seconds": time.perf_counter() - began}


def upsert(job: Json, _: Say) -> Json:
    """Copy a prepared file beside a table and merge it in, in one transaction: all by hand."""
    table, key = job["table"], job["key"]
    others = ", ".join(f"{name} = excluded.{name}" for name in job["columns"] if name != key)
    with psycopg.connect(job["dsn"]) as connection, Path(job["file"]).open("rb") as file:
        began = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute(f"create temporary table beside (like {table}) on commit drop")
            with cursor.copy("copy beside from stdin") as into:
                while piece := file.read(_PIECE_BYTES):
                    into.write(piece)
            merged = f"on conflict ({key}) do update set {others}"
            cursor.execute(f"insert into {table} select * from beside {merged}")
        connection.commit()
        return {"seconds": time.perf_counter() - began}


def sync(job: Json, _: Say) -> Json:
    """Run a task to its end, from starting it to its last position."""
    os.environ[job["password_env"]] = job["password"]
    return asyncio.run(_sync(job))


async def _sync(job: Json) -> Json:
    began = time.perf_counter()
    async with Task(job["task"]) as task:
        status = await task.wait()
    return {"seconds": time.perf_counter() - began, "records": status.records}


if __name__ == "__main__":
    serve({"copy": copy, "upsert": upsert, "sync": sync})
