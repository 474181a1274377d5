"""Counts every call that a server answers, by method and status."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc

from cachesvc.serving.wrapping import Context, method_of, wrapped
from cachesvc.watching.calls import Calls, Method

_STATUS = {code.value[0]: code.name for code in grpc.StatusCode}


class CallCounting(grpc.aio.ServerInterceptor):
    """Counts calls of methods that exist; a method that nobody has is no label for a counter.

    Args:
        calls: Where.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps what answers the call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method, single = method_of(handler_call_details), not handler.response_streaming
        return wrapped(
            handler, lambda _, context: _Counting(self._calls, method, context, single=single)
        )


def status_name(context: Context, kind: type[BaseException] | None) -> str:
    """With which status a call ends; ``kind`` is of what it raises."""
    if kind is not None and issubclass(kind, asyncio.CancelledError | GeneratorExit):
        return "CANCELLED"
    code = cast(Any, context.code())  # as it was set: one of gRPC's, or a number
    if isinstance(code, grpc.StatusCode):
        return code.name
    return _STATUS.get(code, "UNKNOWN") if code else "OK" if kind is None else "UNKNOWN"


class _Counting:
    """Counts the call that is answered within."""

    def __init__(self, calls: Calls, method: Method, context: Context, *, single: bool) -> None:
        self._calls = calls
        self._method = method
        self._context = context
        self._single = single
        self._began_s = time.monotonic()

    async def __aenter__(self) -> Context:
        self._calls.open[self._method] += 1
        return self._context

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._calls.open[self._method] -= 1
        took_s = time.monotonic() - self._began_s if self._single else None
        self._calls.over(self._method, status_name(self._context, kind), took_s)
