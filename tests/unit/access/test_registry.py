from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cachesvc.access.registry import ENDED_KEPT_S, Registry
from cachesvc.access.tokens import digest_of, new_token
from cachesvc.errors import InvalidRequest, NotFound, PreconditionFailed, Unauthenticated
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.callers import Caller, Grant, Proof, Right
from cachesvc.settings.access import (
    AccessConfig,
    GrantEntry,
    PrincipalEntry,
    RoleEntry,
    TokenEntry,
)
from cachesvc.store.memory_catalogue import MemoryCatalogue

PEER = "ipv4:10.0.0.7:4711"
OF_FILE = new_token("0000")
READ = GrantEntry(rights=(Right.READ,), topics=("orders",))
SETTINGS = AccessConfig(
    roles=(RoleEntry(name="readers", grants=(READ,)),),
    principals=(
        PrincipalEntry(
            name="billing",
            roles=("readers",),
            tokens=(
                TokenEntry(sha256=digest_of(OF_FILE), expires=datetime.fromtimestamp(100, UTC)),
            ),
        ),
    ),
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def catalogue() -> Iterator[CatalogueThread]:
    opened = CatalogueThread(MemoryCatalogue)
    yield opened
    opened.close()


async def _loaded(catalogue: CatalogueThread, clock: Clock, settings: AccessConfig) -> Registry:
    registry = Registry(settings, catalogue, clock)
    await registry.load()
    return registry


def test_a_token_opens_until_it_is_revoked_also_after_a_restart(
    catalogue: CatalogueThread,
) -> None:
    async def body() -> None:
        clock = Clock()
        registry = await _loaded(catalogue, clock, AccessConfig())
        changes: list[int] = []
        registry.on_change.append(lambda: changes.append(1))
        await registry.set_principal(PrincipalEntry(name="ops", roles=("admin",)))
        made, text = await registry.create_token("ops", None)
        assert text not in repr(made)
        for each in (registry, await _loaded(catalogue, clock, AccessConfig())):
            caller = each.holder(text, PEER)
            assert caller == Caller("ops", ("admin",), Proof.TOKEN, made.record.id, PEER)
            assert each.stands(caller)
            assert each.grants(caller) == (Grant(frozenset(Right)),)
        caller = registry.holder(text, PEER)
        assert caller is not None
        await registry.revoke_token(made.record.id)
        assert not registry.stands(caller)
        for each in (registry, await _loaded(catalogue, clock, AccessConfig())):
            with pytest.raises(Unauthenticated, match="is revoked"):
                each.holder(text, PEER)
        again = await registry.revoke_token(made.record.id)
        assert again.record.revoked_ms == 5_000
        assert len(changes) == 4

    asyncio.run(body())


def test_nothing_kept_has_the_token(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        registry = await _loaded(catalogue, Clock(), SETTINGS)
        _, text = await registry.create_token("billing", None)
        kept = await catalogue.call(lambda port: port.access.list_tokens())
        assert [each.digest for each in kept] == [digest_of(text)]
        assert text.rpartition("_")[2] not in repr(kept)

    asyncio.run(body())


def test_a_token_expires(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        clock = Clock()
        registry = await _loaded(catalogue, clock, SETTINGS)
        _, text = await registry.create_token("billing", 50_000)
        caller = registry.holder(text, PEER)
        assert caller is not None and caller.expires_ms == 50_000
        assert registry.holder(OF_FILE, PEER) is not None
        clock.now_s = 50.0
        assert not registry.stands(caller)
        with pytest.raises(Unauthenticated, match="is expired"):
            registry.holder(text, PEER)
        clock.now_s = 100.0
        with pytest.raises(Unauthenticated, match="is expired"):
            registry.holder(OF_FILE, PEER)
        with pytest.raises(InvalidRequest):
            await registry.create_token("billing", 100_000)

    asyncio.run(body())


def test_two_are_valid_at_a_time_however_many_ask_at_once(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        clock = Clock()
        registry = await _loaded(catalogue, clock, AccessConfig())
        await registry.set_principal(PrincipalEntry(name="ops"))
        made = await asyncio.gather(
            *(registry.create_token("ops", 60_000) for _ in range(5)), return_exceptions=True
        )
        refused = [each for each in made if isinstance(each, PreconditionFailed)]
        assert [each.reason for each in refused] == ["TOO_MANY_TOKENS"] * 3
        assert registry.count_valid("ops") == 2
        await registry.revoke_token(registry.tokens("ops")[0].record.id)
        await registry.create_token("ops", None)
        clock.now_s = 60.0
        assert registry.count_valid("ops") == 1
        await registry.create_token("ops", None)

    asyncio.run(body())


def test_what_has_ended_is_listed_for_thirty_days_and_then_forgotten(
    catalogue: CatalogueThread,
) -> None:
    async def body() -> None:
        clock = Clock()
        registry = await _loaded(catalogue, clock, SETTINGS)
        await registry.set_principal(PrincipalEntry(name="ops"))

        async def made(name: str, expires_ms: int | None = None) -> tuple[str, str]:
            token, text = await registry.create_token(name, expires_ms)
            return token.record.id, text

        async def listed(registry: Registry) -> set[str]:
            kept = await catalogue.call(lambda port: port.access.list_tokens())
            found = {each.record.id for each in registry.tokens() if not each.in_file}
            assert found == {each.id for each in kept}
            return found

        lasting, _ = await made("ops")
        revoked, text = await made("ops")
        expired, _ = await made("billing", 6_000)
        registry.holder(text, PEER)
        await registry.revoke_token(revoked)
        clock.now_s = 5.0 + ENDED_KEPT_S
        assert await listed(registry) == {lasting, revoked, expired}
        with pytest.raises(Unauthenticated, match="is revoked"):
            registry.holder(text, PEER)
        fresh, _ = await made("ops")
        assert await listed(registry) == {lasting, revoked, expired, fresh}
        clock.now_s += 0.5
        await registry.revoke_token(fresh)
        other, _ = await made("ops")
        assert await listed(registry) == {lasting, expired, fresh, other}
        assert registry.holder(text, PEER) is None
        clock.now_s += 1.0
        assert await listed(await _loaded(catalogue, clock, SETTINGS)) == {lasting, fresh, other}
        assert [each for each in registry.tokens("billing") if each.in_file], "it is in the file"

    asyncio.run(body())


def test_what_the_caller_may_follows_its_roles_as_they_are_now(
    catalogue: CatalogueThread,
) -> None:
    async def body() -> None:
        registry = await _loaded(catalogue, Clock(), AccessConfig())
        await registry.set_role(RoleEntry(name="readers", grants=(READ,)))
        await registry.set_principal(PrincipalEntry(name="billing", roles=("readers",)))
        _, text = await registry.create_token("billing", None)
        caller = registry.holder(text, PEER)
        assert caller is not None
        assert registry.grants(caller) == (READ.grant(),)
        await registry.set_role(RoleEntry(name="readers"))
        assert registry.grants(caller) == ()
        await registry.set_role(RoleEntry(name="readers", grants=(READ,)))
        await registry.set_principal(PrincipalEntry(name="billing"))
        assert registry.grants(caller) == ()
        await registry.delete_principal("billing")
        assert not registry.stands(caller)
        assert registry.holder(text, PEER) is None
        # One of the same name later does not inherit what opened for the one before.
        await registry.set_principal(PrincipalEntry(name="billing"))
        assert not registry.stands(caller)

    asyncio.run(body())


def test_a_jwt_brings_roles_and_a_socket_everything(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        registry = await _loaded(catalogue, Clock(), SETTINGS)
        roles = ("readers", "unknown")
        jwt = Caller("somebody", roles, Proof.JWT, "j", PEER, brought=roles)
        assert registry.grants(jwt) == (READ.grant(),)
        brought_by_none = Caller("somebody", ("readers",), Proof.CERTIFICATE, "c", PEER)
        assert registry.grants(brought_by_none) == ()
        local = Caller("local", (), Proof.SOCKET, "", "unix:")
        assert registry.grants(local) == (Grant(frozenset(Right)),)

    asyncio.run(body())


def test_what_is_in_the_file_is_changed_there_alone(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        registry = await _loaded(catalogue, Clock(), SETTINGS)
        (token,) = registry.tokens("billing")
        assert token.in_file
        for change in (
            lambda: registry.set_role(RoleEntry(name="readers")),
            lambda: registry.delete_role("admin"),
            lambda: registry.set_principal(PrincipalEntry(name="billing")),
            lambda: registry.delete_principal("billing"),
            lambda: registry.revoke_token(token.record.id),
        ):
            with pytest.raises(PreconditionFailed) as caught:
                await change()
            assert caught.value.reason == "ACCESS_IN_FILE"

    asyncio.run(body())


def test_what_is_not_there(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        registry = await _loaded(catalogue, Clock(), AccessConfig())
        assert registry.holder("cachesvc_00_guess", PEER) is None
        assert registry.holder("\udcff", PEER) is None
        for change, reason in (
            (registry.create_token("nobody", None), "UNKNOWN_PRINCIPAL"),
            (registry.revoke_token("none"), "UNKNOWN_TOKEN"),
            (registry.delete_role("none"), "UNKNOWN_ROLE"),
            (registry.set_principal(PrincipalEntry(name="x", roles=("no",))), "UNKNOWN_ROLE"),
        ):
            with pytest.raises(NotFound) as caught:
                await change
            assert caught.value.reason == reason

    asyncio.run(body())


def test_a_change_counts_though_who_asked_for_it_has_gone(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        registry = await _loaded(catalogue, Clock(), SETTINGS)
        made, text = await registry.create_token("billing", None)
        told = asyncio.Event()
        registry.on_change.append(told.set)
        asking = asyncio.ensure_future(registry.revoke_token(made.record.id))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        await asyncio.wait_for(told.wait(), 30)
        with pytest.raises(Unauthenticated):
            registry.holder(text, PEER)

    asyncio.run(body())


def test_nothing_opens_of_a_disabled_principal_also_after_a_restart(
    catalogue: CatalogueThread,
) -> None:
    async def body() -> None:
        clock = Clock()
        registry = await _loaded(catalogue, clock, AccessConfig())
        await registry.set_principal(PrincipalEntry(name="ops", roles=("admin",)))
        _, text = await registry.create_token("ops", None)
        caller = registry.holder(text, PEER)
        assert caller is not None
        by_jwt = replace(caller, proof=Proof.JWT, brought=("admin",))
        by_name = replace(caller, proof=Proof.CERTIFICATE)
        await registry.set_principal(PrincipalEntry(name="ops", roles=("admin",), disabled=True))
        for each in (registry, await _loaded(catalogue, clock, AccessConfig())):
            with pytest.raises(Unauthenticated, match="disabled"):
                each.holder(text, PEER)
            with pytest.raises(Unauthenticated, match="disabled"):
                each.roles_by_name("ops")
            assert not each.known("ops")
            assert not any(each.stands(shown) for shown in (caller, by_jwt, by_name))
            assert each.count_valid("ops") == 0
        await registry.set_principal(PrincipalEntry(name="ops", roles=("admin",)))
        assert registry.holder(text, PEER) == caller
        assert registry.roles_by_name("ops") == ("admin",)
        assert all(registry.stands(shown) for shown in (caller, by_jwt, by_name))

    asyncio.run(body())


def test_what_a_jwt_opens_follows_its_principal(catalogue: CatalogueThread) -> None:
    async def body() -> None:
        registry = await _loaded(catalogue, Clock(), AccessConfig())
        await registry.set_principal(PrincipalEntry(name="ops", roles=("admin",)))
        plain = Caller("ops", ("admin",), Proof.JWT, "j7", PEER)
        brought = replace(plain, brought=("admin",))
        assert registry.grants(plain) == registry.grants(brought) == (Grant(frozenset(Right)),)
        await registry.set_principal(PrincipalEntry(name="ops"))
        assert registry.grants(plain) == ()
        assert registry.grants(brought) == (Grant(frozenset(Right)),)
        await registry.delete_principal("ops")
        assert (registry.stands(plain), registry.stands(brought)) == (False, True)
        assert registry.roles_by_name("ops") is None

    asyncio.run(body())
