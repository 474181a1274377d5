"""Who calls, and what may be allowed to them, as values."""

from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """What a grant allows; the words are those of configuration and command line."""

    READ = "read"  # records and positions of topics; what is known about them
    COMMIT = "commit"  # positions of subscriptions
    SUBSCRIPTIONS = "subscriptions"  # make, reset and delete subscriptions
    MINING = "mining"  # start, stop and edit mining tasks; pins; blocked partitions
    ADMIN = "admin"  # everything else: connections, stores, jobs, SQL, access


@dataclass(frozen=True, slots=True)
class Grant:
    """Rights over what the patterns name; an empty tuple of patterns means all.

    Attributes:
        rights: What is allowed.
        connections: Names of connections.
        topics: Names of topics, or RE2 expressions that begin with ``^``; they match whole names.
        subscriptions: Names of subscriptions, or prefixes that end in ``*``.
    """

    rights: frozenset[Right]
    connections: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of grants."""

    name: str
    grants: tuple[Grant, ...]


class Proof(StrEnum):
    """How a caller showed who it is."""

    NONE = "none"  # access control is off
    SOCKET = "socket"  # the store's Unix socket, which only the service's user may open
    TOKEN = "token"
    CERTIFICATE = "certificate"
    JWT = "jwt"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call.

    Attributes:
        name: The principal's; "anonymous" where access control is off.
        roles: Names of its roles.
        proof: How it showed who it is.
        credential: What it showed, for people: the id of the token, the serial number of the
            certificate, the ``jti`` of the JWT; never a secret.
        address: Where the call comes from, as gRPC names a peer.
        expires_ms: When what it showed ends; None: never.
        brought: Names of those of its roles that a JWT brings, whatever the principal has.
    """

    name: str
    roles: tuple[str, ...]
    proof: Proof
    credential: str
    address: str
    expires_ms: int | None = None
    brought: tuple[str, ...] = ()
