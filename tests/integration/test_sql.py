"""Queries over a store, each in its process: what they see, and what they cannot do."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from pyarrow import ipc

from cachesvc.bounds import Bounds
from cachesvc.errors import CacheError, DamagedFile
from cachesvc.jobs.models import LOAD_TIME, RefreshModels
from cachesvc.log.log_store import LogStore
from cachesvc.model import PartitionId
from cachesvc.sql.engine import QueryEngine, QuerySettings
from cachesvc.sql.views import LogViews
from tests.support.frames import ORDERS, Record, frame, full_frames
from tests.unit.log.running import append, ensure, filled, roll, running, until

pytestmark = pytest.mark.timeout(120)
BOUNDS = Bounds(memory_bytes_max=256 << 20, spill_bytes_max=64 << 20, threads=2, time_s_max=60.0)
# Neither comes to an end; the one takes time, the other memory.
ENDLESS = "select sum(i * j) from range(1000000000000) a(i), range(1000000) b(j)"
HUGE = "select list(i) from range(1000000000000) t(i)"

FETCH_BYTES_MAX = 1 << 30


def engine_of(store: LogStore, queries_max: int = 2, **bounds: Any) -> QueryEngine:
    changed = Bounds(**{name: getattr(BOUNDS, name) for name in BOUNDS.__struct_fields__} | bounds)
    settings = QuerySettings(True, queries_max, changed, store.path / "queries")
    return QueryEngine(settings, LogViews(store, FETCH_BYTES_MAX))


async def table(engine: QueryEngine, sql: str, **how: Any) -> pa.Table:
    data, counted = b"", -1
    async for part in engine.run(sql, **how):
        if isinstance(part, bytes):
            data += part
        elif isinstance(part, int):
            counted = part
    found = ipc.open_stream(data).read_all()
    assert counted == found.num_rows
    return found


async def rows(engine: QueryEngine, sql: str, **how: Any) -> list[tuple[Any, ...]]:
    found = await table(engine, sql, **how)
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


async def refused(engine: QueryEngine, sql: str) -> CacheError:
    with pytest.raises(CacheError) as caught:
        await table(engine, sql)
    return caught.value


def with_store(path: Path, test: Callable[[LogStore], Coroutine[Any, Any, None]]) -> None:
    """Runs a test on a log of 6,000 records: 4,000 in two segments, the others in a journal."""

    async def run() -> None:
        async with running(path) as store:
            log = await filled(store, full_frames(0, 2_000, 500))
            await roll(store, log)
            await append(store, log, full_frames(2_000, 4_000, 500))
            await roll(store, log)
            await append(store, log, full_frames(4_000, 6_000, 500))
            await test(store)
            assert not list((path / "queries").glob("*")), "a query leaves nothing"

    asyncio.run(run())


def test_it_sees_the_whole_log(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        other = PartitionId("main", "orders", 1, 3)
        log = await ensure(store, other, 100)
        last = Record(105, None, None, 5, (("h", b"\xff"), ("n", None)), 1)
        await append(store, log, [frame(100, 110, [Record(101, '{"a":"ü"}', b"\x00k", -1), last])])
        engine = engine_of(store)
        assert await rows(
            engine,
            'select "partition", count(*), count(distinct "offset"), min("offset"), max("offset") '
            "from log('orders') group by 1 order by 1",
        ) == [(0, 6_000, 6_000, 0, 5_999), (3, 2, 2, 101, 105)]
        found = await table(engine, 'from log(\'orders\') where "partition" = 3 order by "offset"')
        assert found.column_names == [
            *("connection", "topic", "incarnation", "partition", "offset", "timestamp"),
            *("timestamp_type", "key", "value", "headers"),
        ]
        first, second = found.to_pylist()
        assert (first["key"], first["value"]) == (b"\x00k", '{"a":"ü"}')
        assert first["timestamp"].timestamp() == -0.001
        assert (second["value"], second["timestamp_type"]) == (None, 1)
        assert second["headers"] == [{"key": "h", "value": b"\xff"}, {"key": "n", "value": None}]
        # Read twice in one query, and with nothing of it.
        doubled = "select count(*) from log('orders') a join log('orders') b using (\"offset\")"
        assert await rows(engine, doubled) == [(6_006,)]
        assert await rows(engine, "select 1 + 1") == [(2,)]

    with_store(tmp_path, test)


def test_a_log_of_which_nothing_is_cached_has_no_rows(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        await ensure(store, PartitionId("main", "new.topic", 1, 0), 7)
        assert await rows(engine_of(store), "select count(*) from log('new.topic')") == [(0,)]

    with_store(tmp_path, test)


def test_typed_columns_are_those_of_the_model(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        log = await ensure(store, PartitionId("main", "things", 1, 0), 0)
        values = [
            '{"id": 1, "offset": "mine", "after": {"x": 1.5, "n\\"q": true}, "tags": ["a"]}',
            '{"id": 9007199254740993, "tags": [], "mixed": 1}',
            '{"id": null, "mixed": {"deep": [1]}}',
        ]
        await append(store, log, [frame(0, 3, [Record(n, v) for n, v in enumerate(values)])])
        await RefreshModels(store, 3_600, 1_000, lambda _: LOAD_TIME).run(lambda *_: None)
        await append(store, log, [frame(3, 5, [Record(3, None), Record(4, '{"id": "late"}')])])
        engine = engine_of(store)
        found = await table(engine, "from log_table('things') order by \"offset\"")
        assert found.column("id").to_pylist() == [1, 9007199254740993, None, None, None]
        assert found.column("offset").to_pylist() == [0, 1, 2, 3, 4]
        assert found.column("offset_1").to_pylist()[0] == "mine"
        assert found.column("after").to_pylist()[0] == {'n"q': True, "x": 1.5}
        assert found.column("tags").to_pylist()[:2] == [["a"], []]
        mixed = [each and json.loads(each) for each in found.column("mixed").to_pylist()]
        assert mixed == [None, 1, {"deep": [1]}, None, None]
        assert await rows(engine, "select sum(after.x) from log_table('things')") == [(1.5,)]

    with_store(tmp_path, test)


def test_the_examples_of_the_documentation(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
    queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    queries += re.findall(r'^cachesvc sql "(.*?)"', text, re.MULTILINE)
    # Those of snapshots are in test_sql_snapshots.py.
    queries = [each for each in queries if "snapshot(" not in each]
    order = '{"op": "c", "after": {"id": 1, "price": 2.5}}'
    payment = '{"after": {"order_id": 1, "amount": 3}}'

    async def test(store: LogStore) -> None:
        for topic, value in (("orders", order), ("payments", payment)):
            log = await ensure(store, PartitionId("shop", topic, 1, 0), 0)
            await append(store, log, [frame(0, 20, [Record(15, value, b"o-17")])])
        await RefreshModels(store, 3_600, 1_000, lambda _: LOAD_TIME).run(lambda *_: None)
        answers = [
            await rows(engine_of(store), sql, connection="shop")
            for sql in [*queries, "describe from log_table('orders')"]
        ]
        assert [len(each) for each in answers] == [1, 1, 1, 1, 1, 1, 0, 12]
        assert answers[1:3] == [[(1, 3.0)], [(15, 3)]]

    with_store(tmp_path, test)


def damage(path: Path, share: float) -> None:
    """Flips a bit of a page that lies there."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 1
    path.unlink()
    path.write_bytes(content)


