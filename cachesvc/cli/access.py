"""``cachesvc access``: who may call."""

import time
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cachesvc.access.tokens import digest_of, new_id, new_token
from cachesvc.cli.answers import Answer, Done, One, Rows
from cachesvc.cli.command import calls
from cachesvc.cli.failure import NOT_FOUND, USAGE, CommandFailed
from cachesvc.cli.options import AsJson
from cachesvc.cli.render import Column, show_facts, show_json
from cachesvc.cli.service import Service
from cachesvc.units import parse_time_ms, printable, show_time
from cachesvc.v1 import access_pb2 as pb

access_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
_KINDS = ("connections", "topics", "subscriptions")
_GRANT_FORM = "give RIGHT[,RIGHT…] [connections=A,B] [topics=A,B] [subscriptions=A,B]"


@access_app.callback()
def access() -> None:
    """Who may call: principals, the roles they have, and the tokens that they show."""


@access_app.command("whoami")
@calls
def whoami(service: Service) -> Answer:
    """Show who this command is to the service, and how that was shown."""
    return One(service.ask(pb.GetCallerRequest()), _show_caller)


@access_app.command("principals")
@calls
def principals(service: Service) -> Answer:
    """List principals: who may call."""
    found = service.ask(pb.ListPrincipalsRequest()).principals
    return Rows(found, _PRINCIPALS, "no principals; `cachesvc access set-principal` makes one")


@access_app.command("set-principal")
@calls
def set_principal(
    service: Service,
    name: Name,
    role: Annotated[
        list[str] | None,
        typer.Option(
            "--role", metavar="NAME", help="A role that it has, such as admin; may be repeated."
        ),
    ] = None,
) -> Answer:
    """Make a principal, or change its roles: it has those that are given, and no others.

    One that is disabled stays so.

    A client certificate or a JWT needs no more than a principal of its name; else go on with
    `cachesvc access create-token NAME`.
    """
    wanted = pb.Principal(name=name, roles=role or ())
    made = service.ask(pb.SetPrincipalRequest(principal=wanted)).principal
    return Rows([made], _PRINCIPALS, "")


@access_app.command("disable-principal")
@calls
def disable_principal(service: Service, name: Name) -> Answer:
    """Have nothing that is shown of a principal open anything, at once: tokens, certificates, JWTs.

    It keeps its roles and tokens. Of a name that is no principal yet one is made, so that JWTs of
    that name are turned away that bring roles.
    """
    return _set_disabled(service, name, disabled=True)


@access_app.command("enable-principal")
@calls
def enable_principal(service: Service, name: Name) -> Answer:
    """Have what is shown of a principal count again."""
    return _set_disabled(service, name, disabled=False)


def _set_disabled(service: Service, name: str, *, disabled: bool) -> Answer:
    found = service.ask(pb.ListPrincipalsRequest()).principals
    roles = next((each.roles for each in found if each.name == name), None)
    if roles is None and not disabled:
        advice = "`cachesvc access principals` lists them"
        raise CommandFailed(f"there is no principal {name!a}", advice=advice, code=NOT_FOUND)
    wanted = pb.Principal(name=name, roles=roles or (), disabled=disabled)
    made = service.ask(pb.SetPrincipalRequest(principal=wanted)).principal
    return Rows([made], _PRINCIPALS, "")


@access_app.command("delete-principal")
@calls
def delete_principal(service: Service, name: Name) -> Answer:
    """Forget a principal, with its tokens."""
    service.ask(pb.DeletePrincipalRequest(name=name))
    return Done({"deleted": name}, f"deleted {printable(name)}")


@access_app.command("roles")
@calls
def roles(service: Service) -> Answer:
    """List roles: what those who have one may do."""
    return Rows(service.ask(pb.ListRolesRequest()).roles, _ROLES, "no roles")


