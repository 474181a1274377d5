"""Roles and principals: those of the settings, and those made over Admin."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from cachesvc.errors import InvalidRequest, NotFound, PreconditionFailed
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.callers import Grant, Right
from cachesvc.settings.access import (
    BUILT_IN_ROLE,
    AccessConfig,
    GrantEntry,
    PrincipalEntry,
    RoleEntry,
    check_grants,
)
from cachesvc.store.access_port import PrincipalRecord, RoleRecord
from cachesvc.store.ports import Catalogue

T = TypeVar("T")
_CALL = "access"
_EVERYTHING = RoleEntry(name=BUILT_IN_ROLE, grants=(GrantEntry(rights=tuple(Right)),))
_GRANTS = msgspec.json.Decoder(tuple[GrantEntry, ...])
_ROLES = msgspec.json.Decoder(tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Made:
    """When something was made over Admin, and last changed."""

    created_ms: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class KnownRole:
    """A role; ``made`` is None for one that cannot be changed over Admin."""

    entry: RoleEntry
    made: Made | None


@dataclass(frozen=True, slots=True)
class KnownPrincipal:
    """A principal; ``made`` is None for one of the settings."""

    entry: PrincipalEntry
    made: Made | None


class Principals:
    """Roles and principals by name, whole in memory. For one event loop.

    Args:
        settings: Those that are not changed here.
        catalogue: Where all others are durable.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        settings: AccessConfig,
        catalogue: CatalogueThread,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        in_file = [_EVERYTHING, *settings.roles]
        self._roles = {role.name: KnownRole(role, None) for role in in_file}
        self._principals = {each.name: KnownPrincipal(each, None) for each in settings.principals}

    def take_kept(self, port: Catalogue) -> None:
        """Takes what is kept; what the settings have of the same name goes before it. Blocking."""
        for role in port.access.list_roles():
            entry = RoleEntry(name=role.name, grants=_GRANTS.decode(role.grants_json))
            made = Made(role.created_ms, role.updated_ms)
            self._roles.setdefault(role.name, KnownRole(entry, made))
        for kept in port.access.list_principals():
            roles = _ROLES.decode(kept.roles_json)
            found = PrincipalEntry(name=kept.name, roles=roles, disabled=kept.disabled)
            made = Made(kept.created_ms, kept.updated_ms)
            self._principals.setdefault(kept.name, KnownPrincipal(found, made))

    @property
    def roles(self) -> Mapping[str, KnownRole]:
        """All roles by name."""
        return self._roles

    @property
    def all(self) -> Mapping[str, KnownPrincipal]:
        """All principals by name."""
        return self._principals

    def principal(self, name: str) -> KnownPrincipal:
        """The principal of that name.

        Raises:
            NotFound: There is none (``UNKNOWN_PRINCIPAL``).
        """
        if name not in self._principals:
            raise NotFound(
                f"there is no principal {_shown(name)}; `cachesvc access principals` lists them",
                reason="UNKNOWN_PRINCIPAL",
            )
        return self._principals[name]

    def grants(self, roles: Iterable[str]) -> tuple[Grant, ...]:
        """What roles allow; those that are gone allow nothing."""
        found = (self._roles[name] for name in roles if name in self._roles)
        return tuple(entry.grant() for role in found for entry in role.entry.grants)

    async def set_role(self, entry: RoleEntry) -> KnownRole:
        """Makes a role, or changes it.

        Raises:
            InvalidRequest: An expression is none.
            PreconditionFailed: It cannot be changed over Admin (``ACCESS_IN_FILE``).
        """
        check_grants(entry.grants, _CALL, "role.grants")
        before = self._roles.get(entry.name)
        made = self._made(before.made if before else None, before is not None, entry.name)
        grants = msgspec.json.encode(entry.grants).decode()
        record = RoleRecord(entry.name, grants, made.created_ms, made.updated_ms)
        await self._catalogue.call(lambda port: port.access.put_role(record))
        self._roles[entry.name] = KnownRole(entry, made)
        return self._roles[entry.name]

    async def delete_role(self, name: str) -> None:
        """Forgets a role.

        Raises:
            NotFound: There is none (``UNKNOWN_ROLE``).
            PreconditionFailed: It cannot be changed over Admin (``ACCESS_IN_FILE``).
        """
        if name not in self._roles:
            raise _unknown_role(name)
        self._made(self._roles[name].made, True, name)
        await self._catalogue.call(lambda port: port.access.delete_role(name))
        del self._roles[name]

    async def set_principal(self, entry: PrincipalEntry) -> KnownPrincipal:
        """Makes a principal, or changes its roles and whether it is disabled.

        Raises:
            NotFound: A role is not there (``UNKNOWN_ROLE``).
            PreconditionFailed: It cannot be changed over Admin (``ACCESS_IN_FILE``).
        """
        for role in entry.roles:
            if role not in self._roles:
                raise _unknown_role(role)
        before = self._principals.get(entry.name)
        made = self._made(before.made if before else None, before is not None, entry.name)
        roles = msgspec.json.encode(entry.roles).decode()
        times = made.created_ms, made.updated_ms
        record = PrincipalRecord(entry.name, roles, *times, entry.disabled)
        await self._catalogue.call(lambda port: port.access.put_principal(record))
        self._principals[entry.name] = KnownPrincipal(entry, made)
        return self._principals[entry.name]

    async def delete_principal(self, name: str) -> None:
        """Forgets a principal, in the catalogue with its tokens.

        Raises:
            NotFound: There is none (``UNKNOWN_PRINCIPAL``).
            PreconditionFailed: It cannot be changed over Admin (``ACCESS_IN_FILE``).
        """
        self._made(self.principal(name).made, True, name)
        await self._catalogue.call(lambda port: port.access.delete_principal(name))
        del self._principals[name]

    def _made(self, before: Made | None, is_there: bool, name: str) -> Made:
        """When what is about to be made or changed was made, and that it is changed now."""
        if is_there and before is None:
            raise PreconditionFailed(
                f"{_shown(name)} comes from the service's settings; change it there",
                reason="ACCESS_IN_FILE",
            )
        now_ms = int(self._clock() * 1_000)
        return Made(before.created_ms if before else now_ms, now_ms)


def parse_role(tree: object) -> RoleEntry:
    """JSON types as a role.

    Raises:
        InvalidRequest: A field is wrong.
    """
    return _parsed(tree, RoleEntry)


def parse_principal(tree: object) -> PrincipalEntry:
    """JSON types as a principal.

    Raises:
        InvalidRequest: A field is wrong.
    """
    return _parsed(tree, PrincipalEntry)


def _parsed(tree: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{_CALL}: {error}") from error


def _unknown_role(name: str) -> NotFound:
    return NotFound(
        f"there is no role {_shown(name)}; `cachesvc access roles` lists them",
        reason="UNKNOWN_ROLE",
    )


def _shown(name: str) -> str:
    return ascii(name[:80])
