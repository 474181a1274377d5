"""Callers who want more than their share, over real connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, cast

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cachesvc.errors import RateLimited
from cachesvc.policy.caller_bounds import CallerLimits
from cachesvc.policy.callers import Caller, Proof
from cachesvc.serving import bounding
from cachesvc.serving.bounding import BoundedMaking, Bounding
from cachesvc.serving.calling import set_caller
from cachesvc.serving.floods import Floods
from cachesvc.serving.wrapping import wrapped
from cachesvc.subscriptions.makers import Makers
from cachesvc.watching.calls import Calls
from tests.unit.log.running import until

SERVICE = "tests.Echo"
LIMITS = CallerLimits(
    streams_max=2,
    calls_per_s_max=5,
    bytes_per_s_max=None,
    subscriptions_max=2,
    request_bytes_max=1_000,
)
FLOODS = Floods(100, Calls())
PLENTY = replace(LIMITS, calls_per_s_max=1_000_000)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def _answer(request: bytes, context: Any) -> bytes:
    return request


async def _write(request: bytes, context: Any) -> None:
    for _ in range(3):
        await context.write(request)
    if request == b"wait":
        await asyncio.Event().wait()


async def _yield(request: bytes, context: Any) -> AsyncIterator[bytes]:
    for _ in range(3):
        yield request


METHODS: dict[str, Any] = {
    "Answer": grpc.unary_unary_rpc_method_handler(_answer),
    "Write": grpc.unary_stream_rpc_method_handler(_write),
    "Yield": grpc.unary_stream_rpc_method_handler(_yield),
}


class Knowing(grpc.aio.ServerInterceptor):
    """Takes a caller's word for its name."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        return wrapped(await continuation(handler_call_details), self._known)

    @asynccontextmanager
    async def _known(self, _: Any, context: Any) -> AsyncIterator[Any]:
        name = dict(context.invocation_metadata()).get("name")
        if name:
            set_caller(Caller(name, (), Proof.TOKEN, "", ""))
        yield context


def _served(limits: CallerLimits, clock: Any) -> AbstractAsyncContextManager[Any]:
    return _serving(Bounding(limits, FLOODS, clock))


@asynccontextmanager
async def _serving(interceptor: Bounding) -> AsyncIterator[Any]:
    server = grpc.aio.server(interceptors=[Knowing(), interceptor])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, METHODS),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def _call(channel: Any, request: bytes = b"", name: str = "") -> bytes:
    call = channel.unary_unary(f"/{SERVICE}/Answer")
    return cast(bytes, await call(request, metadata=(("name", name),), timeout=30))


def _refusal(error: grpc.aio.AioRpcError) -> tuple[str, str, float | None]:
    """Reason, limit and seconds to wait."""
    status = rpc_status.from_call(cast(Any, error))
    assert status is not None
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    wait_s = None
    for detail in status.details:
        if detail.Unpack(retry):
            wait_s = retry.retry_delay.ToMilliseconds() / 1_000
        detail.Unpack(info)
    return info.reason, info.metadata["limit"], wait_s


def test_calls_over_the_rate_wait_and_are_told_when_to_come_again() -> None:
    async def body() -> None:
        clock = Clock()
        async with _served(LIMITS, clock) as channel:
            for _ in range(5):
                assert await _call(channel, b"hello") == b"hello"
            for times in range(6):
                began_s = time.monotonic()
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await _call(channel)
                assert _refusal(refused.value) == ("RATE_LIMITED", "calls_per_s_max", 0.2)
                assert times < 5 or time.monotonic() - began_s >= 0.19, "it was held back"
            assert await _call(channel, name="somebody else") == b""
            clock.now_s = 0.3
            assert await _call(channel) == b""

    asyncio.run(body())


