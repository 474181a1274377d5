"""How a command fails: exit codes, and one line on stderr that says what is wrong."""

import functools
from collections.abc import Callable
from typing import ParamSpec

import typer

from cachesvc.client import ClientError, Unavailable
from cachesvc.sync.control import NotRunning
from cachesvc.sync.dead_letters import LettersInUse
from cachesvc.sync.errors import InvalidTask, SyncError, TargetUnavailable, call_of
from cachesvc.sync.state import AlreadyRuns

FAILED = 1
USAGE = 2
UNREACHABLE = 3
NOT_FOUND = 4
REFUSED = 5

P = ParamSpec("P")

_EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (InvalidTask, USAGE),
    (TargetUnavailable, UNREACHABLE),
    (Unavailable, UNREACHABLE),
    (NotRunning, NOT_FOUND),
    (AlreadyRuns, REFUSED),
    (LettersInUse, REFUSED),
)


def exit_code(error: BaseException) -> int:
    """The exit code for an error."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)


def fails_in_words(command: Callable[P, None]) -> Callable[P, None]:
    """Lets what is meant for the user end as one line on stderr and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (SyncError, ClientError) as error:
            typer.echo(f"error: {error}{call_of(error)}", err=True)
            raise typer.Exit(exit_code(error)) from error

    return run
