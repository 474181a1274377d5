"""The root of the command line: the table of commands, and where errors become exit codes."""

from collections.abc import Mapping
from typing import Any

import typer

from cachesvc.cli.failure import USAGE, CommandFailed, exit_code
from cachesvc.cli.lazy import LazyCommand, LazyGroup
from cachesvc.cli.options import (
    Address,
    AsJson,
    CaFile,
    CertificateFile,
    Flags,
    KeyFile,
    TokenFile,
    hand_on,
)
from cachesvc.errors import CacheError

_COMMANDS: Mapping[str, LazyCommand] = {
    "serve": LazyCommand("cachesvc.cli.serve:serve", "Run the service."),
    "reader": LazyCommand("cachesvc.cli.reader:reader", "Run a reader process for a service."),
    "tail": LazyCommand("cachesvc.cli.tail:tail", "Print the records of a topic as they come."),
    "topics": LazyCommand("cachesvc.cli.topics:topics_app", "List topics, or show one."),
    "subscriptions": LazyCommand(
        "cachesvc.cli.subscriptions:subscriptions_app",
        "List subscriptions; show, reset or delete one.",
    ),
    "lag": LazyCommand("cachesvc.cli.lag:lag", "How far every subscription is behind."),
    "mining": LazyCommand(
        "cachesvc.cli.mining:mining_app",
        "What is mined, by whom and how far; stop, start or edit it; pin topics to readers; watch.",
    ),
    "top": LazyCommand("cachesvc.cli.top.command:top", "How the service is doing, live."),
    "alarms": LazyCommand("cachesvc.cli.alarms:alarms", "List alarms."),
    "audit": LazyCommand("cachesvc.cli.audit:audit", "Who changed what, and how it ended."),
    "readers": LazyCommand("cachesvc.cli.overview:readers", "List reader processes."),
    "connections": LazyCommand("cachesvc.cli.overview:connections", "List Kafka clusters."),
    "connection": LazyCommand(
        "cachesvc.cli.connection:connection_app",
        "Show, create, update, delete or test one.",
    ),
    "segments": LazyCommand("cachesvc.cli.storage:segments", "List segments (Parquet files)."),
    "journals": LazyCommand("cachesvc.cli.storage:journals", "List journals."),
    "rejects": LazyCommand(
        "cachesvc.cli.storage:rejects", "List records that the JSON rule turned away."
    ),
    "snapshots": LazyCommand(
        "cachesvc.cli.storage:snapshots", "List snapshots: the latest record per key."
    ),
    "jobs": LazyCommand(
        "cachesvc.cli.jobs:jobs_app", "List scheduled jobs; run, pause or resume one; past runs."
    ),
    "store": LazyCommand(
        "cachesvc.cli.store:store_app",
        "List, change, test, verify or back up stores; move topics; what stores hold and dropped.",
    ),
    "models": LazyCommand(
        "cachesvc.cli.models:models_app", "List models (schemas) of topics, or show one."
    ),
    "sql": LazyCommand("cachesvc.cli.sql:sql", "Answer a SELECT over the log."),
    "monitoring": LazyCommand(
        "cachesvc.cli.monitoring:monitoring_app", "Print alert rules and a dashboard for Grafana."
    ),
    "access": LazyCommand(
        "cachesvc.cli.access:access_app",
        "Who may call: principals, roles and tokens; make, list and revoke them.",
    ),
    "config": LazyCommand("cachesvc.cli.config:config_app", "Show the effective configuration."),
    "version": LazyCommand("cachesvc.cli.version:version", "Show the version."),
}


_TALK_TO_NO_SERVICE = ("serve", "reader")


class RootGroup(LazyGroup):
    """All commands; an error that is meant for the operator ends as one line on stderr."""

    table = _COMMANDS

    def invoke(self, ctx: Any) -> Any:
        """Runs the command.

        Raises:
            typer.Exit: The command failed; what was wrong is on stderr.
        """
        try:
            return super().invoke(ctx)
        except CommandFailed as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except CacheError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(exit_code(error)) from error


app = typer.Typer(
    cls=RootGroup,
    name="cachesvc",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


@app.callback()
def root(
    ctx: typer.Context,
    address: Address = None,
    ca_file: CaFile = None,
    cert_file: CertificateFile = None,
    key_file: KeyFile = None,
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """A shared log cache for Kafka: mines each topic once and serves its records to many tasks.

    Commands other than serve and reader talk to a running service; --address or CACHESVC_ADDRESS
    says where it is. Options stand before the command or behind it. Exit codes: 0 done, 1 failed,
    2 wrong usage or configuration, 3 service not reachable, 4 not found, 5 refused, 6 alarms stand.
    """
    flags = hand_on(ctx, Flags(address, ca_file, as_json, token_file, cert_file, key_file))
    if ctx.invoked_subcommand in _TALK_TO_NO_SERVICE and flags != Flags():
        what = "options that say which service and who we are, and --json, "
        what += f"mean nothing to {ctx.invoked_subcommand}"
        advice = f"`cachesvc {ctx.invoked_subcommand} --help` lists its options"
        raise CommandFailed(what, advice=advice, code=USAGE)


def main() -> None:
    """Runs the command that the process was started with, and ends the process."""
    app(prog_name="cachesvc")
