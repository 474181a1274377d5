"""Calls go by an id, in errors and in the log, with the caller's if it has one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from cachesvc import request_ids
from cachesvc.client import request_ids as of_client
from cachesvc.errors import NotFound
from cachesvc.logs import configure_logging
from cachesvc.serving.naming_calls import NamingCalls
from cachesvc.serving.status import errors_as_status
from cachesvc.settings.config import LogConfig

_log = logging.getLogger("cachesvc.test")
Context = grpc.aio.ServicerContext[Any, Any]
pytestmark = pytest.mark.usefixtures("logging_put_back")


async def _answer(request: bytes, context: Context) -> bytes:
    async with errors_as_status(context):
        if request == b"log":
            _log.info("a line", extra={"event": "said", "request_id": "its own"})
            await asyncio.create_task(_later())
        if request == b"refuse":
            raise NotFound("there is none", reason="NOTHING", metadata={"topic": "orders"})
        if request == b"break":
            raise ZeroDivisionError
    return request_ids.current_request_id().encode()


async def _later() -> None:
    _log.info("another line", extra={"event": "said"})


async def _stream(request: bytes, context: Context) -> AsyncIterator[bytes]:
    yield await _answer(request, context)
    yield await _answer(request, context)


async def _written(request: bytes, context: Context) -> None:
    await context.write(await _answer(request, context))


METHODS: dict[str, Any] = {
    "Answer": grpc.unary_unary_rpc_method_handler(_answer),
    "Stream": grpc.unary_stream_rpc_method_handler(_stream),
    "Written": grpc.unary_stream_rpc_method_handler(_written),
}


@asynccontextmanager
async def _channel() -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=[NamingCalls()])
    handler = grpc.method_handlers_generic_handler("tests.Echo", METHODS)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0)


async def _call(
    channel: Any, name: str, request: bytes = b"", metadata: tuple[tuple[str, Any], ...] = ()
) -> list[str]:
    path = f"/tests.Echo/{name}"
    if name == "Answer":
        return [(await channel.unary_unary(path)(request, metadata=metadata)).decode()]
    call = channel.unary_stream(path)(request, metadata=metadata)
    return [message.decode() async for message in call]


@pytest.mark.parametrize("name", METHODS)
def test_the_id_is_the_callers(name: str) -> None:
    async def body() -> None:
        async with _channel() as channel:
            shown = (("x-request-id", "order-4711"),)
            assert {*await _call(channel, name, metadata=shown)} == {"order-4711"}

    asyncio.run(body())


@pytest.mark.parametrize(
    "shown",
    [
        (),
        (("x-request-id", ""),),
        (("x-request-id", "x" * 65),),
        (("x-request-id", "two words"),),
        (("x-request-id", 'x"\\'),),
        (("x-request-id-bin", b"abc"),),
    ],
)
def test_without_one_that_may_stand_in_a_log_it_gets_one(
    shown: tuple[tuple[str, Any], ...],
) -> None:
    async def body() -> None:
        async with _channel() as channel:
            found = [*await _call(channel, "Answer", metadata=shown)]
            found += await _call(channel, "Answer", metadata=shown)
            assert len({*found}) == 2
            assert all(request_ids.is_request_id(each) and len(each) == 16 for each in found)

    asyncio.run(body())


@pytest.mark.parametrize("request_", [b"refuse", b"break"])
def test_errors_have_it(request_: bytes) -> None:
    async def body() -> None:
        async with _channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await _call(channel, "Answer", request_, (("x-request-id", "call-7"),))
        status = rpc_status.from_call(cast(Any, caught.value))
        assert status is not None
        info = ErrorInfo()
        assert status.details[0].Unpack(info)
        more = {"topic": "orders"} if request_ == b"refuse" else {}
        assert dict(info.metadata) == {**more, "request_id": "call-7"}

    configure_logging(LogConfig(), io.StringIO())
    asyncio.run(body())


def test_lines_of_the_log_have_it() -> None:
    async def body() -> None:
        async with _channel() as channel:
            await _call(channel, "Answer", b"log", (("x-request-id", "call-7"),))
            with pytest.raises(grpc.aio.AioRpcError):
                await _call(channel, "Answer", b"break", (("x-request-id", "call-8"),))
        _log.info("a line that nobody has called for", extra={"event": "said"})

    stream = io.StringIO()
    configure_logging(LogConfig(format="json"), stream)
    asyncio.run(body())
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line.get("request_id")) for line in lines] == [
        ("said", "its own"),
        ("said", "call-7"),
        ("internal", "call-8"),
        ("said", None),
    ]


@given(st.text(max_size=70) | st.from_regex(r"[A-Za-z0-9\-._~+/=:@]{0,66}", fullmatch=True))
def test_client_and_service_agree_on_what_an_id_is(name: str) -> None:
    assert of_client.is_request_id(name) == request_ids.is_request_id(name)


def test_client_and_service_agree_on_where_it_is() -> None:
    assert of_client.HEADER == request_ids.HEADER
    assert request_ids.is_request_id(of_client.id_of_call())