def test_only_the_row_groups_that_can_have_it_are_read(tmp_path: Path) -> None:
    """What is damaged ends whatever reads it, so that what succeeds has not read it."""

    async def run() -> None:
        async with running(tmp_path) as store:
            log = await filled(store, full_frames(0, 50_000, 5_000))
            await roll(store, log)
            other = await ensure(store, PartitionId("main", "orders", 1, 1), 0)
            await append(store, other, full_frames(0, 500, 500))
            await roll(store, other)
            damage(store.path / log.segments[0].path, 0.85)
            damage(store.path / other.segments[0].path, 0.2)
            engine = engine_of(store)
            sql = "select count(value), count(key), count(timestamp) from log('orders') where "
            by_offset = '"partition" = 0 and "offset" between 20000 and 20100'
            assert await rows(engine, sql + by_offset) == [(101, 101, 101)]
            by_time = '"partition" = 0 and timestamp < make_timestamptz(1700000000100000)'
            assert await rows(engine, sql + by_time) == [(100, 100, 100)]
            for condition in ('"partition" = 1', '"partition" = 0 and "offset" > 20000'):
                error = await refused(engine, sql + condition)
                assert error.reason == "DAMAGED_FILE", error

    asyncio.run(run())


def test_a_damaged_footer_is_told(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        damage(store.path / store.logs[ORDERS].segments[1].path, 0.99)
        error = await refused(engine_of(store), "select count(*) from log('orders')")
        assert error.reason == "DAMAGED_FILE"

    with_store(tmp_path, test)


def test_what_a_query_cannot_do(tmp_path: Path) -> None:
    """What the statement's own rules let through is stopped by DuckDB's fence and its bounds."""

    async def test(store: LogStore) -> None:
        engine = engine_of(store)
        for sql, reason in [
            ("from '/etc/hosts.csv'", "SQL_FORBIDDEN"),
            ("from 'https://127.0.0.1/x.parquet'", "SQL_FORBIDDEN"),
            ("from '/etc/passwd'", "INVALID_SQL"),
            ("from store", "INVALID_SQL"),
            ("select getenv('HOME')", "INVALID_SQL"),
            ("copy (from log('orders')) to '/tmp/stolen.csv'", "SQL_FORBIDDEN"),
            ("from log('ordres')", "UNKNOWN_TOPIC"),
            ("select nothing from log('orders')", "INVALID_SQL"),
            ("select value::int from log('orders')", "QUERY_FAILED"),
            (HUGE, "QUERY_MEMORY_MAX"),
            ("select 1 -- " + "x" * 70_000, "INVALID_SQL"),
        ]:
            error = await refused(engine, sql)
            assert (sql, error.reason) == (sql, reason), error

    with_store(tmp_path, test)


def test_what_does_not_fit_in_memory_goes_to_disk_within_its_bound(tmp_path: Path) -> None:
    sql = "select count(*) from (select distinct i, md5(i::varchar) from range(1000000) t(i))"

    async def test(store: LogStore) -> None:
        small = {"memory_bytes_max": 64 << 20}
        assert await rows(engine_of(store, **small, spill_bytes_max=1 << 30), sql) == [(1_000_000,)]
        error = await refused(engine_of(store, **small, spill_bytes_max=0), sql)
        assert error.reason == "QUERY_MEMORY_MAX"
        assert "[sql] memory_bytes_max is 64 MiB" in str(error)

    with_store(tmp_path, test)


def processes() -> list[psutil.Process]:
    """Of queries that run."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has just ended
            if "cachesvc.sql.process" in child.cmdline():
                found.append(child)
    return found


def test_time_is_bounded(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        error = await refused(engine_of(store, time_s_max=3.0), ENDLESS)
        assert error.reason == "QUERY_TIME_MAX"
        assert "[sql] time_s_max is 3 s" in str(error)
        assert processes() == []

    with_store(tmp_path, test)


def test_a_caller_who_takes_nothing_keeps_no_process(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        engine = engine_of(store, queries_max=1, time_s_max=10.0)
        endless_rows = "select i, repeat('x', 1000) from range(1000000000) t(i)"
        async with aclosing(engine.run(endless_rows)) as parts:
            await anext(parts)
            await until(lambda: not engine.full, 90)
            assert await rows(engine, "select 1") == [(1,)]

    with_store(tmp_path, test)


def test_one_too_many_is_told(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        engine = engine_of(store, queries_max=1)
        async with aclosing(engine.run("select i from range(100000000) t(i)")) as parts:
            await anext(parts)
            assert (await refused(engine, "select 1")).reason == "QUERIES_MAX"
        assert await rows(engine, "select 1") == [(1,)]

    with_store(tmp_path, test)


def test_a_process_that_is_killed_harms_nobody(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        engine = engine_of(store)
        endless = asyncio.ensure_future(refused(engine, ENDLESS))
        await until(lambda: len(processes()) == 1, 30)
        (process,) = processes()
        assert set(process.environ()) <= {
            *("ARROW_DEFAULT_MEMORY_POOL", "HOME", "LANG", "LC_ALL", "LC_CTYPE"),
            *("LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "VIRTUAL_ENV"),
        }
        await until(lambda: process.nice() == 10, 30)
        process.send_signal(signal.SIGKILL)
        error = await endless
        assert error.reason == "QUERY_PROCESS_DIED"
        assert "SIGKILL" in str(error)
        assert await rows(engine, "select count(*) from log('orders')") == [(6_000,)]

    with_store(tmp_path, test)


def test_a_caller_who_goes_ends_the_process(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        engine = engine_of(store)
        asking = asyncio.ensure_future(table(engine, ENDLESS))
        await until(lambda: len(processes()) == 1, 30)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        assert processes() == []

    with_store(tmp_path, test)


def test_damage_is_told_and_never_left_out(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        path = store.logs[ORDERS].journals[-1].path
        content = bytearray(path.read_bytes())
        content[-100] ^= 1
        path.write_bytes(content)
        with pytest.raises(DamagedFile, match="checksum"):
            await table(engine_of(store), "select count(value) from log('orders')")

    with_store(tmp_path, test)


def test_a_query_that_runs_sees_its_moment_while_the_log_goes_on(tmp_path: Path) -> None:
    """Everything it has begun to look at is deleted and replaced meanwhile."""

    async def test(store: LogStore) -> None:
        log = store.logs[ORDERS]
        sql = "select \"offset\", value from log('orders')"
        offsets: list[int] = []
        engine = engine_of(store)
        reading, gone = threading.Event(), 0
        async with aclosing(engine.run(sql)) as parts:
            data = b""
            async for part in parts:
                if not reading.is_set():
                    reading.set()
                    await append(store, log, full_frames(6_000, 8_000, 500))
                    await roll(store, log)
                    for segment in log.segments:
                        (store.path / segment.path).unlink()
                        gone += 1
                    log.journals[-1].path.unlink(missing_ok=True)
                if isinstance(part, bytes):
                    data += part
        offsets = sorted(ipc.open_stream(data).read_all().column("offset").to_pylist())
        assert (offsets, gone) == (list(range(6_000)), 3)

    with_store(tmp_path, test)


def test_queries_that_are_off(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        settings = replace(engine_of(store)._settings, enabled=False)
        error = await refused(QueryEngine(settings, LogViews(store, FETCH_BYTES_MAX)), "select 1")
        assert error.reason == "SQL_OFF"

    with_store(tmp_path, test)


def test_what_an_earlier_service_left_is_removed(tmp_path: Path) -> None:
    async def test(store: LogStore) -> None:
        left = store.path / "queries" / "1-2" / "0"
        left.mkdir(parents=True)
        os.link(store.path / store.logs[ORDERS].segments[0].path, left / "x.parquet")
        await asyncio.to_thread(engine_of(store).clear)
        assert not left.exists()
        assert await rows(engine_of(store), "select count(*) from log('orders')") == [(6_000,)]

    with_store(tmp_path, test)
