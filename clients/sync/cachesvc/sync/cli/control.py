"""``cachesvc-sync status``, ``pause``, ``resume`` and ``stop``: reaching tasks that run."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cachesvc.sync.cli.failure import FAILED, NOT_FOUND, fails_in_words
from cachesvc.sync.cli.options import AsJson, State, TaskName, state_directory
from cachesvc.sync.cli.output import Column, show_json, show_table
from cachesvc.sync.cli.screen import line
from cachesvc.sync.control import Command, NotRunning, ask
from cachesvc.sync.runner.progress import TaskStatus
from cachesvc.sync.state import StateDirectory
from cachesvc.sync.task_file import load_task
from cachesvc.units import show_bytes, show_count, show_duration, show_time

_LOOK_EVERY_S = 0.1

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", help="Names, or files; all without any.")
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait", min=0, metavar="SECONDS", help="How long to wait for the end; 0: not at all."
    ),
]

_COLUMNS = (
    Column("task", lambda each: each.name),
    Column("state", lambda each: each.state),
    Column("mode", lambda each: each.mode),
    Column("records", lambda each: show_count(each.records), number=True),
    Column("per s", lambda each: show_count(each.records_per_s), number=True),
    Column("bytes", lambda each: show_bytes(each.bytes), number=True),
    Column("behind", lambda each: show_count(each.lag_records), number=True),
    Column("refused", lambda each: show_count(each.refused), number=True),
    Column("done", lambda each: "-" if each.share is None else f"{each.share:.0%}", number=True),
    Column("outside", lambda each: show_duration(each.outside_s) if each.outside_s else "-"),
    Column("confirmed", lambda each: show_time(each.confirmed_ms)),
    Column(
        "trouble",
        lambda each: (
            "-" if each.trouble is None else f"{each.trouble.reason}: {each.trouble.message}"
        ),
    ),
)


@fails_in_words
def status(names: Names = None, state: State = None, as_json: AsJson = False) -> None:
    """Show how far tasks are: those that run, and how those ended that ran on this machine.

    Exit codes: 0 all run or ended well, 1 one has failed or died, 4 there is none of that name.
    """
    directory = state_directory(state)
    wanted = [_name(each) for each in names or ()]
    known = directory.names()
    missing = [each for each in wanted if each not in known]
    found = [_status(directory, each) for each in wanted or known if each in known]
    if as_json:
        show_json(found)
    else:
        show_table(found, _COLUMNS, f"no task has run with the state in {directory.path}")
    for each in missing:
        typer.echo(f"error: no task {each!r} has run with the state in {directory.path}", err=True)
    if missing:
        raise typer.Exit(NOT_FOUND)
    if any(each.state in ("failed", "died") for each in found):
        raise typer.Exit(FAILED)


@fails_in_words
def pause(name: TaskName, state: State = None, as_json: AsJson = False) -> None:
    """Let a running task begin no further delivery; its subscription and sink stay open.

    Exit codes: 0 done, 4 it does not run.
    """
    _order(name, "pause", state_directory(state), as_json)


@fails_in_words
def resume(name: TaskName, state: State = None, as_json: AsJson = False) -> None:
    """Let a paused task go on.

    Exit codes: 0 done, 4 it does not run.
    """
    _order(name, "resume", state_directory(state), as_json)


@fails_in_words
def stop(name: TaskName, wait_s: Wait = 60.0, state: State = None, as_json: AsJson = False) -> None:
    """End a running task: its delivery in hand is finished, for stop_timeout_s at most.

    Exit codes: 0 it has ended, 1 it still runs after --wait, 4 it does not run.
    """
    directory, name = state_directory(state), _name(name)
    found = ask(directory.socket_of(name), "stop")
    deadline = time.monotonic() + wait_s
    while directory.runs(name) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
    still = directory.runs(name)
    _show([found if still else _status(directory, name)], as_json)
    raise typer.Exit(FAILED if still and wait_s else 0)


def _order(name: str, command: Command, directory: StateDirectory, as_json: bool) -> None:
    _show([ask(directory.socket_of(_name(name)), command)], as_json)


def _show(found: Iterable[TaskStatus], as_json: bool) -> None:
    for each in found:
        if as_json:
            show_json(each)
        else:
            typer.echo(line(each))


def _status(directory: StateDirectory, name: str) -> TaskStatus:
    """Of a task that runs; else how it ended."""
    if directory.runs(name):
        try:
            return ask(directory.socket_of(name), "status")
        except NotRunning:
            return _unknown(name, "silent")
    return directory.end_of(name) or _unknown(name, "died")


def _unknown(name: str, state: str) -> TaskStatus:
    return TaskStatus(name=name, state=state, mode="-", subscription="-", started_ms=-1)


def _name(given: str) -> str:
    """The name of a task that may be given by its file."""
    path = Path(given)
    return load_task(path).name if given.endswith(".toml") and path.is_file() else given
