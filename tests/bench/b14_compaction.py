"""B14C: compaction, against DuckDB's own copy of the same files, and what it writes again."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import duckdb

from cachesvc.model import Segment
from cachesvc.policy.compaction import MergeLimits, plan_compaction
from cachesvc.store.merging import merge_segments
from cachesvc.store.segments import MERGE_ZSTD_LEVEL
from tests.bench.report import Figure, Side, Target, ratio
from tests.bench.stage import Stage, in_turn
from tests.bench.written import write_one, write_segments

_TARGET = Target("at least", 0.5, 1.0)
_SOURCES = 16
_SEALED = 64
_TARGET_SHARE = 4
_SPAN_MS = 3_600_000
_THREADS = 2
_COPY = "copy (select * from read_parquet(?)) to '{}' (format parquet, compression zstd{})"
_TOTALS = """
select count(*), sum("offset"), bit_xor(hash("offset", key, value)) from read_parquet(?)
"""
_Totals = tuple[object, ...]


def measure(stage: Stage) -> list[Figure]:
    """Write segments without a broker, and merge and copy them again and again."""
    records = stage.options.records
    rates: dict[str, list[float]] = {"merge": [], "same": [], "default": []}
    found: set[_Totals] = set()
    with tempfile.TemporaryDirectory(prefix="cachesvc-bench-") as name:
        directory = Path(name)
        segments = write_segments(directory, records, _SOURCES, records)
        found.add(_totals([str(directory / each.path) for each in segments]))

        def merge() -> None:
            rates["merge"].append(records / _merge(directory, segments, found))

        def copy(side: str, options: str) -> None:
            rates[side].append(records / _copy(directory, segments, options, found))

        for run in stage.runs("B14C"):
            in_turn(
                run,
                merge,
                lambda: copy("same", f", compression_level {MERGE_ZSTD_LEVEL}"),
                lambda: copy("default", ""),
            )
    stage.check("B14C: records", len(found) == 1, f"{found}")
    over = Side("compaction", "records/s", tuple(rates["merge"]))
    same = Side(f"DuckDB's copy, zstd {MERGE_ZSTD_LEVEL}", "records/s", tuple(rates["same"]))
    default = Side("DuckDB's copy, zstd as it comes", "records/s", tuple(rates["default"]))
    merging = f"one thread, zstd {MERGE_ZSTD_LEVEL}, read back and compared"
    notes = [f"compaction: {merging}; the copy: {_THREADS}"]
    return [
        ratio("B14c", "compaction of 16 segments", over, same, _TARGET, notes),
        ratio("B14cd", "compaction, against less compression", over, default),
        _amplification(stage, records),
    ]


def _merge(directory: Path, segments: Sequence[Segment], found: set[_Totals]) -> float:
    began = time.perf_counter()
    merged = merge_segments(directory, list(segments), 1, 0)
    took = time.perf_counter() - began
    path = directory / merged.path
    found.add(_totals([str(path)]))
    path.unlink()
    return took


def _copy(directory: Path, segments: Sequence[Segment], options: str, found: set[_Totals]) -> float:
    path = directory / "copy.parquet"
    sources = [str(directory / each.path) for each in segments]
    with duckdb.connect(config={"threads": _THREADS}) as connection:
        began = time.perf_counter()
        connection.execute(_COPY.format(path, options), [sources]).fetchall()
        took = time.perf_counter() - began
    found.add(_totals([str(path)]))
    path.unlink()
    return took


def _totals(paths: list[str]) -> _Totals:
    with duckdb.connect() as connection:
        return tuple(connection.execute(_TOTALS, [paths]).fetchall()[0])


def _amplification(stage: Stage, records: int) -> Figure:
    """Seal piece by piece and compact after each, as the job plans it; what was written in all.

    Of one pass: nothing of it depends on time.
    """
    stage.say(f"B14C: sealing {_SEALED} segments, compacting after each")
    bounds = [records * number // _SEALED for number in range(_SEALED + 1)]
    live: list[Segment] = []
    limits: MergeLimits | None = None
    sealed = merged = 0
    with tempfile.TemporaryDirectory(prefix="cachesvc-bench-") as name:
        directory = Path(name)
        for begin, end in pairwise(bounds):
            live.append(write_one(directory, begin, end, records))
            sealed += live[-1].bytes
            if limits is None:
                # A quarter of the whole, so that there are full ones, which stay as they are.
                limits = MergeLimits(sealed * _SEALED // _TARGET_SHARE, _SPAN_MS)
            live, written = _compacted(directory, live, limits)
            merged += written
    covered = (live[0].base_offset, live[-1].end_offset, sum(s.record_count for s in live))
    stage.check("B14W: records", covered == (0, records, records), f"{covered}")
    over = Side("sealed and merged", "B", (float(sealed + merged),))
    under = Side("sealed", "B", (float(sealed),))
    note = (
        f"{_SEALED} segments of one partition, up to a quarter of it in one; {len(live)} are left"
    )
    return ratio("B14w", "bytes written until all is merged", over, under, notes=[note])


def _compacted(
    directory: Path, live: list[Segment], limits: MergeLimits
) -> tuple[list[Segment], int]:
    """What is left once nothing more is planned, and the bytes that this took."""
    written = 0
    while plans := plan_compaction(live, limits):
        for plan in plans:
            made = merge_segments(directory, list(plan.segments), plan.level, 0)
            written += made.bytes
            for each in plan.segments:
                (directory / each.path).unlink()
            stay = [each for each in live if each not in plan.segments]
            live = sorted([*stay, made], key=lambda each: each.base_offset)
    return live, written
