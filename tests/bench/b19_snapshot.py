"""B19: making a snapshot, against DuckDB's own query for the latest value of each key."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import duckdb

from cachesvc.bounds import Bounds, environment
from cachesvc.snapshots import order as messages
from cachesvc.snapshots.order import Failed, Made, Order, Step, Task
from tests.bench.processes import BenchError
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.stage import Stage, in_turn
from tests.bench.written import PARTITION, write_segments

_TARGET = Target("at most", 2.0, 1.0)
_RECORDS_PER_KEY = 10
_SEGMENTS = 10
_THREADS = 2
_QUERY = """
create or replace temp table latest as
select key, arg_max(value, "offset") as value, max("offset") as "offset"
from read_parquet(?) group by key
"""


@dataclass(frozen=True, slots=True)
class _Log:
    directory: Path
    paths: list[str]
    records: int


def measure(stage: Stage) -> list[Figure]:
    """Write segments without a broker, and go over them again and again."""
    snapshots: list[float] = []
    queries: list[float] = []
    with tempfile.TemporaryDirectory(prefix="cachesvc-bench-") as name:
        log = _written(Path(name), stage.options.records)
        found: list[tuple[int, int]] = []
        for run in stage.runs("B19"):
            in_turn(
                run,
                lambda: snapshots.append(_snapshot(log, found)),
                lambda: queries.append(_query(log, found)),
            )
        stage.check("B19: keys and offsets", len(set(found)) == 1, f"{set(found)}")
    over = Side("snapshot", "s", tuple(snapshots))
    under = Side("arg_max", "s", tuple(queries))
    keys = log.records // _RECORDS_PER_KEY
    title = f"snapshot of {log.records:,} records with {keys:,} keys"
    return [ratio("B19", title, over, under, _TARGET)]


def _written(directory: Path, records: int) -> _Log:
    segments = write_segments(directory, records, _SEGMENTS, records // _RECORDS_PER_KEY)
    return _Log(directory, [segment.path for segment in segments], records)


def _snapshot(log: _Log, found: list[tuple[int, int]]) -> float:
    """Seconds from starting the process to the durable file."""
    with tempfile.TemporaryDirectory(dir=log.directory) as spill:
        order = Order(
            store=str(log.directory),
            partition=PARTITION,
            base_offset=0,
            end_offset=log.records,
            previous="",
            segments=log.paths,
            read_from=0,
            complete_from_offset=0,
            read_before=0,
            debezium=False,
            now_ms=0,
        )
        bounds = Bounds(512 << 20, 16 << 30, _THREADS, 3_600.0)
        began = time.perf_counter()
        made = _made(messages.encode(Task(order, bounds, spill)))
        took = time.perf_counter() - began
    path = log.directory / made.path
    found.extend(_totals(duckdb.connect(), "read_parquet(?)", [str(path)]))
    path.unlink()
    return took


def _made(task: bytes) -> Made:
    command = [sys.executable, "-m", "cachesvc.snapshots.process"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment()) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(task + b"\n")
        process.stdin.flush()
        for line in process.stdout:
            answer = messages.decode_answer(line)
            if isinstance(answer, Made):
                return answer
            if isinstance(answer, Failed):
                raise BenchError(f"{answer.reason}: {answer.message}")
            assert isinstance(answer, Step)
    raise BenchError(f"the process ended with exit code {process.returncode}")


def _query(log: _Log, found: list[tuple[int, int]]) -> float:
    paths = [str(log.directory / path) for path in log.paths]
    with duckdb.connect(config={"threads": _THREADS}) as connection:
        began = time.perf_counter()
        connection.execute(_QUERY, [paths]).fetchall()
        took = time.perf_counter() - began
        found.extend(_totals(connection, "latest", []))
    return took


def _totals(
    connection: duckdb.DuckDBPyConnection, table: str, parameters: list[str]
) -> list[tuple[int, int]]:
    rows = connection.execute(f'select count(*), sum("offset") from {table}', parameters)
    return [(int(count), int(total)) for count, total in rows.fetchall()]
