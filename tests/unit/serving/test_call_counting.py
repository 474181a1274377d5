"""Calls of every form that gRPC has, ended in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest

from cachesvc.errors import NotFound
from cachesvc.serving.call_counting import CallCounting
from cachesvc.serving.status import abort
from cachesvc.watching.calls import Calls
from tests.unit.log.running import until

SERVICE = "tests.Echo"


async def _answer(request: bytes, context: Any) -> bytes:
    if request == b"refuse":
        await abort(context, NotFound("no"))
    if request == b"refuse elsewhere":
        await context.abort(grpc.StatusCode.NOT_FOUND, "no")
    if request == b"break":
        raise ValueError("nobody foresaw this")
    if request == b"wait":
        await asyncio.sleep(60)
    return request


async def _stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield await _answer(request, context)


async def _write(request: bytes, context: Any) -> None:
    await context.write(await _answer(request, context))


async def _both(requests: Any, context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield await _answer(request, context)


METHODS: dict[str, Any] = {
    "Answer": grpc.unary_unary_rpc_method_handler(_answer),
    "Stream": grpc.unary_stream_rpc_method_handler(_stream),
    "Write": grpc.unary_stream_rpc_method_handler(_write),
    "Both": grpc.stream_stream_rpc_method_handler(_both),
}


def _begun(channel: Any, name: str, request: bytes) -> Any:
    path = f"/{SERVICE}/{name}"
    if name == "Answer":
        return channel.unary_unary(path)(request, timeout=60)
    if name == "Both":
        return channel.stream_stream(path)(iter([request]), timeout=60)
    return channel.unary_stream(path)(request, timeout=60)


async def _ended(call: Any, name: str) -> None:
    if name == "Answer":
        await call
        return
    async for _ in call:
        pass


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello", "OK"),
        (b"refuse", "NOT_FOUND"),
        (b"refuse elsewhere", "NOT_FOUND"),
        (b"break", "UNKNOWN"),
        (b"wait", "CANCELLED"),
    ],
)
def test_a_call_counts_by_its_status(name: str, request_: bytes, status: str) -> None:
    async def body() -> None:
        calls = Calls()
        server = grpc.aio.server(interceptors=[CallCounting(calls)])
        handler = grpc.method_handlers_generic_handler(SERVICE, METHODS)
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                call = _begun(channel, name, request_)
                if status == "OK":
                    await _ended(call, name)
                elif status == "CANCELLED":
                    await until(lambda: calls.open[SERVICE, name] == 1)
                    call.cancel()
                else:
                    with pytest.raises(grpc.aio.AioRpcError):
                        await _ended(call, name)
                await until(lambda: bool(calls.ended))
        finally:
            await server.stop(0)
        method = SERVICE, name
        assert calls.ended == {(*method, status): 1}
        assert calls.open[method] == 0
        single = name == "Answer"
        assert [each.count for each in calls.took.values()] == ([1] if single else [])

    asyncio.run(body())


def test_a_method_that_nobody_has_is_not_counted() -> None:
    async def body() -> None:
        calls = Calls()
        server = grpc.aio.server(interceptors=[CallCounting(calls)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await cast(Any, channel).unary_unary("/tests.Echo/Made-up")(b"")
        finally:
            await server.stop(0)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert calls == Calls()

    asyncio.run(body())
