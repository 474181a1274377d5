"""``cachesvc reader``: a process that mines topics for a service."""

import hashlib
import os
import socket
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cachesvc.app.reader import run_reader
from cachesvc.cli.options import check_address
from cachesvc.cli.service_options import LogFormat, LogLevel
from cachesvc.errors import InvalidConfig
from cachesvc.logs import configure_logging
from cachesvc.mining.black_box import remove_left
from cachesvc.mining.reader import ReaderSettings
from cachesvc.policy.addresses import is_loopback, parse_address
from cachesvc.settings.config import LogConfig

_BOXES = "cachesvc-reader-{}.box"
"""Of readers that are started without ``--black-box``, in the directory for temporary files."""


def reader(
    service: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="HOST:PORT as in the service's mining.listen, or its socket, unix:PATH.",
        ),
    ],
    connection: Annotated[
        str, typer.Option(metavar="NAME", help="The connection whose topics to mine.")
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Its name; <host>-<pid> without.")] = "",
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-ca", metavar="FILE", help="Speak TLS, and trust the certificates in this file."
        ),
    ] = None,
    token_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The environment variable that holds the join token."),
    ] = None,
    exit_with_parent: Annotated[
        bool,
        typer.Option(
            "--exit-with-parent",
            help="End when standard input ends, that is with the process that started it.",
        ),
    ] = False,
    black_box: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where it notes what it is working on, so that the reader started after it can "
            "tell which partition it died of; in the directory for temporary files without.",
        ),
    ] = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    log_repeats_max: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Lines of one event about the same thing in ten seconds; 5 without it, 0: all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run a reader process for a service on this or another machine.

    A service starts readers on its own machine by itself. More of them, anywhere, share the work:
    a reader learns everything else from the service, and keeps nothing.
    """
    check_address(service)
    settings = ReaderSettings(
        service=service,
        connection=connection,
        name=name or f"{socket.gethostname()}-{os.getpid()}",
        roots=_roots(tls_ca),
        token=_token(service, token_env, encrypted=tls_ca is not None),
        exit_with_parent=exit_with_parent,
        black_box=black_box or _black_box(service, connection, name),
    )
    configure_logging(_log_config(log_level, log_format, log_repeats_max))
    if black_box is None and settings.black_box is not None:
        remove_left(settings.black_box.parent, _BOXES.format("*"), keep=settings.black_box)
    raise typer.Exit(run_reader(settings))


def _black_box(service: str, connection: str, name: str) -> Path:
    """The same for each reader that is started in the place of another one."""
    identity = "\0".join((service, connection, name, str(os.getuid())))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / _BOXES.format(digest)


def _roots(file: Path | None) -> bytes | None:
    try:
        return file.read_bytes() if file is not None else None
    except OSError as error:
        raise InvalidConfig(
            f"--tls-ca: {file} cannot be read: {error.strerror}; give a PEM file"
        ) from error


def _token(service: str, variable: str | None, *, encrypted: bool) -> str:
    """The join token; it leaves the machine encrypted or not at all."""
    if variable is None:
        return ""
    token = os.environ.get(variable, "")
    if not token:
        raise InvalidConfig(f"--token-env: environment variable {variable} is not set; set it")
    if not encrypted and not service.startswith("unix:"):
        host, _ = parse_address(service)
        if not is_loopback(host):
            raise InvalidConfig(
                f"--token-env: the token would reach {service} in plain text; give --tls-ca"
            )
    return token


def _log_config(level: str | None, log_format: str | None, repeats_max: int | None) -> LogConfig:
    given = {"level": level, "format": log_format, "repeats_max": repeats_max}
    chosen = {key: value for key, value in given.items() if value is not None}
    try:
        return msgspec.convert(chosen, LogConfig)
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"--log-level, --log-format, --log-repeats-max: {error}") from error
