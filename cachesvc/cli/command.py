"""The frame of every command that talks to a service: its options, the call, what it answers.

A command that asks and shows is framed by ``calls``; one that prints as it goes, or that may do
without a service, by ``talks_to_service``.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import typer

from cachesvc.cli.answers import Answer, give
from cachesvc.cli.failure import NOT_FOUND, CommandFailed
from cachesvc.cli.options import (
    Address,
    AsJson,
    CaFile,
    CertificateFile,
    Common,
    Flags,
    KeyFile,
    TokenFile,
    common,
)
from cachesvc.cli.service import Service

N = TypeVar("N", bound="_Named")
_KIND = inspect.Parameter.KEYWORD_ONLY
_CONTEXT = inspect.Parameter("ctx", _KIND, annotation=typer.Context)
_COMMON = (
    inspect.Parameter("address", _KIND, default=None, annotation=Address),
    inspect.Parameter("ca_file", _KIND, default=None, annotation=CaFile),
    inspect.Parameter("cert_file", _KIND, default=None, annotation=CertificateFile),
    inspect.Parameter("key_file", _KIND, default=None, annotation=KeyFile),
    inspect.Parameter("token_file", _KIND, default=None, annotation=TokenFile),
    inspect.Parameter("as_json", _KIND, default=False, annotation=AsJson),
)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def talks_to_service(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that all have; what they say is its first argument.

    A group does its own work only where no subcommand is given; else it hands its options on, so
    that they may stand before the subcommand as well as behind it.
    """
    _, *own = inspect.signature(command).parameters.values()

    def frame(
        ctx: typer.Context,
        address: Address,
        ca_file: CaFile,
        cert_file: CertificateFile,
        key_file: KeyFile,
        token_file: TokenFile,
        as_json: AsJson,
        **given: Any,
    ) -> None:
        settings = common(ctx, Flags(address, ca_file, as_json, token_file, cert_file, key_file))
        if ctx.invoked_subcommand is None:
            command(settings, **given)
        else:
            said = {name: value for name, value in given.items() if _is_said(ctx, name)}
            ctx.default_map = {ctx.invoked_subcommand: said}

    parameters = [_CONTEXT, *(each.replace(kind=_KIND) for each in own), *_COMMON]
    frame.__name__, frame.__doc__ = command.__name__, command.__doc__
    frame.__annotations__ = {each.name: each.annotation for each in parameters}
    frame.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return frame


def _is_said(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def calls(command: Callable[..., Answer]) -> Callable[..., None]:
    """The frame of a call: options, a service to ask, and what is answered as JSON or for people.

    The command is given the service as its first argument and returns its answer.
    """

    def called(settings: Common, **given: Any) -> None:
        with Service(settings) as service:
            answer = command(service, **given)
        give(answer, settings.as_json)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.signature(command)  # type: ignore[attr-defined]
    return talks_to_service(called)


def only_named(found: Iterable[N], name: str, kind: str) -> list[N]:
    """Those of that name; all for an empty one.

    Raises:
        CommandFailed: There is none; the text says which there are.
    """
    every = list(found)
    wanted = [each for each in every if name in ("", each.name)]
    if name and not wanted:
        advice = f"there are: {', '.join(each.name for each in every)}" if every else ""
        raise CommandFailed(f"there is no {kind} {name!r}", advice=advice, code=NOT_FOUND)
    return wanted
