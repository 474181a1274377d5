"""Options that many commands have, and how a group hands them to its subcommands."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from cachesvc.cli.failure import USAGE, CommandFailed
from cachesvc.policy.addresses import parse_address

DEFAULT_ADDRESS = "127.0.0.1:7070"
ADDRESS_VARIABLE = "CACHESVC_ADDRESS"
TOKEN_VARIABLE = "CACHESVC_TOKEN"

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
CertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--cert-file",
        metavar="FILE",
        help="Show the certificate in this PEM file; needs --key-file and --ca-file.",
        show_default=False,
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", metavar="FILE", help="The key of --cert-file, PEM.", show_default=False
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help=f"Show the token in this file; {TOKEN_VARIABLE} has one otherwise.",
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
        token: Who we are; None: nobody asks, or it is the service's socket.
        cert_file: PEM file with the certificate that says who we are; None: there is none.
        key_file: PEM file with its key.
    """

    address: str
    ca_file: Path | None
    as_json: bool
    token: str | None = field(default=None, repr=False)
    cert_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags that all commands have, as far as they were given."""

    address: str | None = None
    ca_file: Path | None = None
    as_json: bool = False
    token_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def over(self, group: "Flags") -> "Flags":
        """These, and those of a group where they say nothing."""
        return Flags(
            self.address or group.address,
            self.ca_file or group.ca_file,
            self.as_json or group.as_json,
            self.token_file or group.token_file,
            self.cert_file or group.cert_file,
            self.key_file or group.key_file,
        )


def hand_on(ctx: typer.Context, flags: Flags) -> Flags:
    """Merges flags with those of the group above, and hands them on to what is below."""
    if isinstance(ctx.obj, Flags):
        flags = flags.over(ctx.obj)
    ctx.obj = flags
    return flags


def common(ctx: typer.Context, given: Flags) -> Common:
    """What a command was told by its own flags, those of the groups above it and the environment.

    An address is looked for in the command's flag, its groups', the environment, the default; a
    token likewise, but for the default.

    Raises:
        InvalidConfig: The address is none.
        CommandFailed: The file with the token cannot be read, or has none.
    """
    flags = hand_on(ctx, given)
    found = flags.address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS
    check_address(found)
    files = flags.cert_file, flags.key_file
    if (None in files and files != (None, None)) or (files[0] and not flags.ca_file):
        what = "--cert-file, --key-file and --ca-file belong together"
        raise CommandFailed(what, advice="give all of them", code=USAGE)
    return Common(found, flags.ca_file, flags.as_json, _token(flags.token_file), *files)


def _token(file: Path | None) -> str | None:
    """The token of a file, or of the environment. No message shows it."""
    if file is None:
        token, where = os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
        if not token:
            return None
    else:
        where = f"--token-file {file}"
        try:
            token = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            what = f"{where} cannot be read: {error.strerror}"
            raise CommandFailed(what, advice="give a text file", code=USAGE) from error
        except UnicodeDecodeError:
            token = ""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        advice = "put one there, as `cachesvc access create-token` showed it"
        raise CommandFailed(f"{where} has no token", advice=advice, code=USAGE)
    return token


def check_address(address: str) -> None:
    """Accepts HOST:PORT, and ``unix:PATH`` for the socket of a service on this machine.

    Raises:
        InvalidConfig: It is neither.
    """
    if not address.startswith("unix:"):
        parse_address(address, port_min=1)
