"""What the demo can be told."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cachesvc.errors import CacheError
from cachesvc.policy.addresses import parse_address
from cachesvc.policy.topics import check_expression
from tests.demo.metadata import Address
from tests.demo.stand_in import RECORDS_MAX, TOPIC

RECORDS_DEFAULT = 200_000
_RECORDS_MIN = 100
_TASKS_MAX = 64


@dataclass(frozen=True, slots=True)
class Options:
    """A run's settings.

    Attributes:
        records: Change events to produce.
        tasks: Number of sync tasks.
        kafka: A Kafka to read instead of the stand-in.
        topics: Expression that a topic's whole name has to match.
        store: Where to keep the store; None for a temporary directory.
        keep: Whether a temporary directory stays.
        as_json: Whether to print the summary as JSON.
    """

    records: int
    tasks: int
    kafka: Address | None
    topics: str
    store: Path | None
    keep: bool
    as_json: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line; ends the process where they make no sense."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.kafka is None and given.topics is not None:
        parser.error("--topics goes with --kafka; without it the demo makes a topic of its own")
    if given.kafka is not None and given.records is not None:
        parser.error("--records is what the demo produces; with --kafka it produces nothing")
    records = RECORDS_DEFAULT if given.records is None else given.records
    if not _RECORDS_MIN <= records <= RECORDS_MAX:
        parser.error(f"--records is {records:,}; it has to be {_RECORDS_MIN:,} to {RECORDS_MAX:,}")
    if not 1 <= given.tasks <= _TASKS_MAX:
        parser.error(f"--tasks is {given.tasks}; it has to be 1 to {_TASKS_MAX}")
    if given.store is not None and given.store.exists() and not _is_empty_directory(given.store):
        parser.error(f"--store {given.store} holds something already; name a new directory")
    topics = given.topics or (TOPIC if given.kafka is None else ".*")
    return Options(
        records=records,
        tasks=given.tasks,
        kafka=given.kafka,
        topics=topics,
        store=given.store.absolute() if given.store is not None else None,
        keep=given.keep,
        as_json=given.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Shows what cachesvc is for: a topic of change events is read from the broker "
        "once, and several tasks get all of it, each at its own pace. Starts the real service, "
        "its reader and the tasks as processes; needs no Kafka, for it brings a small stand-in. "
        "Ends by itself with a summary, and with Ctrl-C at any time.",
    )
    parser.add_argument(
        "--records",
        type=_count,
        metavar="N",
        help=f"change events to produce, at most {RECORDS_MAX:,} (default: {RECORDS_DEFAULT:,})",
    )
    parser.add_argument(
        "--tasks", type=_count, default=4, metavar="N", help="sync tasks (default: %(default)s)"
    )
    parser.add_argument(
        "--kafka",
        type=_address,
        metavar="HOST:PORT",
        help="read this Kafka instead of the stand-in, from the beginning to the end as it is now; "
        "nothing is produced or changed there",
    )
    parser.add_argument(
        "--topics",
        type=_expression,
        metavar="EXPR",
        help="with --kafka: RE2 expression that a topic's whole name has to match (default: .*)",
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="keep the store in this new directory (default: a temporary one, deleted at the end)",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="do not delete the temporary directory with the store and the logs",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the summary as one JSON object to stdout, and progress to stderr",
    )
    return parser


def _count(text: str) -> int:
    try:
        return int(text.replace("_", "").replace(",", ""))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _address(text: str) -> Address:
    try:
        return parse_address(text, port_min=1)
    except CacheError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _expression(text: str) -> str:
    try:
        check_expression(text)
    except CacheError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _is_empty_directory(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
