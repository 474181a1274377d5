"""Finds what answers a method once, rather than for each call."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from cachesvc.serving.wrapping import Context

Hold = Callable[[str], Awaitable[None]]
"""Waits, of a peer, for as long as it is not to be answered; see ``strangers.Strangers.hold``."""


class Methods(grpc.aio.ServerInterceptor):
    """The outermost of a server. What those within wrap a method in depends on the method alone.

    A method that nobody has is answered with UNIMPLEMENTED as gRPC does it, which asks nobody
    whether a caller has too many of these; so it is answered here, at the rate of strangers.

    Args:
        hold: Holds up callers of what is not there; None: nobody does.
    """

    def __init__(self, hold: Hold | None = None) -> None:
        self._found: dict[str, Any] = {}
        self._missing = None if hold is None else _missing(hold)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of the method."""
        method = handler_call_details.method
        handler = self._found.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is None:  # of these there are any number
                return self._missing
            self._found[method] = handler
        return handler


def _missing(hold: Hold) -> Any:
    async def answer(_: object, context: Context) -> None:
        await hold(context.peer())
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")

    # Of the kind that waits for no request, whatever kind its caller takes it for.
    return grpc.stream_stream_rpc_method_handler(answer)
