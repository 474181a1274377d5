"""What answers a method is found once; who calls what is not there is held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from cachesvc.serving.methods import Hold, Methods

SERVICE = "tests.Echo"


class Within(grpc.aio.ServerInterceptor):
    """Notes which methods it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        self.asked.append(handler_call_details.method)
        return await continuation(handler_call_details)


async def _upper(request: bytes, _: Any) -> bytes:
    return request.upper()


async def _twice(request: bytes, _: Any) -> AsyncIterator[bytes]:
    for _ in range(2):
        yield request


METHODS: dict[str, Any] = {
    "Upper": grpc.unary_unary_rpc_method_handler(_upper),
    "Twice": grpc.unary_stream_rpc_method_handler(_twice),
}


@asynccontextmanager
async def serving(within: Within, hold: Hold | None) -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=[Methods(hold), within])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, METHODS),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


def test_each_method_is_asked_for_once_and_answered_each_time() -> None:
    async def body() -> None:
        within = Within()
        async with serving(within, None) as channel:
            upper = channel.unary_unary(f"/{SERVICE}/Upper")
            twice = channel.unary_stream(f"/{SERVICE}/Twice")
            for _ in range(3):
                assert await upper(b"a") == b"A"
                assert [each async for each in twice(b"b")] == [b"b", b"b"]
        assert within.asked == [f"/{SERVICE}/Upper", f"/{SERVICE}/Twice"]

    asyncio.run(body())


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream", "stream_unary", "stream_stream"])
def test_a_method_that_nobody_has_is_unimplemented(kind: str, held: bool) -> None:
    async def body() -> None:
        peers: list[str] = []

        async def hold(peer: str) -> None:
            peers.append(peer)

        async with serving(Within(), hold if held else None) as channel:
            for name in (f"/{SERVICE}/Nothing", "/tests.Nobody/Upper", "/"):
                call = getattr(channel, kind)(name)
                asked = call(iter([b"x"]) if kind.startswith("stream") else b"x", timeout=20)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await asked if kind.endswith("unary") else [each async for each in asked]
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
                assert caught.value.details() == "Method not found!"
        assert len(peers) == (3 if held else 0)
        assert all(each.startswith("ipv4:127.0.0.1:") for each in peers)

    asyncio.run(body())


def test_a_caller_of_what_is_not_there_waits_for_as_long_as_it_is_held_up() -> None:
    async def body() -> None:
        let_go = asyncio.Event()

        async def hold(_: str) -> None:
            await let_go.wait()

        async with serving(Within(), hold) as channel:
            call = channel.stream_stream(f"/{SERVICE}/Nothing")(timeout=20)
            code = asyncio.ensure_future(call.code())
            assert await channel.unary_unary(f"/{SERVICE}/Upper")(b"a") == b"A"
            assert not code.done()
            let_go.set()
            assert await code is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(body())
