"""The plain Parquet glob, read by others while compaction and the sweep run.

What was merged stays for the sweep's grace time, so nobody who listed a file finds it gone; what is
listed meanwhile may hold a record twice, never less and never another one.
"""

from __future__ import annotations

import asyncio
import glob
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from cachesvc.jobs.compact import Compact
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.jobs.sweep import Sweep
from cachesvc.log.log_store import LogStore
from cachesvc.policy.retention import RetentionClock
from cachesvc.settings.jobs import CompactConfig
from cachesvc.subscriptions.retention import Retention
from tests.support.frames import ORDERS, full_frames
from tests.unit.log.running import append, ensure, filled, roll, running

DOCUMENT = Path(__file__).parents[2] / "docs" / "store-format.md"
Rows = list[tuple[int, str]]
_RECORDS, _SEGMENTS, _ROUNDS = 4_800, 24, 3
_COLUMNS = ["offset", "value"]


def with_duckdb(pattern: str) -> Rows:
    with duckdb.connect() as connection:
        sql = 'select "offset", value from read_parquet(?)'
        return connection.execute(sql, [pattern]).fetchall()


def with_pandas(pattern: str) -> Rows:
    files = glob.glob(pattern)
    frame = pd.concat([pd.read_parquet(file, columns=_COLUMNS) for file in files])
    return list(zip(frame["offset"].tolist(), frame["value"].tolist(), strict=True))


def with_polars(pattern: str) -> Rows:
    return pl.scan_parquet(pattern).select(_COLUMNS).collect().rows()


def with_arrow_dataset(pattern: str) -> Rows:
    """Lists first and opens file by file later, as Spark does."""
    files = glob.glob(pattern)
    table = ds.dataset(files, format="parquet").to_table(columns=_COLUMNS)
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


async def many_segments(store: LogStore) -> None:
    size = _RECORDS // _SEGMENTS
    log = await filled(store, full_frames(0, size, size))
    await roll(store, log)
    for begin in range(size, _RECORDS, size):
        await append(store, log, full_frames(begin, begin + size, size))
        await roll(store, log)


async def reads_meanwhile(
    store: LogStore, read: Callable[[str], Rows]
) -> tuple[Sequence[Rows], int]:
    """What is read again and again while jobs run and once behind them, and how many files are."""
    retention = Retention(RetentionClock.MINED, 259_200)
    compact = Compact(store, CompactConfig(segment_bytes_target=1 << 20), retention)
    sweep = Sweep(store, RetiredFiles(store, retention, 600), 600)
    pattern = f"{store.path}/log/*/orders/*/*/*.parquet"

    async def jobs() -> None:
        for _ in range(_ROUNDS):
            await compact.run(lambda *_: None)
            await sweep.run(lambda *_: None)

    running_jobs = asyncio.ensure_future(jobs())
    found = [await asyncio.to_thread(read, pattern)]
    while not running_jobs.done():
        found.append(await asyncio.to_thread(read, pattern))
    await running_jobs
    found.append(await asyncio.to_thread(read, pattern))
    (log,) = store.all()
    return found, len(log.segments)


@pytest.mark.parametrize("read", [with_duckdb, with_pandas, with_polars, with_arrow_dataset])
def test_every_record_is_there_all_the_time(tmp_path: Path, read: Callable[[str], Rows]) -> None:
    truth = {(offset, f'{{"id":{offset}}}') for offset in range(_RECORDS)}

    async def run() -> None:
        async with running(tmp_path) as store:
            await many_segments(store)
            found, segments = await reads_meanwhile(store, read)
            assert segments < _SEGMENTS, "nothing was merged"
            for rows in found:
                assert set(rows) == truth
            assert len(found[-1]) == 2 * _RECORDS, "what was merged has its grace time"
            await gone_once_the_grace_is_over(store)
            assert sorted(read(f"{tmp_path}/log/*/orders/*/*/*.parquet")) == sorted(truth)

    asyncio.run(run())


async def gone_once_the_grace_is_over(store: LogStore) -> None:
    retired = RetiredFiles(store, Retention(RetentionClock.MINED, 259_200), 0)
    removed, _, _ = await retired.delete_due()
    assert removed == _SEGMENTS


def documented(language: str) -> list[str]:
    """The queries of the format's document, but for the one that may see a record twice."""
    section = DOCUMENT.read_text().partition("### Reading them with other tools")[2]
    found = re.findall(f"```{language}\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    return found[1:] if language == "sql" else found


def test_queries_of_the_document_see_a_record_once_while_merged_files_stay(tmp_path: Path) -> None:
    second = ORDERS.topic_id.partition(1)
    truth = [(number, offset) for number in (0, 1) for offset in range(20)]

    async def run() -> None:
        async with running(tmp_path) as store:
            for partition in (ORDERS, second):
                log = await ensure(store, partition, 0)
                for begin in (0, 10):
                    await append(store, log, full_frames(begin, begin + 10, 10))
                    await roll(store, log)
            retention = Retention(RetentionClock.MINED, 259_200)
            compact = Compact(store, CompactConfig(segment_bytes_target=1 << 20), retention)
            await compact.run(lambda *_: None)
            assert [len(log.segments) for log in store.all()] == [1, 1]
        assert len(with_duckdb(f"{tmp_path}/log/*/orders/*/*/*.parquet")) == 2 * len(truth)

    asyncio.run(run())
    (query,) = documented("sql")
    found = duckdb.execute(query.replace("<store>", str(tmp_path))).fetchall()
    assert [row[:2] for row in found] == truth
    # Spark has a test of its own, among those of what other people have.
    with_frames = [code for code in documented("python") if "pyspark" not in code]
    assert len(with_frames) == 2
    for code in with_frames:
        names: dict[str, Any] = {}
        exec(code.replace("<store>", str(tmp_path)), names)
        columns = (names["records"][name].to_list() for name in ("partition", "offset"))
        assert list(zip(*columns, strict=True)) == truth, code
