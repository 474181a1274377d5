"""Options that many commands have, and how a group hands them to its subcommands."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cachesvc.policy.addresses import parse_address

DEFAULT_ADDRESS = "127.0.0.1:7070"
ADDRESS_VARIABLE = "CACHESVC_ADDRESS"

# No envvar= here: a subcommand could then not tell the variable from a flag, and would prefer it to
# the flag of its group.
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help=f"Where the service listens; {ADDRESS_VARIABLE}, else {DEFAULT_ADDRESS}.",
        show_default=False,
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        help="Speak TLS, and trust the certificates in this PEM file.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
InConnection = Annotated[
    str,
    typer.Option(
        "--connection", metavar="NAME", help="Only of this connection.", show_default=False
    ),
]
OfTopic = Annotated[
    str,
    typer.Option("--topic", metavar="NAME", help="Only of this topic.", show_default=False),
]


@dataclass(frozen=True, slots=True)
class Common:
    """What every command that talks to a service has been told.

    Attributes:
        address: HOST:PORT of the service.
        ca_file: PEM file with the certificates to trust; None: no TLS.
        as_json: Whether to print JSON.
    """

    address: str
    ca_file: Path | None
    as_json: bool


def common(ctx: typer.Context, address: str | None, ca_file: Path | None, as_json: bool) -> Common:
    """Merges the flags of a command with those of its group, and hands them on.

    An address is looked for in the command's flag, its group's, the environment, the default.

    Raises:
        InvalidConfig: The address is none.
    """
    group = ctx.obj if isinstance(ctx.obj, _Flags) else _Flags(None, None, False)
    flags = _Flags(address or group.address, ca_file or group.ca_file, as_json or group.as_json)
    ctx.obj = flags
    found = flags.address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS
    check_address(found)
    return Common(found, flags.ca_file, flags.as_json)


def check_address(address: str) -> None:
    """Accepts HOST:PORT, and ``unix:PATH`` for the socket of a service on this machine.

    Raises:
        InvalidConfig: It is neither.
    """
    if not address.startswith("unix:"):
        parse_address(address, port_min=1)


@dataclass(frozen=True, slots=True)
class _Flags:
    address: str | None
    ca_file: Path | None
    as_json: bool
