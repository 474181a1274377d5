"""``[access]``: who may call, and what; tokens are never among the settings, only their digests."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from cachesvc.errors import InvalidRequest
from cachesvc.policy.addresses import is_loopback, parse_address
from cachesvc.policy.callers import Grant, Right
from cachesvc.policy.topics import check_expression
from cachesvc.settings.connection import FilePath, Variable
from cachesvc.settings.secret_places import SecretPlaces
from cachesvc.settings.validation import setting_error

BUILT_IN_ROLE = "admin"
"""The role that allows everything, whatever the settings say."""
TOKENS_MAX = 2
"""Valid tokens of one principal: the one in use, and the one that takes its place."""

RoleName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9_.-]{1,64}\Z",
        description="a name of 1 to 64 of A-Z, a-z, 0-9, _, . and -",
    ),
]
PrincipalName = Annotated[
    str,
    Meta(
        pattern=r"\A[^\x00-\x1f\x7f]{1,256}\Z",
        description="1 to 256 characters, none of them a control character",
    ),
]
Pattern = Annotated[str, Meta(min_length=1, max_length=256)]
Digest = Annotated[
    str,
    Meta(
        pattern=r"\A[0-9a-f]{64}\Z",
        description="64 hexadecimal digits, as `cachesvc access new-token` prints them",
    ),
]
Expiry = Annotated[datetime, Meta(tz=True)]


class GrantEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``grants`` of ``[[access.roles]]``: rights over what the patterns name."""

    # "read", "commit", "subscriptions", "mining", "admin".
    rights: Annotated[tuple[Right, ...], Meta(min_length=1)]
    # Names of connections; none: all. So for what follows.
    connections: tuple[Pattern, ...] = ()
    # Names of topics, or RE2 expressions that begin with ^; they match whole names.
    topics: tuple[Pattern, ...] = ()
    # Names of subscriptions, or prefixes that end in *.
    subscriptions: tuple[Pattern, ...] = ()

    def grant(self) -> Grant:
        """As decisions take it."""
        return Grant(frozenset(self.rights), self.connections, self.topics, self.subscriptions)


class RoleEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[access.roles]]``: a named set of grants."""

    # Unique; 1 to 64 of A-Z, a-z, 0-9, _, . and -; not "admin", which is there and allows all.
    name: RoleName
    grants: tuple[GrantEntry, ...] = ()


class TokenEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tokens`` of ``[[access.principals]]``: one token, without what makes it one."""

    # SHA-256 of the token, in hexadecimal.
    sha256: Digest
    # From when on it opens nothing: a time with a zone. Not set: never.
    expires: Expiry | None = None


class PrincipalEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[access.principals]]``: somebody who may call."""

    # Unique; what a certificate or a JWT names is one of these too.
    name: PrincipalName
    # Names of roles.
    roles: tuple[RoleName, ...] = ()
    # Whether whatever is shown of this one opens nothing: tokens, certificates, JWTs.
    disabled: bool = False
    # Two at most, so that one can take the place of the other.
    tokens: Annotated[tuple[TokenEntry, ...], Meta(max_length=TOKENS_MAX)] = ()


class JwtConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[access.jwt]``: an issuer whose JWTs say who calls; its presence turns them on."""

    # What `iss` and `aud` have to be.
    issuer: Annotated[str, Meta(min_length=1, max_length=1_024)]
    audience: Annotated[str, Meta(min_length=1, max_length=1_024)]
    # The issuer's key set (JWK): a file, or an https:// URL (http:// on loopback); one of them.
    keys_file: FilePath | None = None
    keys_url: Annotated[str, Meta(max_length=2_048)] | None = None
    # PEM file with the authorities to trust for the URL; not set: those of the system.
    keys_ca_file: FilePath | None = None
    # The claim with the principal's name, and the one with names of roles beside the principal's
    # own, an array or a text with spaces between; "": none.
    principal_claim: Annotated[str, Meta(min_length=1, max_length=128)] = "sub"
    roles_claim: Annotated[str, Meta(max_length=128)] = ""
    # Seconds that clocks may differ. 0 to 600.
    leeway_s: Annotated[float, Meta(ge=0, le=600)] = 30.0
    # Seconds between looks at the key set, and those at least where a JWT does not fit it. 1 to
    # 86,400.
    interval_s: Annotated[float, Meta(ge=1, le=86_400)] = 300.0
    retry_s: Annotated[float, Meta(ge=1, le=86_400)] = 10.0


class AccessConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[access]``: who may call, and what."""

    # Whether callers have to show who they are. Not set: beyond loopback, without server.insecure.
    enabled: bool | None = None
    # What of a client's certificate is the name of its principal: "common_name", "subject" (all of
    # it, as RFC 4514 writes it), or "san": the alternative names (URI, DNS, mail).
    certificate_name: Literal["common_name", "subject", "san"] = "common_name"
    # The issuer of JWTs; not set: none.
    jwt: JwtConfig | None = None
    # Whether those may probe health, and ask for the protos by reflection, who show nothing.
    health: Literal["open", "closed"] = "open"
    reflection: Literal["open", "closed"] = "closed"
    # Where secrets of connections and stores lie that are made over Admin: files below this
    # directory, and variables whose names begin so. Not set: nowhere, if access control is on.
    secrets_directory: FilePath | None = None
    secrets_variable_prefix: Variable | None = None
    # Roles and principals; more are made with `cachesvc access`.
    roles: tuple[RoleEntry, ...] = ()
    principals: tuple[PrincipalEntry, ...] = ()


def access_is_on(access: AccessConfig, addresses: Iterable[str], insecure: bool) -> bool:
    """Whether callers at these addresses have to show who they are."""
    if access.enabled is not None:
        return access.enabled
    return not insecure and any(map(_is_far, addresses))


def secret_places(access: AccessConfig, *, guarded: bool) -> SecretPlaces:
    """Where secrets may lie of what is made over Admin; anywhere if nobody has said anything."""
    directory, prefix = access.secrets_directory, access.secrets_variable_prefix
    anywhere = not guarded and directory is None and prefix is None
    return SecretPlaces(directory, prefix, anywhere)


def check_access(access: AccessConfig, source: str) -> None:
    """What the types do not say.

    Raises:
        InvalidConfig: A name is there twice, a role is not there, or an expression is none.
    """
    roles = [BUILT_IN_ROLE, *(role.name for role in access.roles)]
    _check_unique(roles, source, "access.roles", "a role")
    principals = [principal.name for principal in access.principals]
    _check_unique(principals, source, "access.principals", "a principal")
    if access.jwt is not None:
        _check_jwt(access.jwt, source)
    for index, role in enumerate(access.roles):
        check_grants(role.grants, source, f"access.roles[{index}].grants")
    digests: set[str] = set()
    for index, principal in enumerate(access.principals):
        field = f"access.principals[{index}]"
        for name in principal.roles:
            if name not in roles:
                advice = "add it to [[access.roles]], or give another"
                raise setting_error(source, f"{field}.roles", f"there is no role {name!r}", advice)
        for token in principal.tokens:
            if token.sha256 in digests:
                problem, advice = "a token is there twice", "give each principal its own"
                raise setting_error(source, f"{field}.tokens", problem, advice)
            digests.add(token.sha256)


def check_grants(grants: Iterable[GrantEntry], source: str, field: str) -> None:
    """Refuses expressions that are none.

    Raises:
        InvalidConfig: As said.
    """
    for index, grant in enumerate(grants):
        for topic in grant.topics:
            if not topic.startswith("^"):
                continue
            try:
                check_expression(topic)
            except InvalidRequest as error:
                advice = "give an RE2 expression, or a name"
                raise setting_error(
                    source, f"{field}[{index}].topics", str(error), advice
                ) from error


def check_access_listen(
    access: AccessConfig, addresses: Iterable[str], insecure: bool, source: str
) -> None:
    """Refuses to answer everybody beyond loopback, unless ``insecure`` says that it is meant.

    Raises:
        InvalidConfig: As said.
    """
    far = next(filter(_is_far, addresses), None)
    if access.enabled is False and not insecure and far is not None:
        problem = f"{far} is beyond loopback, where everybody could do everything"
        advice = "leave it out, or accept that with server.insecure = true (--insecure)"
        raise setting_error(source, "access.enabled", problem, advice)


def _check_jwt(config: JwtConfig, source: str) -> None:
    if (config.keys_file is None) == (config.keys_url is None):
        problem, advice = "is missing, or there beside keys_file", "give one of them"
        raise setting_error(source, "access.jwt.keys_url", problem, advice)
    url = urlsplit(config.keys_url or "https://")
    plain = url.scheme == "http" and is_loopback(url.hostname or "")
    if config.keys_url is not None and not (url.hostname and (url.scheme == "https" or plain)):
        advice = "give an https:// URL, or an http:// one on loopback"
        raise setting_error(source, "access.jwt.keys_url", "cannot be trusted", advice)


def _is_far(listen: str) -> bool:
    host, _ = parse_address(listen)
    return not is_loopback(host)


def _check_unique(names: list[str], source: str, field: str, what: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            advice = "choose a name of its own"
            raise setting_error(source, field, f"{name!r} is {what} already", advice)
