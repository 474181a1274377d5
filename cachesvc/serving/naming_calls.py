"""Has every call go by an id, its caller's or one of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from cachesvc.request_ids import HEADER, is_request_id, new_request_id, work_for
from cachesvc.serving.wrapping import Context, wrapped


class NamingCalls(grpc.aio.ServerInterceptor):
    """The outermost of all, so that whatever is said of a call has its id."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps what answers the call."""
        handler = await continuation(handler_call_details)
        return None if handler is None else wrapped(handler, lambda _, context: _named(context))


@asynccontextmanager
async def _named(context: Context) -> AsyncIterator[Context]:
    # The task answers this call and no other.
    work_for(_shown(context) or new_request_id())
    yield context


def _shown(context: Context) -> str:
    """The id that the caller shows; empty without one, or with one that has to stand nowhere."""
    for key, value in context.invocation_metadata() or ():
        if key == HEADER and isinstance(value, str) and is_request_id(value):
            return value
    return ""