def test_streams_are_counted_by_principal_until_they_end() -> None:
    async def body() -> None:
        interceptor = Bounding(PLENTY, FLOODS, Clock())
        async with _serving(interceptor) as channel:
            write = channel.unary_stream(f"/{SERVICE}/Write")
            mine = (("name", "me"),)
            streams = [write(b"wait", metadata=mine, timeout=30) for _ in range(2)]
            for stream in streams:
                assert await stream.read() == b"wait"
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await write(b"wait", metadata=mine, timeout=30).read()
            assert _refusal(refused.value) == ("RATE_LIMITED", "streams_max", 5.0)
            assert await write(b"x", metadata=(("name", "you"),), timeout=30).read() == b"x"
            streams[0].cancel()
            await until(lambda: interceptor._use("principal:me").streams == 1)
            assert await write(b"x", metadata=mine, timeout=30).read() == b"x"

    asyncio.run(body())


def test_a_request_that_is_too_large_need_not_come_again() -> None:
    async def body() -> None:
        async with _served(PLENTY, Clock()) as channel:
            assert len(await _call(channel, b"x" * 1_000)) == 1_000
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await _call(channel, b"x" * 1_001)
            assert _refusal(refused.value) == ("REQUEST_TOO_LARGE", "request_bytes_max", None)

    asyncio.run(body())


@pytest.mark.parametrize("form", ["Write", "Yield"])
def test_a_stream_over_its_rate_is_slowed_down(form: str) -> None:
    """300 bytes at once, and 1,000 a second from then on."""

    async def body() -> float:
        limits = replace(PLENTY, bytes_per_s_max=1_000)
        async with _served(limits, time.monotonic) as channel:
            began_s = time.monotonic()
            for _ in range(2):
                call = channel.unary_stream(f"/{SERVICE}/{form}")(b"x" * 300, timeout=30)
                assert [len(message) async for message in call] == [300] * 3
            return time.monotonic() - began_s

    # 2 * (300 + 3 * 300) bytes, the first 1,000 of them at once.
    assert asyncio.run(body()) >= 1.3


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        monkeypatch.setattr(bounding, "CALLERS_MAX", 10)
        clock = Clock()
        interceptor = Bounding(LIMITS, FLOODS, clock)
        for number in range(50):
            clock.now_s = number * 10.0
            use = interceptor._use(f"caller {number}")
            use.begin(0, clock.now_s, streams=number == 3)
        assert len(interceptor._uses) == 11
        assert "caller 3" in interceptor._uses, "its stream is open"

    asyncio.run(body())


class Kept:
    """A catalogue's makers."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {"a": "principal:ops", "gone": "principal:ops"}

    def call_blocking(self, work: Any) -> Any:
        return work(self)

    async def call(self, work: Any) -> Any:
        return work(self)

    @property
    def makers(self) -> Kept:
        return self

    def all(self) -> dict[str, str]:
        return dict(self.kept)

    def put(self, makers: dict[str, str]) -> None:
        self.kept |= makers


def test_who_has_made_too_many_subscriptions_makes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        kept, there = Kept(), {"a"}
        makers = Makers(cast(Any, kept), there.__contains__)
        making = BoundedMaking(LIMITS, makers)
        with making("by nobody"):
            pass
        bounding._KEY.set("principal:ops")
        with suppress(ValueError), making("failed"):
            assert makers.count("principal:ops") == 2, "one on its way counts"
            raise ValueError
        assert makers.count("principal:ops") == 1
        with making("b"):
            there.add("b")
        with pytest.raises(RateLimited, match="subscriptions_max = 2") as refused, making("c"):
            pass
        assert refused.value.retry_after_s == 60.0
        bounding._KEY.set("principal:ci")
        with making("c"):
            there.add("c")
        there.remove("a")
        assert makers.count("principal:ops") == 1
        monkeypatch.setattr("cachesvc.subscriptions.makers._STORE_INTERVAL_S", 0.01)
        run = asyncio.ensure_future(makers.run())
        await until(lambda: "c" in kept.kept)
        with makers.making("d", "principal:ci"):
            there.add("d")
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert kept.kept["d"] == "principal:ci"

    asyncio.run(body())
