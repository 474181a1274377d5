"""Lets callers do what their roles allow, and ends their streams when those allow it no more.

Where access control is off there is no such interceptor, and nothing of this costs anything.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from cachesvc.errors import CacheError, NotAllowed, Unauthenticated
from cachesvc.policy.callers import Caller, Proof, Right
from cachesvc.policy.rights import (
    EVERYTHING,
    NOTHING,
    Demand,
    Permissions,
    Roles,
    Rule,
    Scope,
    not_allowed,
    permissions_of,
    rule_of,
)
from cachesvc.serving.authenticating import HEALTH, REFLECTION, Doors
from cachesvc.serving.calling import current_caller, set_may_read, set_seen
from cachesvc.serving.demands import Demands, Known
from cachesvc.serving.sieves import LIMITED, SIEVES, Sight
from cachesvc.serving.status import abort, errors_as_status

Context = grpc.aio.ServicerContext[Any, Any]
_EXPIRY_LOOKS_S_MAX = 3_600.0


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a public service: its name, what it needs, and its request."""

    name: str
    rule: Rule
    request: Message


class Authorizing(grpc.aio.ServerInterceptor):
    """Checks every call against the table of rights; what is around it has said who calls.

    Args:
        roles: What callers may. Whoever changes them, or ends a token, calls ``changed``.
        known: What the service has.
        doors: What is open to all.
        services: The public ones; their requests come as bytes.
    """

    def __init__(
        self, roles: Roles, known: Known, doors: Doors, services: Iterable[ServiceDescriptor]
    ) -> None:
        self._roles = roles
        self._demands = Demands(known)
        self._doors = doors
        self._requests = {
            f"/{service.full_name}/{method.name}": (
                f"{service.name}.{method.name}",
                GetMessageClass(method.input_type),
            )
            for service in services
            for method in service.methods
        }
        self._streams: set[_Watched] = set()

    def changed(self) -> None:
        """Ends streams whose callers have lost what they need. On the event loop of the server."""
        for stream in tuple(self._streams):
            stream.look()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps what answers the call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        public = self._requests.get(handler_call_details.method)
        if public is not None:
            name, kind = public
            return self._held_to_rights(handler, name, kind)
        service = handler_call_details.method.lstrip("/").rpartition("/")[0]
        return handler if self._doors.open_to_all(service) else _closed(handler, service)

    def _held_to_rights(self, handler: Any, name: str, kind: type[Message]) -> Any:
        if handler.unary_unary is not None:

            async def answer(data: bytes, context: Context) -> Any:
                async with errors_as_status(context):
                    call = _parsed(name, kind, data)
                    permissions = self._checked(call)
                    self._show(call, permissions)
                answered = await handler.unary_unary(data, context)
                if call is not None and name in SIEVES:
                    async with errors_as_status(context):
                        self._sift(call, permissions, answered)
                return answered

            return handler._replace(unary_unary=answer)

        async def stream(data: bytes, context: Context) -> None:
            async with errors_as_status(context):
                call = _parsed(name, kind, data)
                self._show(call, self._checked(call))
            if call is None:
                await _written(handler.unary_stream(data, context), context.write)
                return
            async with self._watched(call, context) as watched:
                await _written(handler.unary_stream(data, context), self._sifted(watched, context))

        return handler._replace(unary_stream=stream)

    def _checked(self, call: "_Call | None") -> Permissions:
        """What the caller may, once the call may begin; bytes that are no request end later.

        Raises:
            CacheError: It may not.
        """
        permissions = self._permissions(current_caller())
        if call is not None:
            for demand in self._demands.to_begin(call.rule, call.request):
                permissions.check(demand)
            if call.rule.scope is not Scope.SERVICE and not call.name.startswith("Admin.Create"):
                self._demands.check_known(call.rule, call.request, permissions)
        return permissions

    def _permissions(self, caller: Caller) -> Permissions:
        if caller.proof is Proof.SOCKET:  # of the user whom the service runs as
            return EVERYTHING
        if caller.proof is Proof.NONE:
            return NOTHING
        return permissions_of(self._roles.grants(caller))

    def _sift(self, call: _Call, permissions: Permissions, answer: Any) -> None:
        if not permissions.cover_all(call.rule.right):
            SIEVES[call.name](self._sight(call, permissions), answer)

    def _show(self, call: "_Call | None", permissions: Permissions) -> None:
        """Tells what answers with so many rows at most which of them count."""
        if call is None or call.name not in LIMITED or permissions.cover_all(call.rule.right):
            return
        set_seen(partial(LIMITED[call.name][1], self._sight(call, permissions)))

    def _sight(self, call: _Call, permissions: Permissions) -> Sight:
        connection = self._demands.connection(call.rule, call.request)
        return Sight(permissions, call.rule.right, connection)

    def _sifted(self, watched: "_Watched", context: Context) -> Callable[[Any], Awaitable[None]]:
        """Writes messages without what the caller may not see at that time."""
        if watched.call.name not in SIEVES:
            return context.write

        async def write(message: Any) -> None:
            self._sift(watched.call, self._permissions(watched.caller), message)
            await context.write(message)

        return write

    @asynccontextmanager
    async def _watched(self, call: _Call, context: Context) -> AsyncIterator["_Watched"]:
        """Ends what runs within when the caller has no right to it any more."""
        watched = _Watched(call, self._demands, self._roles.stands, self._permissions)
        if call.rule.scope is Scope.SUBSCRIPTION:
            set_may_read(watched.may_read)
        self._streams.add(watched)
        try:
            watched.look()
            yield watched
            if watched.ended_by is not None:
                await asyncio.sleep(0)  # it came to its own end just then
        except asyncio.CancelledError:
            if watched.ended_by is None:
                raise
            await watched.take_back()
            await abort(context, watched.ended_by)
        finally:
            watched.close()
            self._streams.discard(watched)


