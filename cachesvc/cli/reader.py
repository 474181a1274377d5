"""``cachesvc reader``: a process that mines topics for a service."""

import os
from typing import Annotated

import msgspec
import typer

from cachesvc.app import run_reader
from cachesvc.cli.options import check_address
from cachesvc.cli.service_options import LogFormat, LogLevel
from cachesvc.config import LogConfig
from cachesvc.errors import InvalidConfig
from cachesvc.logs import configure_logging


def reader(
    service: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="The service's socket, unix:PATH."),
    ],
    connection: Annotated[
        str, typer.Option(metavar="NAME", help="The connection whose topics to mine.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Its name; reader-<pid> without.")] = "",
    exit_with_parent: Annotated[
        bool,
        typer.Option(
            "--exit-with-parent",
            help="End when standard input ends, that is with the process that started it.",
        ),
    ] = False,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
) -> None:
    """Run a reader process for a service on this machine.

    A service starts its readers by itself; with mining.readers = 0 they are started by hand. A
    reader learns everything else from the service, and keeps nothing.
    """
    check_address(service)
    configure_logging(_log_config(log_level, log_format))
    status = run_reader(
        service=service,
        connection=connection,
        name=name or f"reader-{os.getpid()}",
        exit_with_parent=exit_with_parent,
    )
    raise typer.Exit(status)


def _log_config(level: str | None, log_format: str | None) -> LogConfig:
    given = {"level": level, "format": log_format}
    chosen = {key: value for key, value in given.items() if value is not None}
    try:
        return msgspec.convert(chosen, LogConfig)
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"--log-level, --log-format: {error}") from error
