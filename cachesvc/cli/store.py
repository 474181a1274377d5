"""``cachesvc store``: the files of the store."""

import typer

from cachesvc.cli.answers import Answer, One
from cachesvc.cli.command import calls
from cachesvc.cli.failure import CommandFailed
from cachesvc.cli.jobs import follow, show_run
from cachesvc.cli.service import Service
from cachesvc.v1.admin_pb2 import RunJobRequest

store_app = typer.Typer(no_args_is_help=True, help="The files of the store: verify them.")

_SCRUB = "scrub"


@store_app.callback()
def store() -> None:
    """The files of the store."""


@store_app.command("verify")
@calls
def verify(service: Service) -> Answer:
    """Read all segments now, and repair those that are damaged.

    What a damaged segment had is mined again while streams that need it wait; the service's log
    names it (segment_damaged). It reads at most jobs.scrub.bytes_per_s_max bytes a second, goes on
    in the service if this command is stopped, and after a restart where it was. Exit code 1 if
    something was damaged.
    """
    run = follow(_SCRUB, service.stream(RunJobRequest(name=_SCRUB)))
    failed = None
    if not run.succeeded:
        failed = CommandFailed(f"the segments could not all be read: {run.error}")
    elif run.counts["segments_damaged"]:
        failed = CommandFailed(f"{run.counts['segments_damaged']} segments were damaged")
    return One(run, show_run, failed)