@access_app.command("set-role")
@calls
def set_role(
    service: Service,
    name: Name,
    grant: Annotated[
        list[str] | None,
        typer.Option(
            "--grant",
            metavar="GRANT",
            help="Such as 'read,commit topics=orders,^shop\\..* subscriptions=billing-*'; may be "
            "repeated.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="A TOML file whose [[access.roles]] have this one."
        ),
    ] = None,
) -> Answer:
    """Make a role, or change it for all who have it: it allows what is given, and nothing else.

    Rights are read, commit, subscriptions, mining and admin. What a grant does not narrow down to
    connections, topics or subscriptions, it allows for all of them.
    """
    if (file is None) == (not grant):
        raise CommandFailed("what does it allow", advice="give --grant or --file", code=USAGE)
    grants = [_grant(text) for text in grant or ()] if file is None else _of_file(file, name)
    made = service.ask(pb.SetRoleRequest(role=pb.AccessRole(name=name, grants=grants))).role
    return Rows([made], _ROLES, "")


@access_app.command("delete-role")
@calls
def delete_role(service: Service, name: Name) -> Answer:
    """Forget a role; whoever has it may no longer do what it allows."""
    service.ask(pb.DeleteRoleRequest(name=name))
    return Done({"deleted": name}, f"deleted {name}")


@access_app.command("tokens")
@calls
def tokens(
    service: Service,
    principal: Annotated[
        str, typer.Argument(metavar="[PRINCIPAL]", show_default=False, help="Only of this one.")
    ] = "",
) -> Answer:
    """List tokens, valid or not; what makes one a token is kept nowhere and not shown."""
    found = service.ask(pb.ListTokensRequest(principal=principal)).tokens
    return Rows(found, _TOKENS, "no tokens")


@access_app.command("create-token")
@calls
def create_token(
    service: Service,
    principal: Annotated[str, typer.Argument(metavar="PRINCIPAL")],
    expires: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="From when on it opens nothing: ISO 8601, or milliseconds since the epoch.",
            show_default=False,
        ),
    ] = "",
    days: Annotated[
        float | None,
        typer.Option(min=0.001, max=36_500, metavar="N", help="It is valid so many days instead."),
    ] = None,
) -> Answer:
    """Make a token of a principal and print it, which is the only time it is shown.

    A principal has two that are valid at most: make the new one, give it to whoever shows the old
    one, revoke the old one.
    """
    request = pb.CreateTokenRequest(principal=principal, expires_ms=_expiry_ms(expires, days))
    made: pb.CreateTokenResponse = service.ask(request)
    return One(made, _show_made)


@access_app.command("revoke-token")
@calls
def revoke_token(service: Service, token: Annotated[str, typer.Argument(metavar="ID")]) -> Answer:
    """Have a token open nothing any more, at once."""
    return Rows([service.ask(pb.RevokeTokenRequest(id=token)).token], _TOKENS, "")


@access_app.command("new-token")
def make_token(as_json: AsJson = False) -> None:
    """Print a new token and its digest for the service's file, without a service.

    The digest goes into `tokens` of [[access.principals]]: a token is shown by whoever has it, and
    cannot be found from its digest.
    """
    token = new_token(new_id())
    digest = digest_of(token)
    if as_json:
        show_json({"token": token, "sha256": digest})
        return
    typer.echo(token)
    typer.echo(f'in the file: tokens = [{{ sha256 = "{digest}" }}]', err=True)


def _expiry_ms(expires: str, days: float | None) -> int | None:
    if expires and days is not None:
        raise CommandFailed("--expires and --days contradict each other", code=USAGE)
    if days is not None:
        return int((time.time() + days * 86_400) * 1_000)
    try:
        return parse_time_ms(expires) if expires else None
    except ValueError as error:
        advice = "give a time such as 2027-01-31T12:00:00Z, or milliseconds since the epoch"
        what = f"--expires {expires!r} is no time"
        raise CommandFailed(what, advice=advice, code=USAGE) from error


