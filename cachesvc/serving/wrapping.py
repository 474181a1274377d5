"""How an interceptor puts something around what answers a call."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc

Context = grpc.aio.ServicerContext[Any, Any]
Around = Callable[[Any, Context], AbstractAsyncContextManager[Any]]
"""Of a call's request, or requests, and context; gives the context that the answer is to use."""
Sent = Callable[[Any, Any], Awaitable[None]]
_FORMS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


def wrapped(handler: Any, around: Around, sent: Sent | None = None) -> Any:
    """A handler whose calls are answered within what ``around`` gives.

    ``sent`` is told, and awaited, of each message that is returned or yielded rather than written
    to the context.
    """
    form = next(form for form in _FORMS if getattr(handler, form) is not None)
    call = getattr(handler, form)
    # gRPC tells by its kind how a function answers, so each kind needs one like it.
    if inspect.isasyncgenfunction(call):

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with around(request, context) as inner:
                async for message in call(request, inner):
                    yield message
                    if sent is not None:
                        await sent(inner, message)

        return handler._replace(**{form: stream})

    async def answer(request: Any, context: Context) -> Any:
        async with around(request, context) as inner:
            answered = await call(request, inner)
            if sent is not None and answered is not None:
                await sent(inner, answered)
            return answered

    return handler._replace(**{form: answer})


def method_of(details: grpc.HandlerCallDetails) -> tuple[str, str]:
    """The service's full name and the method's."""
    service, _, name = details.method.lstrip("/").rpartition("/")
    return service, name
