"""The service's own registry of roles and tokens, in front of the rights."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.policy.callers import Right
from cachesvc.settings.access import AccessConfig, GrantEntry, JwtConfig, PrincipalEntry, RoleEntry
from cachesvc.store.audit_port import AuditEntry, AuditFilter
from cachesvc.v1 import admin_pb2, connection_test_pb2, connections_pb2, stores_pb2
from cachesvc.v1 import log_cache_pb2 as pb
from tests.support.jwts import AUDIENCE, ISSUER, JwtSigner
from tests.unit.serving.guarded import VALID_S, Guarded, Outcome, guarded, refusal

TASK = (Right.READ, Right.COMMIT, Right.SUBSCRIPTIONS)
ENDS_WITHIN_S = 30.0


@asynccontextmanager
async def tokens(path: Path) -> AsyncIterator[tuple[Guarded, dict[str, str]]]:
    """A service with a task, and an administrator; with their tokens."""
    access = AccessConfig(
        enabled=True,
        roles=(RoleEntry(name="orders", grants=(GrantEntry(rights=TASK, topics=("orders",)),)),),
        secrets_directory=str(path / "secrets"),
    )
    async with guarded(path / "store", {}, access=access) as service:
        registry = service.parts.callers.access
        texts = {}
        for name, role in (("ann", "orders"), ("root", "admin")):
            await registry.set_principal(PrincipalEntry(name=name, roles=(role,)))
            _, texts[name] = await registry.create_token(name, None)
        yield service, texts


def shown(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def subscribe(service: Guarded, token: str) -> Any:
    request = pb.SubscribeRequest(
        subscription="billing-1", connection="main", topics=["orders"], mode=pb.INCREMENTAL
    )
    return service.log_cache.Subscribe(request, metadata=shown(token), timeout=30)


async def outcome(call: Any) -> Outcome:
    try:
        return Outcome((await call,))
    except grpc.aio.AioRpcError as error:
        return refusal(error)


async def end_of(stream: Any) -> Outcome:
    try:
        while await stream.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    raise AssertionError("the stream ended well")


@pytest.mark.parametrize("change", ["token", "principal", "role"])
def test_a_stream_ends_soon_after_a_change(tmp_path: Path, change: str) -> None:
    async def body() -> None:
        async with tokens(tmp_path) as (service, texts):
            stream = subscribe(service, texts["ann"])
            assert (await stream.read()).HasField("started")
            registry = service.parts.callers.access
            if change == "token":
                (token,) = registry.tokens("ann")
                await registry.revoke_token(token.record.id)
            elif change == "principal":
                await registry.delete_principal("ann")
            else:
                await registry.set_principal(PrincipalEntry(name="ann", roles=()))
            found = await asyncio.wait_for(end_of(stream), ENDS_WITHIN_S)
            assert found.reason == ("NOT_ALLOWED" if change == "role" else "UNAUTHENTICATED")
            again = await end_of(subscribe(service, texts["ann"]))
            assert again.refused

    asyncio.run(body())


def test_the_audit_log_tells_who_made_and_took_a_subscription(tmp_path: Path) -> None:
    async def body() -> None:
        async with tokens(tmp_path) as (service, texts):
            first = subscribe(service, texts["ann"])
            assert (await first.read()).HasField("started")
            second = subscribe(service, texts["root"])
            assert (await second.read()).HasField("started")
            assert (await end_of(first)).reason == "SUBSCRIPTION_TAKEN_OVER"
            trail = service.parts.callers.audit
            found: Sequence[AuditEntry] = ()
            async with asyncio.timeout(30):
                while len(found) < 5:  # the service's own subscriptions are made by nobody
                    await asyncio.sleep(0.05)
                    found = await trail.list(AuditFilter(call="Subscribe"), 10)
            told = [(each.principal, json.loads(each.request)["effect"]) for each in found[:3]]
            assert told == [
                ("root", ["TAKEN_OVER"]),
                ("ann", ["CHANGED"]),
                ("anonymous", ["MADE"]),
            ]
            assert found[0].address.startswith("ipv4:127.0.0.1:")
            assert found[1].credential and texts["ann"] not in str(found)
            second.cancel()

    asyncio.run(body())


@asynccontextmanager
async def jwts(path: Path) -> AsyncIterator[tuple[Guarded, JwtSigner]]:
    """A service that knows tasks by JWTs; ann is a principal, whom an issuer may call writers."""
    signer = JwtSigner(path / "keys.json")
    orders = GrantEntry(rights=TASK, topics=("orders",))
    access = AccessConfig(
        enabled=True,
        roles=(
            RoleEntry(name="orders", grants=(orders,)),
            RoleEntry(name="writers", grants=(orders,)),
        ),
        jwt=JwtConfig(
            issuer=ISSUER,
            audience=AUDIENCE,
            keys_file=str(signer.keys_file),
            roles_claim="groups",
            leeway_s=0,
        ),
    )
    async with guarded(path / "store", {}, access=access) as service:
        await service.parts.callers.access.set_principal(
            PrincipalEntry(name="ann", roles=("orders",))
        )
        yield service, signer


ENDED, REFUSED = "UNAUTHENTICATED", "NOT_ALLOWED"


@pytest.mark.parametrize(
    ("change", "groups", "end"),
    [
        ("deleted", [], ENDED),
        ("disabled", [], ENDED),
        ("role", [], REFUSED),
        ("deleted", ["writers"], None),  # the issuer says what it may
        ("disabled", ["writers"], ENDED),
        ("role", ["writers"], None),
    ],
)
def test_a_jwt_ends_with_its_principal(
    tmp_path: Path, change: str, groups: list[str], end: str | None
) -> None:
    async def body() -> None:
        async with jwts(tmp_path) as (service, signer):
            token = signer.signed("ann", groups=groups)
            stream = subscribe(service, token)
            assert (await stream.read()).HasField("started")
            registry = service.parts.callers.access
            if change == "deleted":
                await registry.delete_principal("ann")
            else:
                roles = ("orders",) if change == "disabled" else ()
                disabled = change == "disabled"
                await registry.set_principal(
                    PrincipalEntry(name="ann", roles=roles, disabled=disabled)
                )
            if end is None:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(end_of(stream), 1)
                return
            assert (await asyncio.wait_for(end_of(stream), ENDS_WITHIN_S)).reason == end
            again = await end_of(subscribe(service, token))
            assert again.reason == end

    asyncio.run(body())


def test_a_stream_ends_with_its_jwt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expire: Callable[[], None]
) -> None:
    async def body() -> None:
        async with jwts(tmp_path) as (service, signer):
            stream = subscribe(service, signer.signed("ann", exp=int(time.time() + VALID_S)))
            assert (await stream.read()).HasField("started")
            expire()
            monkeypatch.setattr(service.parts.callers.access, "_clock", time.time)
            found = await asyncio.wait_for(end_of(stream), ENDS_WITHIN_S)
            assert found.reason == "UNAUTHENTICATED"
            other = JwtSigner(tmp_path / "other.json")
            for wrong in (other.signed("ann"), signer.signed("ann", aud="x"), signer.signed("b")):
                refused = await end_of(subscribe(service, wrong))
                assert refused.reason == "UNAUTHENTICATED"
                assert wrong not in str(refused)

    asyncio.run(body())


def test_a_task_reads_and_does_not_administer(tmp_path: Path) -> None:
    async def body() -> None:
        async with tokens(tmp_path) as (service, texts):
            empty = admin_pb2.GetConfigRequest()
            for name, reason in (("ann", "NOT_ALLOWED"), ("root", "")):
                call = service.admin.GetConfig(empty, metadata=shown(texts[name]))
                assert (await outcome(call)).reason == reason
            nobody = await outcome(service.admin.GetConfig(empty))
            assert nobody.reason == "UNAUTHENTICATED"

    asyncio.run(body())


def test_an_administrator_names_no_secret_of_the_machine(tmp_path: Path) -> None:
    elsewhere = tmp_path / "password-of-the-machine"
    elsewhere.write_text("hunter2-of-the-machine")

    async def body() -> None:
        async with tokens(tmp_path) as (service, texts):
            said = shown(texts["root"])
            connection = connections_pb2.Connection(
                name="mine",
                bootstrap_servers=["127.0.0.1:1"],
            )
            connection.sasl.mechanism = "SCRAM-SHA-512"
            connection.sasl.username = "u"
            connection.sasl.password_file = str(elsewhere)
            store = stores_pb2.Store(
                name="mine", kind="s3", bucket="b", access_key_env="HOME", secret_key_env="PATH"
            )
            admin = service.admin
            calls = (
                admin.CreateConnection(
                    connections_pb2.CreateConnectionRequest(connection=connection), metadata=said
                ),
                admin.CreateStore(stores_pb2.CreateStoreRequest(store=store), metadata=said),
            )
            for call in calls:
                found = await outcome(call)
                assert found.reason == "INVALID_CONFIG"
                assert "access.secrets_" in found.words or str(tmp_path / "secrets") in found.words
                assert not found.mentions("hunter2")
            inside = tmp_path / "secrets" / "password"
            connection.sasl.password_file = str(inside)
            tried = connection_test_pb2.TestConnectionRequest(settings=connection, timeout_s=0.5)
            async for answer in admin.TestConnection(tried, metadata=said, timeout=20):
                assert answer.check.name
                break

    asyncio.run(body())


def test_tokens_are_in_no_file_and_no_word_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts: dict[str, str] = {}

    async def body() -> None:
        async with tokens(tmp_path) as (service, made):
            texts.update(made)
            for token in made.values():
                asked = admin_pb2.ListTopicsRequest()
                found = await outcome(service.admin.ListTopics(asked, metadata=shown(token)))
                assert found.messages
                assert not found.mentions(token)
            wrong = await outcome(
                service.admin.GetConfig(
                    admin_pb2.GetConfigRequest(), metadata=shown(made["ann"] + "x")
                )
            )
            assert wrong.reason == "UNAUTHENTICATED"
            assert not wrong.mentions(made["ann"])

    with caplog.at_level("DEBUG"):
        asyncio.run(body())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".duckdb" for path in files), "the catalogue is among them"
    for token in texts.values():
        assert token not in caplog.text
        assert not [path for path in files if token.encode() in path.read_bytes()]
