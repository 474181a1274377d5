"""``cachesvc-sync run``: tasks until they end, or until a signal ends them."""

import asyncio
import os
import sys
import threading
import time
from enum import StrEnum
from typing import Annotated

import typer

from cachesvc.sync.cli.failure import USAGE, exit_code, fails_in_words
from cachesvc.sync.cli.options import AsJson, State, TaskFiles, state_directory
from cachesvc.sync.cli.output import show_json
from cachesvc.sync.cli.screen import Screen, line
from cachesvc.sync.running import Ended, run_tasks
from cachesvc.sync.state import StateDirectory
from cachesvc.sync.stop_signals import OF_PROCESS
from cachesvc.sync.task import Task


class Level(StrEnum):
    """The least of what is told."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_HANGING_S = 2.0

LogLevel = Annotated[Level, typer.Option("--log-level", help="What is told on stderr.")]


@fails_in_words
def run(
    files: TaskFiles, state: State = None, as_json: AsJson = False, log_level: LogLevel = Level.INFO
) -> None:
    """Run tasks until each has ended: a full sync by itself, others by a signal or `stop`.

    Several tasks run in one process, and one that fails leaves the others alone. SIGTERM and Ctrl-C
    let each finish its delivery in hand, for stop_timeout_s at most. A full sync has a progress bar
    on a terminal. At the end each task's outcome is told, with --json as an array on stdout. Exit
    codes: 0 done or stopped, 1 a task has failed, 2 a wrong file, 3 service or target not to be
    reached, 5 a task runs already.
    """
    tasks = [Task(str(file)) for file in files]
    names = [task.config.name for task in tasks]
    if len(set(names)) < len(names):
        typer.echo("error: two of the tasks have the same name; each needs its own", err=True)
        raise typer.Exit(USAGE)
    screen = Screen(tasks)
    with screen.logging(log_level):
        ended = asyncio.run(_run(tasks, state_directory(state), screen))
    if as_json:
        show_json([each.status for each in ended])
    else:
        for each in ended:
            typer.echo(line(each.status), err=True)
    code = max((exit_code(e.error) for e in ended if e.error is not None), default=0)
    _leave_what_hangs(code)
    raise typer.Exit(code)


def _leave_what_hangs(code: int) -> None:
    """Ends the process where a function of the user's does not come back; Python would wait."""
    deadline = time.monotonic() + _HANGING_S
    others = [each for each in threading.enumerate() if not each.daemon]
    for thread in others:
        if thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                typer.echo(f"{thread.name}: a transform does not come back; ends anyway", err=True)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)


async def _run(tasks: list[Task], state: StateDirectory, screen: Screen) -> list[Ended]:
    def stop() -> None:
        for task in tasks:
            task.ask_to_stop()

    loop = asyncio.get_running_loop()
    with OF_PROCESS.telling(loop, stop):
        showing = asyncio.create_task(screen.run())
        try:
            return await run_tasks(tasks, state)
        finally:
            showing.cancel()
            await asyncio.wait({showing})
