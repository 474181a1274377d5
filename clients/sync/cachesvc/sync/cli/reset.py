"""``cachesvc-sync reset``: a task that does not run goes on elsewhere."""

import asyncio
import re
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from cachesvc.client import Start
from cachesvc.sync.cli.failure import USAGE, fails_in_words
from cachesvc.sync.cli.options import AsJson, State, TaskFile, Yes, state_directory
from cachesvc.sync.cli.output import Column, show_json, show_table
from cachesvc.sync.config import StartPosition
from cachesvc.sync.parts import parts_of
from cachesvc.sync.resetting import Reset, reset_task
from cachesvc.sync.runner.cache_source import start_at

_POSITION = re.compile(
    r"(?P<topic>[a-zA-Z0-9._-]{1,249}):(?P<partition>\d{1,9})=(?P<offset>\d{1,18})"
)

To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="START",
        help="earliest, latest, a time (ISO 8601, UTC if it names no zone) or milliseconds.",
        show_default=False,
    ),
]
At = Annotated[
    list[str] | None,
    typer.Option(
        "--position",
        metavar="TOPIC:PARTITION=OFFSET",
        help="The next offset to read; may be repeated. Others start as the task says.",
        show_default=False,
    ),
]
ForgetFullSync = Annotated[
    bool, typer.Option("--forget-full-sync", help="Also forget that a full sync was done.")
]

_COLUMNS = (
    Column("topic", lambda each: each.topic),
    Column("partition", lambda each: str(each.partition), number=True),
    Column("goes on at", lambda each: str(each.offset), number=True),
)


@fails_in_words
def reset(
    file: TaskFile,
    to: To = None,
    position: At = None,
    forget_full_sync: ForgetFullSync = False,
    yes: Yes = False,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Have a task that does not run go on elsewhere: at the service, and where its sink is.

    A sink that keeps the task's positions forgets them; what it has written stays. Without --to and
    --position the task starts as its file says. Earlier: records come again. Later: those in
    between never come. Exit codes: 0 done, 1 refused, or not wanted, 2 wrong usage or file, 3 the
    service or the target is not to be reached, 5 the task runs.
    """
    start = _start(to, position or ())
    parts = parts_of(str(file))
    where = to or (f"{len(position)} named positions" if position else "where its file says")
    if not yes:
        _ask(f"Task {parts.config.name} goes on at: {where}. Do it?")
    with state_directory(state).held(parts.config.name):
        done = asyncio.run(reset_task(parts, start, forget_full_sync=forget_full_sync))
    _show(done, as_json)


def _show(done: Reset, as_json: bool) -> None:
    if as_json:
        show_json(done)
        return
    nothing = f"task {done.task} starts as its file says; no position is stored"
    show_table(done.positions, _COLUMNS, nothing)
    if done.forgotten:
        typer.echo(f"the target kept {len(done.forgotten)} positions, and keeps none", err=True)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        typer.echo("error: nobody is there to be asked; --yes does it", err=True)
        raise typer.Exit(USAGE)
    typer.confirm(question, abort=True, err=True)


def _start(to: str | None, positions: Sequence[str]) -> Start | None:
    if to is not None and positions:
        _refuse("--to and --position contradict each other; give one of them")
    if positions:
        return start_at([_position(each) for each in positions])
    try:
        return start_at(int(to) if to is not None and to.isdecimal() else to)
    except ValueError:
        _refuse(f"--to: {to!r} is neither earliest, latest, a time (ISO 8601) nor milliseconds")


def _position(text: str) -> StartPosition:
    match = _POSITION.fullmatch(text)
    if match is None:
        _refuse(f"--position: {text!r} is not TOPIC:PARTITION=OFFSET")
    return StartPosition(
        topic=match["topic"], partition=int(match["partition"]), offset=int(match["offset"])
    )


def _refuse(problem: str) -> NoReturn:
    typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(USAGE)
