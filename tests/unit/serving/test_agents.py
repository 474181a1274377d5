from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from cachesvc.errors import InvalidConfig, PreconditionFailed
from cachesvc.mining.append_stream import ServiceLost
from cachesvc.mining.uplink import connect
from cachesvc.serving.agents import Admission, AgentServer, TokenHolders, read_join_token
from cachesvc.serving.status import errors_as_status
from cachesvc.serving.tls import TlsFiles, TlsPaths
from cachesvc.v1 import mining_pb2 as pb
from cachesvc.v1 import mining_pb2_grpc
from cachesvc.watching.calls import Calls

TOKEN = "correct-horse-battery"


class Greeter(mining_pb2_grpc.MiningServicer):
    """Lets readers in, or not."""

    def __init__(self, admit: Admission) -> None:
        self._admit = admit
        self.hosts: list[str] = []

    async def Join(  # noqa: N802
        self, requests: AsyncIterator[pb.JoinRequest], context: Any
    ) -> None:
        async with errors_as_status(context):
            self.hosts.append(self._admit(context))
            await context.write(pb.JoinResponse(connection_json="{}"))

    async def Append(  # noqa: N802
        self, requests: AsyncIterator[pb.AppendRequest], context: Any
    ) -> None:
        async with errors_as_status(context):
            self._admit(context)
            await context.write(pb.AppendResponse(topic="orders"))


def with_greeter(
    token: str | None, test: Callable[[str, Greeter], Awaitable[None]], host: str = "127.0.0.1"
) -> None:
    async def run() -> None:
        greeter = Greeter(TokenHolders(token))
        server = AgentServer(f"{host}:0", None, greeter, Calls())
        address = f"{host}:{server.bind()}"
        await server.start()
        try:
            await test(address, greeter)
        finally:
            await server.stop(0)

    asyncio.run(run())


def test_who_shows_the_token_is_let_in() -> None:
    async def test(address: str, greeter: Greeter) -> None:
        async with connect(address, token=TOKEN) as uplink:
            assert (await uplink.assignment()).connection_json == "{}"
            assert (await uplink.tail.answer()).partition.topic == "orders"
        assert greeter.hosts == ["127.0.0.1"]

    with_greeter(TOKEN, test)


@pytest.mark.parametrize("shown", ["", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
def test_who_shows_another_is_not_and_need_not_try_again(shown: str) -> None:
    async def test(address: str, greeter: Greeter) -> None:
        async with connect(address, token=shown) as uplink:
            for call in (uplink.assignment, uplink.tail.answer):
                with pytest.raises(PreconditionFailed) as caught:
                    await call()
                assert caught.value.reason == "JOIN_TOKEN_WRONG"
                assert TOKEN not in str(caught.value)
        assert greeter.hosts == []

    with_greeter(TOKEN, test)


def test_without_a_token_everybody_is() -> None:
    async def test(address: str, greeter: Greeter) -> None:
        async with connect(address) as uplink:
            await uplink.assignment()
        assert greeter.hosts == ["::1"]

    with_greeter(None, test, host="[::1]")


def test_who_joins_over_tls_has_to_trust_the_certificate(tmp_path: Path) -> None:
    pairs = []
    for name in ("service", "stranger"):
        key_file, file = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        files = ["-keyout", str(key_file), "-out", str(file)]
        subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
        pairs.append((file, key_file))
    (certificate, other), (key, _) = (
        [file.read_bytes() for file, _ in pairs],
        [str(key_file) for _, key_file in pairs],
    )
    tls = TlsFiles(TlsPaths(str(pairs[0][0]), key)).credentials()

    async def test() -> None:
        greeter = Greeter(TokenHolders(TOKEN))
        server = AgentServer("127.0.0.1:0", tls, greeter, Calls())
        address = f"127.0.0.1:{server.bind()}"
        await server.start()
        try:
            async with connect(address, certificate, TOKEN) as uplink:
                await uplink.assignment()
            for roots in (other, None):
                async with connect(address, roots, TOKEN) as uplink:
                    with pytest.raises(ServiceLost):
                        await uplink.assignment()
        finally:
            await server.stop(0)
        assert greeter.hosts == ["127.0.0.1"]

    asyncio.run(test())


def test_nothing_else_is_served_there() -> None:
    async def test(address: str, greeter: Greeter) -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            call: Any = channel.unary_unary("/cachesvc.v1.Admin/GetConfig")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    with_greeter(None, test)


def test_an_address_in_use_names_the_setting() -> None:
    async def test(address: str, greeter: Greeter) -> None:
        with pytest.raises(PreconditionFailed, match=r"mining\.listen") as caught:
            AgentServer(address, None, greeter, Calls()).bind()
        assert caught.value.reason == "ADDRESS_IN_USE"

    with_greeter(None, test)


def test_where_the_token_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_join_token(None, None, {"TOKEN": TOKEN}) is None
    assert read_join_token("TOKEN", None, {"TOKEN": TOKEN}) == TOKEN
    assert read_join_token(None, str(file), {}) == TOKEN


@pytest.mark.parametrize(
    "token", ["", "too-few-chars", "not ascii: größer als 16", "line\nbreaks" * 3]
)
def test_what_is_no_token(tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token, encoding="utf-8")
    for variable, path in (("TOKEN", None), (None, str(file)), (None, str(tmp_path / "missing"))):
        with pytest.raises(InvalidConfig) as caught:
            read_join_token(variable, path, {"TOKEN": token})
        assert not token or token not in str(caught.value)
