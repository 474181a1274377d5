"""The service as the page in the browser sees it: a gRPC client like any other.

Calls are made in a few threads, not on the event loop: gRPC's asyncio would have two loops of one
process wake each other for every message.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from cachesvc.client.status import error_info
from cachesvc.v1 import admin_pb2_grpc, log_cache_pb2_grpc

TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 64 << 20
_CALLS_MAX = 12
_ADDRESS_HEADER = "x-cachesvc-page-address"
_UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
T = TypeVar("T")


class CallFailed(Exception):
    """The service refused a call, or did not answer.

    Attributes:
        reason: The word of docs/errors.md, or gRPC's own where the service said nothing.
        message: What is wrong and what to do, for people.
        metadata: What of it programs can use.
    """

    def __init__(
        self, reason: str, message: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})

    @property
    def is_unauthenticated(self) -> bool:
        """Whether the caller has to sign in, again perhaps."""
        return self.reason == "UNAUTHENTICATED"

    @property
    def status(self) -> int:
        """What a browser is told of it, as a number."""
        if self.is_unknown:
            return 404
        if self.reason == "NOT_ALLOWED":
            return 403
        return 400 if self.reason.startswith("INVALID_") else 502

    @property
    def is_unknown(self) -> bool:
        """Whether what was named is not there."""
        return self.reason.startswith("UNKNOWN_") or self.reason == "NOT_FOUND"


@dataclass(frozen=True, slots=True)
class On:
    """On whose behalf a call is made.

    Attributes:
        token: What they signed in with; None where access control is off.
        address: Where their browser is.
    """

    token: str | None
    address: str

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """What a call carries."""
        shown = [] if self.token is None else [("authorization", f"Bearer {self.token}")]
        return [*shown, (_ADDRESS_HEADER, self.address)]


class Calls:
    """Makes calls; a request says by its own name which call it is for.

    Args:
        socket: The service's, for pages.
    """

    def __init__(self, socket: Path) -> None:
        self._channel = grpc.insecure_channel(
            f"unix:{socket}", [("grpc.max_receive_message_length", _ANSWER_BYTES_MAX)]
        )
        self._stubs: tuple[Any, ...] = (
            admin_pb2_grpc.AdminStub(self._channel),
            log_cache_pb2_grpc.LogCacheStub(self._channel),
        )
        self._threads = ThreadPoolExecutor(_CALLS_MAX, "page-call")

    async def ask(self, request: Message, on: On, timeout_s: float = TIMEOUT_S) -> Any:
        """The answer to a unary call.

        Raises:
            CallFailed: The service refused it, or did not answer in time.
        """
        return await self._in_thread(partial(self._ask, request, on, timeout_s))

    async def gather(
        self,
        request: Message,
        on: On,
        enough: Callable[[list[Any]], bool] = lambda _: False,
        timeout_s: float = TIMEOUT_S,
    ) -> list[Any]:
        """The answers of a streaming call, to its end or until there are enough of them.

        Raises:
            CallFailed: As for ``ask``.
        """

        def work() -> list[Any]:
            found: list[Any] = []
            with closing(self.stream(request, on, timeout_s)) as answers:
                for answer in answers:
                    found.append(answer)
                    if enough(found):
                        break
            return found

        return await self._in_thread(work)

    def stream(self, request: Message, on: On, timeout_s: float) -> Generator[Any, None, None]:
        """The answers of a streaming call; closing it ends the call. Blocking.

        Raises:
            CallFailed: As for ``ask``.
        """
        call = self._method(request)(request, timeout=timeout_s, metadata=on.metadata)
        try:
            yield from call
        except grpc.RpcError as error:
            raise _failed(error) from error
        finally:
            call.cancel()

    def close(self) -> None:
        """Ends calls under way. Blocking, for a moment."""
        self._channel.close()
        self._threads.shutdown(cancel_futures=True)

    def _ask(self, request: Message, on: On, timeout_s: float) -> Any:
        try:
            return self._method(request)(request, timeout=timeout_s, metadata=on.metadata)
        except grpc.RpcError as error:
            raise _failed(error) from error
        except ValueError as error:  # of gRPC: the channel is closed
            raise CallFailed("UNAVAILABLE", "the service is about to end") from error

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _method(self, request: Message) -> Callable[..., Any]:
        name = request.DESCRIPTOR.name.removesuffix("Request")
        found = next(filter(None, (getattr(stub, name, None) for stub in self._stubs)))
        method: Callable[..., Any] = found
        return method


def _failed(error: Any) -> CallFailed:
    info = error_info(error)
    details = error.details() or ""
    if info is not None:
        return CallFailed(info.reason, details, info.metadata)
    code = error.code()
    if code in _UNREACHABLE:
        return CallFailed(code.name, f"the service does not answer in time; try again ({details})")
    return CallFailed(code.name, details)
