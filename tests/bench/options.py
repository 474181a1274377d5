"""What a run of the benchmarks can be told."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAMES = (
    "B1",
    "B2",
    "B3",
    "B4",
    "B5",
    "B6",
    "B6S",
    "B7",
    "B8",
    "B9",
    "B10",
    "B10I",
    "B11",
    "B12",
    "B13K",
    "B13P",
    "B14O",
    "B14C",
    "B14D",
    "B14R",
    "B15",
    "B17",
    "B18",
    "B19",
    "B20",
)
RECORDS_MAX = 10_000_000
RECORDS_MIN = 1_000
GROWTH = 10
MANY_PARTITIONS = 3_000


@dataclass(frozen=True, slots=True)
class Options:
    """A run's settings.

    Attributes:
        only: Figures to measure, of `NAMES`.
        records: Size of the topic.
        runs: How often everything is measured.
        long_records: Size of B7's topic.
        growth: How much larger B9's second topic is than its first.
        partitions: How many B12 has.
        kafka: Bootstrap address of a cluster to use; None starts a broker.
        keep: Directory for topics and logs, left behind; None for a temporary one.
        json: File for all values.
        markdown: Document whose results are replaced.
        reuse: Whether passes that begin one after the other share a process.
    """

    only: tuple[str, ...] = NAMES
    records: int = 1_000_000
    runs: int = 5
    long_records: int = RECORDS_MAX
    growth: int = GROWTH
    partitions: int = MANY_PARTITIONS
    kafka: str | None = None
    keep: Path | None = None
    json: Path | None = None
    markdown: Path | None = None
    reuse: bool = False


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Return the options of a command line; ends the process where they make no sense."""
    parser = _parser()
    given = parser.parse_args(arguments)
    long_records = given.b7_records or min(GROWTH * given.records, RECORDS_MAX)
    for flag, value in (("--records", given.records), ("--b7-records", long_records)):
        if not RECORDS_MIN <= value <= RECORDS_MAX:
            parser.error(f"{flag} is {value:,}; it has to be {RECORDS_MIN:,} to {RECORDS_MAX:,}")
    at_least = (
        ("--runs", given.runs, 1),
        ("--b9-growth", given.b9_growth, 1),
        ("--b12-partitions", given.b12_partitions, 3),
    )
    for flag, value, least in at_least:
        if value < least:
            parser.error(f"{flag} is {value}; it has to be at least {least}")
    return Options(
        only=given.only,
        records=given.records,
        runs=given.runs,
        long_records=long_records,
        growth=given.b9_growth,
        partitions=given.b12_partitions,
        kafka=given.kafka,
        keep=given.keep,
        json=given.json,
        markdown=given.markdown,
        reuse=given.reuse,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures the cache against reading Kafka directly, on a real broker. "
        "docs/benchmarks.md says how each figure comes about. Progress goes to stderr, the table "
        "to stdout. Fails if some side delivered other records than the source has; a figure "
        "that is not reached is no failure.",
    )
    parser.add_argument(
        "--only", type=_names, default=NAMES, metavar="B2,B3", help="these figures alone"
    )
    parser.add_argument(
        "--records",
        type=_count,
        default=1_000_000,
        metavar="N",
        help="records in the topic, at most 10 million (default: %(default)s)",
    )
    parser.add_argument(
        "--runs", type=int, default=5, metavar="N", help="how often (default: %(default)s)"
    )
    parser.add_argument(
        "--b7-records",
        type=_count,
        metavar="N",
        help="records in B7's log (default: 10 times --records, at most 10 million)",
    )
    parser.add_argument(
        "--b9-growth",
        type=int,
        default=GROWTH,
        metavar="N",
        help="B9's larger log has N times --records (default: %(default)s)",
    )
    parser.add_argument(
        "--b12-partitions",
        type=_count,
        default=MANY_PARTITIONS,
        metavar="N",
        help="B12 has so many partitions, in topics of three (default: %(default)s)",
    )
    parser.add_argument(
        "--kafka",
        metavar="HOST:PORT",
        help="use this cluster instead of starting a broker; B1, B8 and B12 are then left out",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="work in this directory and leave topics and logs there; a later run with the same "
        "directory finds its topics loaded",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all values there")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="replace the results in this document, docs/benchmarks.md for one",
    )
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="let passes share processes instead of starting one for each: sooner done on a small "
        "topic, but figures are then those of clients that have run before",
    )
    return parser


def _names(text: str) -> tuple[str, ...]:
    """The figures that are named; B13 and B14 mean all their parts."""
    named = {name.strip().upper() for name in text.split(",") if name.strip()}
    wanted = {name: _meant(name) for name in named}
    if not wanted or not all(wanted.values()):
        known = ", ".join(NAMES)
        raise argparse.ArgumentTypeError(f"{text!r} names what there is not; there are {known}")
    return tuple(name for name in NAMES if any(name in meant for meant in wanted.values()))


def _meant(name: str) -> list[str]:
    if name in NAMES:
        return [name]
    return [part for part in NAMES if part[:-1] == name and part[-1].isalpha()]


def _count(text: str) -> int:
    return int(text.replace("_", "").replace(",", ""))
