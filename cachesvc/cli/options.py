"""Options that many commands have, and how a group hands them to its subcommands."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cachesvc.cli.failure import USAGE, CommandFailed
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

TopicName = Annotated[
    str, typer.Argument(metavar="[TOPIC]", help="The same as --topic.", show_default=False)
]


def the_same(name: str, option: str, flag: str) -> str:
    """What a name that may be given as argument and as option was given as; empty for neither.

    Raises:
        CommandFailed: It was given as two different ones.
    """
    if name and option and name != option:
        what = f"{name!r} and {flag} {option!r} contradict each other"
        raise CommandFailed(what, advice="give one of them", code=USAGE)
    return name or option


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


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags that all commands have, as far as they were given."""

    address: str | None = None
    ca_file: Path | None = None
    as_json: bool = False


def hand_on(ctx: typer.Context, address: str | None, ca_file: Path | None, as_json: bool) -> Flags:
    """Merges flags with those of the group above, and hands them on to what is below."""
    group = ctx.obj if isinstance(ctx.obj, Flags) else Flags()
    flags = Flags(address or group.address, ca_file or group.ca_file, as_json or group.as_json)
    ctx.obj = flags
    return flags


def common(ctx: typer.Context, address: str | None, ca_file: Path | None, as_json: bool) -> Common:
    """What a command was told by its own flags, those of the groups above it and the environment.

    An address is looked for in the command's flag, its groups', the environment, the default.

    Raises:
        InvalidConfig: The address is none.
    """
    flags = hand_on(ctx, address, ca_file, as_json)
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
