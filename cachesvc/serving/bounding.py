"""Holds every caller to its share, and tells those who are over it when to try again."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import Message

from cachesvc.errors import RateLimited, RequestTooLarge
from cachesvc.policy.caller_bounds import CallerLimits, CallerUse, Refusal, subscription_refusal
from cachesvc.policy.callers import Proof
from cachesvc.serving.calling import current_caller
from cachesvc.serving.floods import Floods
from cachesvc.serving.status import abort
from cachesvc.serving.wrapping import Context, wrapped
from cachesvc.subscriptions.makers import Makers

CALLERS_MAX = 10_000
"""Callers that are remembered; those that nothing has to be known of go first."""
_HELD_MAX = 10_000
"""Refusals that are kept back of one caller; its others are answered at once."""
_LOOKS_MAX = 16
_KEY: ContextVar[str] = ContextVar("caller_key")


class Bounding(grpc.aio.ServerInterceptor):
    """Bounds the calls of each principal, or of each address where nobody asks who calls.

    What is around this one says who calls.

    Args:
        limits: What a caller may have.
        floods: Looks at connections of those that are refused.
        clock: Seconds that never go back.
    """

    def __init__(
        self, limits: CallerLimits, floods: Floods, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._floods = floods
        self._clock = clock
        self._uses: OrderedDict[str, CallerUse] = OrderedDict()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps what answers the call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        streams = handler.response_streaming
        return wrapped(
            handler,
            lambda request, context: self._bounded(request, context, streams=streams),
            None if self._limits.bytes_per_s_max is None else _Paced.sent,
        )

    @asynccontextmanager
    async def _bounded(
        self, request: Any, context: Context, *, streams: bool
    ) -> AsyncIterator[Any]:
        peer = context.peer()
        key = _key(peer)
        _KEY.set(key)
        size = len(request) if isinstance(request, bytes) else 0
        self._floods.hear(peer, size)
        use = self._use(key)
        refusal = use.begin(size, self._clock(), streams=streams)
        if refusal is not None:
            self._floods.refused(peer)
            await self._refuse(use, refusal, context)
        try:
            if size > self._limits.request_bytes_max:
                await abort(context, _too_large(size, self._limits.request_bytes_max))
            yield (
                context
                if self._limits.bytes_per_s_max is None
                else _Paced(context, self._pace(use))
            )
        finally:
            if streams:
                use.streams -= 1

    async def _refuse(self, use: CallerUse, refusal: Refusal, context: Context) -> None:
        if refusal.hold_s and use.held < _HELD_MAX:
            use.held += 1
            try:
                await asyncio.sleep(refusal.hold_s)
            finally:
                use.held -= 1
        await abort(context, _rate_limited(refusal))

    def _pace(self, use: CallerUse) -> Callable[[int], Awaitable[None]]:
        async def sent(size: int) -> None:
            if wait_s := use.sent(size, self._clock()):
                await asyncio.sleep(wait_s)

        return sent

    def _use(self, key: str) -> CallerUse:
        use = self._uses.get(key)
        if use is None:
            use = self._uses[key] = CallerUse(self._limits)
            self._forget()
        self._uses.move_to_end(key)
        return use

    def _forget(self) -> None:
        """Makes room among those that have not called for longest; looks at a few at a time."""
        now_s = self._clock()
        for _ in range(min(_LOOKS_MAX, len(self._uses) - CALLERS_MAX)):
            key, use = self._uses.popitem(last=False)
            if not use.is_forgettable(now_s):
                self._uses[key] = use


class BoundedMaking:
    """Around the making of a subscription: counts it, or raises where its maker has too many.

    Args:
        limits: What a caller may have.
        makers: Counts subscriptions.
    """

    def __init__(self, limits: CallerLimits, makers: Makers) -> None:
        self._limits = limits
        self._makers = makers

    def __call__(self, name: str) -> AbstractContextManager[None]:
        maker = _KEY.get("")
        if not maker:  # a caller that nobody bounds
            return nullcontext()
        allowed = self._limits.subscriptions_max
        refusal = subscription_refusal(self._limits, self._makers.count(maker, allowed))
        if refusal is not None:
            raise _rate_limited(refusal)
        return self._makers.making(name, maker)


class _Paced:
    """A call's context that waits after each message until nothing is owed."""

    def __init__(self, context: Context, sent: Callable[[int], Awaitable[None]]) -> None:
        self._context = context
        self._sent = sent

    async def write(self, message: Any) -> None:
        """Sends a message, as the context of the call does."""
        await self._context.write(message)
        await self.sent(message)

    async def sent(self, message: Any) -> None:
        """Counts a message."""
        await self._sent(message.ByteSize() if isinstance(message, Message) else len(message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


def _rate_limited(refusal: Refusal) -> RateLimited:
    """The error of a refusal."""
    return RateLimited(
        f"more than callers.{refusal.limit} = {refusal.allowed:,.0f} allows one caller; try again "
        f"in {refusal.retry_after_s:.1f} s",
        retry_after_s=refusal.retry_after_s,
        metadata={"limit": refusal.limit, "allowed": f"{refusal.allowed:.0f}"},
    )


def _too_large(size: int, allowed: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"the request has {size:,} bytes, and callers.request_bytes_max allows {allowed:,}",
        metadata={"limit": "request_bytes_max", "allowed": allowed},
    )


def _key(peer: str) -> str:
    """``ipv4:10.0.0.7:4711`` as ``ipv4:10.0.0.7``, where nobody asked who it is."""
    caller = current_caller()
    if caller.proof is not Proof.NONE:
        return f"principal:{caller.name}"
    return unquote(peer).rpartition(":")[0]
