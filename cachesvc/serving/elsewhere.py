"""Refuses the calls of operators where only tasks are answered."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from cachesvc.errors import PreconditionFailed
from cachesvc.serving.status import abort
from cachesvc.serving.wrapping import Context, method_of

_OF_TASKS = frozenset({"DescribeModel"})
"""Calls of Admin that tasks make too."""


class OperatorsElsewhere(grpc.aio.ServerInterceptor):
    """Says where operators are answered, instead of that there is no such method.

    Args:
        service: The full name of that of operators.
    """

    def __init__(self, service: str) -> None:
        self._service = service

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Answers in place of the service."""
        service, name = method_of(handler_call_details)
        if service == self._service and name not in _OF_TASKS:
            return grpc.unary_unary_rpc_method_handler(_refuse)
        return await continuation(handler_call_details)


async def _refuse(_: bytes, context: Context) -> None:
    await abort(
        context,
        PreconditionFailed(
            "operators are answered where server.admin_listen says, or on the store's Unix socket; "
            "give that with --address",
            reason="ADMIN_ELSEWHERE",
        ),
    )
