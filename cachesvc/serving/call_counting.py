"""Counts every call that a server answers, by method and status."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import grpc

from cachesvc.watching.calls import Calls, Method

_STATUS = {code.value[0]: code.name for code in grpc.StatusCode}
_FORMS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_Context = grpc.aio.ServicerContext[Any, Any]
_Handler = "grpc.RpcMethodHandler[Any, Any]"


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
        service, _, name = handler_call_details.method.lstrip("/").rpartition("/")
        form = next(form for form in _FORMS if getattr(handler, form) is not None)
        single = not handler.response_streaming
        call = self._counted((service, name), getattr(handler, form), single=single)
        return handler._replace(**{form: call})

    def _counted(
        self, method: Method, call: Callable[[Any, _Context], Any], *, single: bool
    ) -> Callable[[Any, _Context], Any]:
        # gRPC tells by its kind how a function answers, so each kind needs one like it.
        if inspect.isasyncgenfunction(call):

            async def stream(request: Any, context: _Context) -> AsyncIterator[Any]:
                async with _Counting(self._calls, method, context, single=single):
                    async for message in call(request, context):
                        yield message

            return stream

        async def answer(request: Any, context: _Context) -> Any:
            async with _Counting(self._calls, method, context, single=single):
                return await call(request, context)

        return answer


class _Counting:
    """Counts the call that is answered within."""

    def __init__(self, calls: Calls, method: Method, context: _Context, *, single: bool) -> None:
        self._calls = calls
        self._method = method
        self._context = context
        self._single = single
        self._began_s = time.monotonic()

    async def __aenter__(self) -> None:
        self._calls.open[self._method] += 1

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._calls.open[self._method] -= 1
        took_s = time.monotonic() - self._began_s if self._single else None
        self._calls.over(self._method, self._status(kind), took_s)

    def _status(self, kind: type[BaseException] | None) -> str:
        if kind is not None and issubclass(kind, asyncio.CancelledError | GeneratorExit):
            return "CANCELLED"
        code = cast(Any, self._context.code())  # as it was set: one of gRPC's, or a number
        if isinstance(code, grpc.StatusCode):
            return code.name
        return _STATUS.get(code, "UNKNOWN") if code else "OK" if kind is None else "UNKNOWN"
