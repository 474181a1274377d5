"""The root of the command line: the table of commands."""

import importlib.metadata

import typer

from cachesvc.sync.cli.check import check
from cachesvc.sync.cli.control import pause, resume, status, stop
from cachesvc.sync.cli.dead_letters import dead_letters_app
from cachesvc.sync.cli.reset import reset
from cachesvc.sync.cli.run import run

app = typer.Typer(
    name="cachesvc-sync",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("cachesvc-sync"))
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Sync tasks: carry records of cachesvc to where they are needed.

    A task is a TOML file: a source, transforms, a sink. docs/sync-tasks.md describes it. Exit
    codes: 0 done, 1 failed, 2 wrong usage or file, 3 not to be reached, 4 not found, 5 refused.
    """


app.command("run")(run)
app.command("check")(check)
app.command("status")(status)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("stop")(stop)
app.command("reset")(reset)
app.add_typer(dead_letters_app, name="dead-letters")
