"""The service as commands see it: two stubs on one channel, and errors that an operator can use."""

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from cachesvc.cli.failure import FAILED, NOT_FOUND, REFUSED, UNREACHABLE, USAGE, CommandFailed
from cachesvc.cli.options import Common
from cachesvc.request_ids import HEADER, new_request_id
from cachesvc.v1 import admin_pb2_grpc, log_cache_pb2_grpc

CALL_TIMEOUT_S = 30.0
# A batch carries 16 MiB at most, but a single record that is larger travels alone.
MESSAGE_BYTES_MAX = 256 * 1024 * 1024
_REQUEST_ID = "request_id"
_DETAILS_KEY = "grpc-status-details-bin"

_EXIT_CODES = {
    grpc.StatusCode.UNAVAILABLE: UNREACHABLE,
    grpc.StatusCode.NOT_FOUND: NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT: USAGE,
    grpc.StatusCode.OUT_OF_RANGE: REFUSED,
    grpc.StatusCode.FAILED_PRECONDITION: REFUSED,
    grpc.StatusCode.ALREADY_EXISTS: REFUSED,
    grpc.StatusCode.ABORTED: REFUSED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: REFUSED,
    grpc.StatusCode.UNAUTHENTICATED: REFUSED,
}
_OF_THE_SOURCE = ("SOURCE_UNREACHABLE", "SOURCE_CHANGED")
_REFUSED_BY_HOST = "Connection refused"
# What to do in terms of this command line; else the service's message has to be enough.
_ADVICE = {
    "SOURCE_UNREACHABLE": "`cachesvc connections` shows which clusters answer",
    "UNAUTHENTICATED": "--token-file or CACHESVC_TOKEN shows one; `cachesvc access` makes them",
    "UNKNOWN_SUBSCRIPTION": "`cachesvc subscriptions` lists them",
}


class Service:
    """A channel to a service; a context manager that turns gRPC errors into ``CommandFailed``.

    Streams have to be read inside of the ``with`` block. Not for use by several threads.
    """

    def __init__(self, settings: Common) -> None:
        self._address = settings.address
        self._tls = settings.ca_file is not None
        self._channel = _channel(settings)
        token = settings.token
        self._request_id = new_request_id()
        shown = (("authorization", f"Bearer {token}"),) if token else ()
        self._metadata = (*shown, (HEADER, self._request_id))
        self._admin: Any = admin_pb2_grpc.AdminStub(self._channel)
        self._log_cache: Any = log_cache_pb2_grpc.LogCacheStub(self._channel)
        self._streams: set[Any] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()
        if isinstance(error, grpc.RpcError):
            raise self._failure(error) from error

    def ask(self, request: Message) -> Any:
        """The answer to a unary call; waits 30 seconds at most.

        A request says by its own name which call it is for, here and below.
        """
        return self._method(request)(request, timeout=CALL_TIMEOUT_S, metadata=self._metadata)

    def ask_all(self, request: Message) -> list[Any]:
        """All answers to a request whose stream ends by itself."""
        return list(self.stream(request))

    def settle(self, request: Message) -> bool:
        """Makes a call that tidies up; whether its aim is reached, for what is gone need not go."""
        try:
            self.ask(request)
        except grpc.RpcError as error:
            return bool(error.code() is grpc.StatusCode.NOT_FOUND)
        return True

    def stream(self, request: Message) -> Generator[Any, None, None]:
        """The answers of a streaming call, for as long as it lasts; closing it cancels the call."""
        call = self._method(request)(request, metadata=self._metadata)
        self._streams.add(call)
        try:
            yield from call
        finally:
            self._streams.discard(call)
            call.cancel()

    def cancel_streams(self) -> None:
        """Ends streams under way with an error; a handler of signals may call it."""
        for call in tuple(self._streams):
            call.cancel()

    def _method(self, request: Message) -> Callable[..., Any]:
        name = request.DESCRIPTOR.name.removesuffix("Request")
        found: Callable[..., Any] = getattr(self._admin, name, None) or getattr(
            self._log_cache, name
        )
        return found

    def _failure(self, error: grpc.RpcError) -> CommandFailed:
        code, details = error.code(), error.details() or ""
        info = _error_info(error)
        if info is None and code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        ):
            return self._unreachable(details)
        reason = info.reason if info else code.name
        facts = dict(info.metadata) if info else {}
        request = f"request {facts.pop(_REQUEST_ID, self._request_id)}"
        where = ", ".join([f"service {self._address}", *_shown(facts), reason, request])
        advice = _ADVICE.get(reason, "")
        exit_code = _EXIT_CODES.get(code, FAILED)
        if reason in _OF_THE_SOURCE:  # UNAVAILABLE as well, but it is not the service
            exit_code = FAILED
        return CommandFailed(details, where=where, advice=advice, code=exit_code)

    def _unreachable(self, details: str) -> CommandFailed:
        advice = (
            f"start it with `cachesvc serve --listen {self._address}`, or say where it listens "
        )
        advice += "with --address or CACHESVC_ADDRESS"
        if not self._tls:
            advice += "; if it listens with TLS, give --ca-file"
        elif _REFUSED_BY_HOST not in details:
            # Whose certificate is not taken is told no more than that the connection is closed.
            advice += (
                "; if it does listen there, it may want another certificate than the one of "
                "--cert-file and --key-file: its log says why (`Handshake failed`)"
            )
        what = f"no service answers at {self._address}"
        return CommandFailed(what, where=details, advice=advice, code=UNREACHABLE)


def _channel(settings: Common) -> grpc.Channel:
    options = [
        ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
        # The address is meant as it stands, whatever proxy the environment has for the web.
        ("grpc.enable_http_proxy", 0),
    ]
    if settings.ca_file is None:
        return grpc.insecure_channel(settings.address, options)
    credentials = grpc.ssl_channel_credentials(
        _pem(settings.ca_file, "--ca-file"),
        _pem(settings.key_file, "--key-file"),
        _pem(settings.cert_file, "--cert-file"),
    )
    return grpc.secure_channel(settings.address, credentials, options)


def _shown(facts: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(facts.items())]


def _pem(file: Path | None, option: str) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        what = f"{option} {file} cannot be read: {error.strerror}"
        raise CommandFailed(what, advice="give a PEM file", code=USAGE) from error


def _error_info(error: grpc.RpcError) -> Any | None:
    """The google.rpc.ErrorInfo that comes with an error of the service; None without one."""
    metadata: Any = error.trailing_metadata()
    for key, value in metadata or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                return info
    return None
