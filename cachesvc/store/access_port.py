"""Principals, roles and tokens, as a catalogue keeps them; a part of ``ports.Catalogue``.

The contract of ``ports.Catalogue`` holds: every method is one transaction, and durable on return.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """A role that was made over Admin.

    Attributes:
        name: Unique in the service.
        grants_json: What it allows.
        created_ms: When it was made.
        updated_ms: When it was last changed.
    """

    name: str
    grants_json: str
    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class PrincipalRecord:
    """A principal that was made over Admin.

    Attributes:
        name: Unique in the service.
        roles_json: The names of its roles, as an array.
        created_ms: When it was made.
        updated_ms: When it was last changed.
        disabled: Whether it opens nothing.
    """

    name: str
    roles_json: str
    created_ms: int
    updated_ms: int
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token, without what makes it one.

    Attributes:
        id: Unique in the service; no secret.
        principal: Whose, whether it was made over Admin or not.
        digest: SHA-256 of the token, in hexadecimal.
        created_ms: When it was made.
        expires_ms: From when on it opens nothing; None: never.
        revoked_ms: When it was revoked; None: it was not.
    """

    id: str
    principal: str
    digest: str
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None

    @property
    def ended_ms(self) -> int | None:
        """When it was revoked; else from when on it is expired, maybe to come; None: never."""
        return self.expires_ms if self.revoked_ms is None else self.revoked_ms

    def ended_before(self, time_ms: int) -> bool:
        """Whether it opened nothing any more at that time, nor was revoked since."""
        return self.ended_ms is not None and self.ended_ms < time_ms


class AccessKept(Protocol):
    """Who may call, by name."""

    def list_roles(self) -> Sequence[RoleRecord]:
        """Ordered by name."""

    def put_role(self, record: RoleRecord) -> None:
        """Enters one or changes it; ``created_ms`` of one that is there stays."""

    def delete_role(self, name: str) -> None:
        """Forgets one; nothing happens if there is none."""

    def list_principals(self) -> Sequence[PrincipalRecord]:
        """Ordered by name."""

    def put_principal(self, record: PrincipalRecord) -> None:
        """Enters one or changes it; ``created_ms`` of one that is there stays."""

    def delete_principal(self, name: str) -> None:
        """Forgets one with all its tokens, at once; nothing happens if there is none."""

    def list_tokens(self) -> Sequence[TokenRecord]:
        """In the order in which they were made."""

    def put_token(self, record: TokenRecord) -> None:
        """Enters one, or changes the one of that id."""

    def forget_tokens(self, ended_before_ms: int) -> None:
        """Forgets those whose ``ended_ms`` is before that time; of others nothing changes."""
