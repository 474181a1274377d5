"""``cachesvc mining watch``: what is mined, again and again."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import typer

from cachesvc.cli.command import talks_to_service
from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.cli.options import Common, InConnection, OfTopic
from cachesvc.cli.render import Column, as_dict, enum_name, show_table
from cachesvc.cli.service import Service
from cachesvc.units import show_bytes, show_count, show_duration, show_time
from cachesvc.v1.log_cache_pb2 import MiningState
from cachesvc.v1.watching_pb2 import (
    MiningActivity,
    WatchedTask,
    WatchedTopic,
    WatchMiningRequest,
    WatchMiningResponse,
)

_CLEAR = "\x1b[H\x1b[2J"


@dataclass(frozen=True, slots=True)
class _Row:
    """A topic, or with none the sum of its connection."""

    connection: str
    activity: MiningActivity
    topic: WatchedTopic | None = None


@dataclass(slots=True)
class Snapshot:
    """What is mined at one moment, by connection."""

    at_ms: int
    tasks: dict[str, WatchedTask] = field(default_factory=dict)

    def add(self, part: WatchMiningResponse) -> None:
        """Takes a part of it in."""
        for task in part.tasks:
            known = self.tasks.setdefault(task.connection, task)
            if known is not task:
                known.topics.extend(task.topics)


@talks_to_service
def watch(
    settings: Common,
    count: Annotated[
        int, typer.Option("--count", min=0, metavar="N", help="End after N snapshots; 0: never.")
    ] = 0,
    once: Annotated[bool, typer.Option("--once", help="The same as --count 1.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", min=0.1, max=3_600, metavar="S", help="Seconds between.")
    ] = 2.0,
    connection: InConnection = "",
    topic: OfTopic = "",
) -> None:
    """Watch what is mined: rates, lag, totals and today's counts, until Ctrl-C.

    Rates are averages over about 10 seconds; with --json those over a minute are there as well, and
    each snapshot is one line.
    """
    if once and count > 1:
        what = f"--once and --count {count} contradict each other"
        raise CommandFailed(what, advice="give one of them", code=USAGE)
    count = 1 if once else count
    request = WatchMiningRequest(connection=connection, topic=topic, interval_s=interval_s)
    with Service(settings) as service:
        for number, snapshot in enumerate(snapshots(service.stream(request)), start=1):
            if settings.as_json:
                _print_json(snapshot)
            else:
                _draw(snapshot, live=sys.stdout.isatty(), first=number == 1)
            if number == count:
                break


def snapshots(parts: Iterable[WatchMiningResponse]) -> Iterator[Snapshot]:
    """Whole snapshots out of their parts."""
    snapshot = None
    for part in parts:
        snapshot = snapshot or Snapshot(part.at_ms)
        snapshot.add(part)
        if part.complete:
            yield snapshot
            snapshot = None


def _print_json(snapshot: Snapshot) -> None:
    line = {
        "at_ms": snapshot.at_ms,
        "tasks": [as_dict(task) for task in snapshot.tasks.values()],
    }
    typer.echo(msgspec.json.encode(line).decode())
    sys.stdout.flush()


def _draw(snapshot: Snapshot, *, live: bool, first: bool) -> None:
    rows: list[_Row] = []
    for task in snapshot.tasks.values():
        rows.extend(_Row(task.connection, topic.activity, topic) for topic in task.topics)
        if len(task.topics) > 1:
            rows.append(_Row(task.connection, task.activity))
    if live:
        typer.echo(_CLEAR, nl=False)
    elif not first:
        typer.echo()
    show_table(rows, _COLUMNS, "nothing is mined; mining starts with a subscription")
    sys.stdout.flush()


def _state(row: _Row) -> str:
    if row.topic is None:
        return ""
    state = enum_name(MiningState, row.topic.state)
    return f"{state}: {row.topic.error}" if row.topic.error else state


def _lag(row: _Row) -> str:
    found = row.activity
    return show_count(found.lag_records) if found.HasField("lag_records") else "-"


_COLUMNS = (
    Column("connection", lambda r: r.connection),
    Column("topic", lambda r: r.topic.topic if r.topic else "(all)"),
    Column("records/s", lambda r: f"{r.activity.records_per_s_10s:,.0f}", number=True),
    Column("bytes/s", lambda r: show_bytes(round(r.activity.bytes_per_s_10s)), number=True),
    Column("lag", _lag, number=True),
    Column("lag bytes", lambda r: show_bytes(r.activity.lag_bytes), number=True),
    Column("lag time", lambda r: show_duration(r.activity.lag_s), number=True),
    Column("today", lambda r: show_count(r.activity.records_today), number=True),
    Column("total", lambda r: show_count(r.activity.records_total), number=True),
    Column("first record", lambda r: show_time(r.activity.first_record_ms)),
    Column("last record", lambda r: show_time(r.activity.last_record_ms)),
    Column("used by", lambda r: ", ".join(r.topic.subscriptions) if r.topic else ""),
    Column("state", _state),
)