def _grant(text: str) -> pb.AccessGrant:
    rights, *patterns = text.split() or [""]
    found: dict[str, list[str]] = {"rights": rights.split(",")}
    for pattern in patterns:
        kind, equals, names = pattern.partition("=")
        if kind not in _KINDS or not equals or kind in found:
            raise CommandFailed(f"--grant {text!r} is none", advice=_GRANT_FORM, code=USAGE)
        found[kind] = names.split(",")
    return pb.AccessGrant(**found)


def _of_file(file: Path, name: str) -> list[pb.AccessGrant]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandFailed(
            f"--file {file} cannot be read: {error.strerror}", code=USAGE
        ) from error
    except ValueError as error:
        raise CommandFailed(f"--file {file} is not TOML: {error}", code=USAGE) from error
    try:
        for role in tree["access"]["roles"]:
            if role["name"] == name:
                return [pb.AccessGrant(**grant) for grant in role.get("grants", ())]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"--file {file}: its [[access.roles]] are not as they have to be: {error}"
        raise CommandFailed(what, code=USAGE) from error
    raise CommandFailed(f"--file {file} has no role {name!r} in [[access.roles]]", code=USAGE)


def _show_made(made: pb.CreateTokenResponse) -> None:
    """The token alone on stdout, so that it can be written to a file."""
    typer.echo(made.secret)
    token, until = made.token, "for ever"
    if token.HasField("expires_ms"):
        until = f"until {show_time(token.expires_ms)}"
    what = f"token {token.id} of {printable(token.principal)}, valid {until}; not shown again"
    typer.echo(what, err=True)


def _show_caller(caller: pb.GetCallerResponse) -> None:
    facts = [("principal", printable(caller.principal)), ("roles", _joined(caller.roles))]
    facts += [("shown by", f"{caller.proof} {printable(caller.credential)}".strip())]
    facts += [("until", show_time(caller.expires_ms) if caller.HasField("expires_ms") else "-")]
    show_facts(facts)


def _joined(names: Iterable[str]) -> str:
    return ", ".join(names) or "-"


def _granted(role: pb.AccessRole) -> str:
    shown = []
    for grant in role.grants:
        narrowed = ((kind, getattr(grant, kind)) for kind in _KINDS)
        words = [f"{kind}={','.join(names)}" for kind, names in narrowed if names]
        shown.append(" ".join([",".join(grant.rights), *words]))
    return printable("; ".join(shown)) or "-"


def _time(message: pb.AccessToken | pb.AccessRole | pb.Principal, name: str) -> str:
    return show_time(getattr(message, name)) if message.HasField(name) else "-"


def _state(token: pb.AccessToken) -> str:
    if token.HasField("revoked_ms"):
        return "revoked"
    over = token.HasField("expires_ms") and token.expires_ms <= time.time() * 1_000
    return "expired" if over else "valid"


_PRINCIPALS = (
    Column("name", lambda p: printable(p.name)),
    Column("roles", lambda p: _joined(p.roles)),
    Column("disabled", lambda p: "yes" if p.disabled else "no"),
    Column("valid tokens", lambda p: str(p.token_count), number=True),
    Column("in the file", lambda p: "yes" if p.in_file else "no"),
    Column("updated", lambda p: _time(p, "updated_ms")),
)
_ROLES = (
    Column("name", lambda r: r.name),
    Column("allows", _granted),
    Column("in the file", lambda r: "yes" if r.in_file else "no"),
    Column("updated", lambda r: _time(r, "updated_ms")),
)
_TOKENS = (
    Column("id", lambda t: t.id),
    Column("principal", lambda t: printable(t.principal)),
    Column("state", _state),
    Column("created", lambda t: _time(t, "created_ms")),
    Column("expires", lambda t: _time(t, "expires_ms")),
    Column("last used", lambda t: _time(t, "last_used_ms")),
    Column("in the file", lambda t: "yes" if t.in_file else "no"),
)
