"""Who a caller is, by what it shows, and the tokens that are shown."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cachesvc.access.principals import KnownPrincipal, KnownRole, Principals
from cachesvc.access.token_index import TokenIndex
from cachesvc.access.tokens import digest_of, new_id, new_token
from cachesvc.errors import InvalidRequest, NotFound, PreconditionFailed, Unauthenticated
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.callers import Caller, Grant, Proof, Right
from cachesvc.settings.access import (
    TOKENS_MAX,
    AccessConfig,
    PrincipalEntry,
    RoleEntry,
)
from cachesvc.store.access_port import TokenRecord
from cachesvc.store.ports import Catalogue

T = TypeVar("T")
ENDED_KEPT_S = 30 * 86_400
"""For how long a token is listed that was revoked or has expired."""
_ID_LENGTH_OF_FILE = 8
_EVERYTHING = (Grant(frozenset(Right)),)
_WITHOUT_BOUNDS = (Proof.NONE, Proof.SOCKET)


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token as it is shown to people; ``in_file`` for one of the settings."""

    record: TokenRecord
    in_file: bool
    last_used_ms: int | None


class Registry:
    """Principals, roles and tokens of one service. For one event loop; ``load`` comes first.

    Attributes:
        on_change: Called behind every change, once it counts.

    Args:
        settings: What cannot be changed here.
        catalogue: Where all else is durable.
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
        self._principals = Principals(settings, catalogue, clock)
        self._of_file = TokenIndex(_of_file(settings))
        self._made = TokenIndex()
        self._used_ms: dict[str, int] = {}
        self._changing = asyncio.Lock()
        self._changes: set[asyncio.Task[Any]] = set()
        self.on_change: list[Callable[[], None]] = []

    async def load(self) -> None:
        """Takes what is kept in the catalogue."""
        await self._catalogue.call(self._take_kept)

    def _take_kept(self, port: Catalogue) -> None:
        self._principals.take_kept(port)
        port.access.forget_tokens(self._long_ago_ms())
        self._made = TokenIndex(port.access.list_tokens())

    # Who calls

    def holder(self, token: str, address: str) -> Caller | None:
        """The caller who shows a token; None where it is none that was ever made here.

        Raises:
            Unauthenticated: It is expired or revoked, or its principal is gone or disabled.
        """
        digest = digest_of(token)
        record = self._of_file.with_digest(digest) or self._made.with_digest(digest)
        if record is None:
            return None
        now_ms = self._now_ms()
        if problem := self._problem(record, now_ms):
            raise Unauthenticated(
                f"the token {record.id} {problem}; ask for another", metadata={"token": record.id}
            )
        self._used_ms[record.id] = now_ms
        name = record.principal
        roles = self._principals.principal(name).entry.roles
        return Caller(name, roles, Proof.TOKEN, record.id, address, record.expires_ms)

    def known(self, name: str) -> bool:
        """Whether there is a principal of that name, one that is not disabled."""
        return name in self._principals.all and not self.disabled(name)

    def disabled(self, name: str) -> bool:
        """Whether there is a principal of that name that opens nothing."""
        found = self._principals.all.get(name)
        return found is not None and found.entry.disabled

    def roles_of(self, name: str) -> tuple[str, ...]:
        """The names of a principal's roles; none where there is no such principal."""
        found = self._principals.all.get(name)
        return found.entry.roles if found else ()

    def roles_by_name(self, name: str) -> tuple[str, ...] | None:
        """The names of the roles of whom a JWT names; None where there is no such principal.

        Raises:
            Unauthenticated: It is disabled, so that no JWT opens anything, whatever it brings.
        """
        if self.disabled(name):
            raise Unauthenticated(f"the JWT is of {name[:80]!a}, a principal that is disabled")
        return self.roles_of(name) if self.known(name) else None

    def stands(self, caller: Caller) -> bool:
        """Whether what a caller showed still opens a call."""
        if caller.proof in _WITHOUT_BOUNDS:
            return True
        now_ms = self._now_ms()
        if caller.expires_ms is not None and caller.expires_ms <= now_ms:
            return False
        if caller.proof is Proof.JWT and caller.brought:
            return not self.disabled(caller.name)
        if caller.proof is not Proof.TOKEN:
            return self.known(caller.name)
        record = self._with_id(caller.credential)
        return record is not None and not self._problem(record, now_ms)

    def grants(self, caller: Caller) -> tuple[Grant, ...]:
        """What a caller may do, by its roles as they are now; a JWT may bring roles of its own."""
        if caller.proof in _WITHOUT_BOUNDS:
            return _EVERYTHING
        names = dict.fromkeys([*self.roles_of(caller.name), *caller.brought])
        return self._principals.grants(names)

    # Roles and principals

    @property
    def roles(self) -> Mapping[str, KnownRole]:
        """All roles by name."""
        return self._principals.roles

    @property
    def principals(self) -> Mapping[str, KnownPrincipal]:
        """All principals by name."""
        return self._principals.all

    async def set_role(self, entry: RoleEntry) -> KnownRole:
        """Makes a role, or changes it; see ``Principals``."""
        return await self._change(self._principals.set_role(entry))

    async def delete_role(self, name: str) -> None:
        """Forgets a role; see ``Principals``."""
        await self._change(self._principals.delete_role(name))

    async def set_principal(self, entry: PrincipalEntry) -> KnownPrincipal:
        """Makes a principal, or changes its roles; see ``Principals``."""
        return await self._change(self._principals.set_principal(entry))

    async def delete_principal(self, name: str) -> None:
        """Forgets a principal with its tokens; see ``Principals``."""

        async def delete() -> None:
            await self._principals.delete_principal(name)
            self._forget(self._made.of(name))

        await self._change(delete())

    # Tokens

    def tokens(self, principal: str = "") -> Sequence[KnownToken]:
        """Those of a principal, or all for an empty name; the settings' first, then by age."""
        kinds = (self._of_file, self._made)
        found = [kind.of(principal) if principal else kind.all() for kind in kinds]
        return [self._shown(each) for records in found for each in records]

    def count_valid(self, principal: str) -> int:
        """How many tokens of a principal open a call now."""
        now_ms = self._now_ms()
        mine = (*self._of_file.of(principal), *self._made.of(principal))
        return sum(1 for each in mine if not self._problem(each, now_ms))

    async def create_token(self, principal: str, expires_ms: int | None) -> tuple[KnownToken, str]:
        """Makes a token; returns it, and the text that is not kept.

        Those that ended more than ``ENDED_KEPT_S`` ago are forgotten then, as at every start, so
        that they do not pile up.

        Raises:
            NotFound: There is no such principal (``UNKNOWN_PRINCIPAL``).
            InvalidRequest: It would be expired already.
            PreconditionFailed: There are two already (``TOO_MANY_TOKENS``).
        """

        async def create() -> tuple[KnownToken, str]:
            self._principals.principal(principal)
            if self.count_valid(principal) >= TOKENS_MAX:
                raise PreconditionFailed(
                    f"{principal!a} has {TOKENS_MAX} tokens that are valid; revoke one with "
                    "`cachesvc access revoke-token`",
                    reason="TOO_MANY_TOKENS",
                )
            now_ms = self._now_ms()
            if expires_ms is not None and expires_ms <= now_ms:
                raise InvalidRequest("expires_ms is in the past; give a time to come")
            await self._forget_ended()
            id_ = next(each for each in iter(new_id, None) if self._with_id(each) is None)
            text = new_token(id_)
            record = TokenRecord(id_, principal, digest_of(text), now_ms, expires_ms)
            await self._put(record)
            return self._shown(record), text

        return await self._change(create())

    async def revoke_token(self, id_: str) -> KnownToken:
        """Has a token open nothing any more; one that is revoked stays as it is.

        Raises:
            NotFound: There is none of that id (``UNKNOWN_TOKEN``).
            PreconditionFailed: It comes from the settings (``ACCESS_IN_FILE``).
        """

        async def revoke() -> KnownToken:
            record = self._with_id(id_)
            if record is None:
                what = f"there is no token {id_[:80]!a}; `cachesvc access tokens` lists them"
                raise NotFound(what, reason="UNKNOWN_TOKEN")
            if self._is_of_file(record):
                raise PreconditionFailed(
                    f"{id_} comes from the service's settings; take it out there",
                    reason="ACCESS_IN_FILE",
                )
            if record.revoked_ms is None:
                record = replace(record, revoked_ms=self._now_ms())
                await self._put(record)
            return self._shown(record)

        return await self._change(revoke())

    async def _put(self, record: TokenRecord) -> None:
        await self._catalogue.call(lambda port: port.access.put_token(record))
        self._made.put(record)

    async def _forget_ended(self) -> None:
        before_ms = self._long_ago_ms()
        ended = [each for each in self._made.all() if each.ended_before(before_ms)]
        if ended:
            await self._catalogue.call(lambda port: port.access.forget_tokens(before_ms))
            self._forget(ended)

    def _forget(self, records: Sequence[TokenRecord]) -> None:
        self._made.forget(records)
        for record in records:
            self._used_ms.pop(record.id, None)

    async def _change(self, work: Coroutine[Any, Any, T]) -> T:
        """One change after the other, each to its end even if who asked for it is gone.

        What is durable would else not count until the next start.
        """

        async def carry_out() -> T:
            async with self._changing:
                done = await work
            for told in self.on_change:
                told()
            return done

        task = asyncio.ensure_future(carry_out())
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)
        return await asyncio.shield(task)

    def _with_id(self, id_: str) -> TokenRecord | None:
        return self._of_file.with_id(id_) or self._made.with_id(id_)

    def _is_of_file(self, record: TokenRecord) -> bool:
        return self._of_file.with_id(record.id) is not None

    def _problem(self, record: TokenRecord, now_ms: int) -> str:
        """Why a token opens nothing; empty if it does."""
        if record.revoked_ms is not None:
            return "is revoked"
        if record.expires_ms is not None and record.expires_ms <= now_ms:
            return "is expired"
        if self.disabled(record.principal):
            return "is of a principal that is disabled"
        return "" if self.known(record.principal) else "is of a principal that is gone"

    def _shown(self, record: TokenRecord) -> KnownToken:
        return KnownToken(record, self._is_of_file(record), self._used_ms.get(record.id))

    def _long_ago_ms(self) -> int:
        return self._now_ms() - ENDED_KEPT_S * 1_000

    def _now_ms(self) -> int:
        return int(self._clock() * 1_000)


def _of_file(settings: AccessConfig) -> Iterator[TokenRecord]:
    for principal in settings.principals:
        for token in principal.tokens:
            yield TokenRecord(
                f"file-{token.sha256[:_ID_LENGTH_OF_FILE]}",
                principal.name,
                token.sha256,
                0,
                int(token.expires.timestamp() * 1_000) if token.expires else None,
            )
