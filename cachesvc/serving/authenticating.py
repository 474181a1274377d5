"""Finds out who makes each call, before anything else of it is looked at."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import grpc

from cachesvc.errors import Unauthenticated
from cachesvc.policy.callers import Caller, Proof
from cachesvc.serving.calling import set_caller
from cachesvc.serving.status import errors_as_status
from cachesvc.serving.strangers import Strangers
from cachesvc.serving.wrapping import Context, method_of, wrapped

PAGE_ADDRESS_HEADER = "x-cachesvc-page-address"
"""Where a browser is whose page makes a call."""
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection."


@dataclass(frozen=True, slots=True)
class Doors:
    """What those may call who have not shown who they are.

    Attributes:
        health: Health checks.
        reflection: Server reflection.
    """

    health: bool
    reflection: bool

    def open_to_all(self, service: str) -> bool:
        """Whether a service of that full name asks nobody who calls."""
        if service == HEALTH:
            return self.health
        return self.reflection and service.startswith(REFLECTION)


class Authentication(Protocol):
    """Tells the caller of a call."""

    def caller(self, context: Context) -> Caller:
        """Who calls.

        Raises:
            Unauthenticated: Nobody knows.
        """


class Everybody:
    """Where access control is off."""

    def caller(self, context: Context) -> Caller:
        return _nobody(context.peer())


class ByPage:
    """For the socket of the page in the browser, which calls for whoever has signed in to it.

    Coming by a socket shows nothing there: a call is that of the token that it carries.

    Args:
        authentication: That of the network.
    """

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    def caller(self, context: Context) -> Caller:
        found = self._authentication.caller(context)
        if found.proof is Proof.SOCKET:
            raise Unauthenticated("the service wants to know who calls; sign in with a token")
        address = dict(context.invocation_metadata() or ()).get(PAGE_ADDRESS_HEADER, b"")
        return replace(found, address=f"page:{address}") if isinstance(address, str) else found


class Authenticating(grpc.aio.ServerInterceptor):
    """Refuses calls of whom nobody knows, and tells who makes all others.

    Args:
        authentication: Tells who it is.
        doors: What is open to all.
        strangers: Keeps answers back to those who ask too often.
    """

    def __init__(self, authentication: Authentication, doors: Doors, strangers: Strangers) -> None:
        self._authentication = authentication
        self._doors = doors
        self._strangers = strangers

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps what answers the call."""
        handler = await continuation(handler_call_details)
        if handler is None or self._doors.open_to_all(method_of(handler_call_details)[0]):
            return handler
        return wrapped(handler, lambda _, context: self._known(context))

    @asynccontextmanager
    async def _known(self, context: Context) -> AsyncIterator[Context]:
        async with errors_as_status(context):
            try:
                caller = self._authentication.caller(context)
            except Unauthenticated:
                await self._strangers.hold(context.peer())
                raise
        set_caller(caller)
        yield context


def _nobody(address: str) -> Caller:
    return Caller("anonymous", (), Proof.NONE, "", address)