class _Watched:
    """A stream whose caller may lose the right to it. Made by the task that answers."""

    def __init__(
        self,
        call: _Call,
        demands: Demands,
        stands: Callable[[Caller], bool],
        permissions: Callable[[Caller], Permissions],
    ) -> None:
        self.call = call
        self.caller = current_caller()
        self.ended_by: CacheError | None = None
        """Why it has to end; set once."""
        self._stands = stands
        self._permissions = permissions
        self._lasting: Sequence[Demand] = tuple(demands.to_last(call.rule, call.request))
        self._connection = demands.connection(call.rule, call.request)
        self._reached: set[str] = set()
        self._task = asyncio.current_task()
        self._timer: asyncio.TimerHandle | None = None

    def may_read(self, topic: str) -> bool:
        """Whether the subscriber may read a topic now; what it was given is watched."""
        if not self._permissions(self.caller).cover(self._reading(topic)):
            return False
        self._reached.add(topic)
        return True

    def look(self) -> None:
        """Ends the stream if something that it needs is gone."""
        self.close()
        if self.ended_by is not None or self._task is None:
            return
        self.ended_by = self._why_it_ends()
        if self.ended_by is not None:
            self._task.cancel()
        elif self.caller.expires_ms is not None:
            left_s = self.caller.expires_ms / 1000 - time.time()
            again_s = min(max(0.0, left_s), _EXPIRY_LOOKS_S_MAX)  # clocks are set
            self._timer = asyncio.get_running_loop().call_later(again_s, self.look)

    def close(self) -> None:
        """Looks no more by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def take_back(self) -> None:
        """Goes on after the end, to tell the caller; unless somebody else has ended it as well."""
        if self._task is not None and self._task.uncancel() > 0:
            raise asyncio.CancelledError

    def _why_it_ends(self) -> CacheError | None:
        if not self._stands(self.caller):
            return Unauthenticated(
                "what the caller showed of itself holds no more; call again with what does",
                metadata={"principal": self.caller.name},
            )
        permissions = self._permissions(self.caller)
        demands = (*self._lasting, *map(self._reading, self._reached))
        lost = next((demand for demand in demands if not permissions.cover(demand)), None)
        return None if lost is None else not_allowed(lost)

    def _reading(self, topic: str) -> Demand:
        subscription: str = getattr(self.call.request, "subscription", "")
        return Demand(Right.READ, self._connection, topic, subscription)


def _parsed(name: str, kind: type[Message], data: bytes) -> _Call | None:
    """The call that bytes make; None where they are no request, which the handler says."""
    try:
        return _Call(name, rule_of(name), kind.FromString(data))
    except DecodeError:
        return None


async def _written(answer: Any, write: Callable[[Any], Awaitable[None]]) -> None:
    """Writes what a handler yields; one that writes by itself is awaited."""
    if isinstance(answer, Awaitable):
        await answer
        return
    async with aclosing(answer) as messages:
        async for message in messages:
            await write(message)


def _closed(handler: Any, service: str) -> Any:
    """A handler for callers who have shown who they are; readers come by the store's socket."""

    def refusal() -> NotAllowed | None:
        caller = current_caller()
        open_to_known = service == HEALTH or service.startswith(REFLECTION)
        known = caller.proof is not Proof.NONE if open_to_known else caller.proof is Proof.SOCKET
        if known:
            return None
        return NotAllowed(
            f"{service} is open to callers who show who they are"
            if open_to_known
            else f"{service} is for readers on the service's machine; others join on mining.listen"
        )

    forms = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
    form = next(form for form in forms if getattr(handler, form) is not None)
    call = getattr(handler, form)

    async def answer(request: Any, context: Context) -> Any:
        error = refusal()
        if error is not None:
            await abort(context, error)
        return await call(request, context)

    async def stream(request: Any, context: Context) -> None:
        error = refusal()
        if error is not None:
            await abort(context, error)
        await _written(call(request, context), context.write)

    return handler._replace(**{form: stream if handler.response_streaming else answer})
