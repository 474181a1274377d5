"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from cachesvc.sync.state import VARIABLE, StateDirectory, default_directory

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help=f"Where running tasks are found; {VARIABLE}, else ~/.local/state/cachesvc-sync.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TaskFile = Annotated[Path, typer.Argument(metavar="TASK.toml", help="The task's file.")]
TaskFiles = Annotated[
    list[Path], typer.Argument(metavar="TASK.toml...", help="Files of one or more tasks.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed without a terminal.")]
TaskName = Annotated[str, typer.Argument(metavar="NAME", help="The task's name, or its file.")]


def state_directory(given: Path | None) -> StateDirectory:
    """The directory of the flag, else of the environment, else the usual one."""
    return StateDirectory(given if given is not None else default_directory())
