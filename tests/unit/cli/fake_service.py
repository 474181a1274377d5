"""A gRPC server in this process that gives the answers it was told to give."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from cachesvc.v1 import admin_pb2, log_cache_pb2

_SERVICES = (
    admin_pb2.DESCRIPTOR.services_by_name["Admin"],
    log_cache_pb2.DESCRIPTOR.services_by_name["LogCache"],
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call ends that does not end well; without a reason as gRPC itself would end it."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]


class FakeService:
    """Answers and refusals per method; remembers requests. A context manager that listens."""

    def __init__(self) -> None:
        self.requests: list[Message] = []
        self.held = threading.Event()
        self._answers: dict[str, tuple[Message, ...]] = {}
        self._refusals: dict[str, Refusal] = {}
        self._holding: set[str] = set()
        self._server = grpc.server(ThreadPoolExecutor(4))
        for service in _SERVICES:
            handlers = {method.name: self._handler(method) for method in service.methods}
            generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
            self._server.add_generic_rpc_handlers((generic,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> FakeService:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(grace=None).wait(60)

    def answer(self, method: str, *messages: Message) -> None:
        """What a method gives from now on; several for one that streams."""
        self._answers[method] = messages

    def refuse(
        self,
        method: str,
        code: grpc.StatusCode,
        message: str = "",
        reason: str = "",
        **metadata: str,
    ) -> None:
        """How a method ends from now on, after its answers if it streams."""
        self._refusals[method] = Refusal(code, message, reason, metadata)

    def hold(self, method: str) -> None:
        """Lets a stream stay open after its answers; `held` is set once it is there."""
        self._holding.add(method)

    def seen(self, kind: type[Message]) -> list[Any]:
        """The requests of one kind, in order."""
        return [request for request in self.requests if isinstance(request, kind)]

    def _handler(self, method: MethodDescriptor) -> Any:
        request_type: Any = GetMessageClass(method.input_type)
        make = (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )

        def stream(request: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            self.requests.append(request)
            yield from self._answers.get(method.name, ())
            if method.name in self._holding:
                gone = threading.Event()
                context.add_callback(gone.set)
                self.held.set()
                gone.wait(30)
            self._refuse(method.name, context)

        def unary(request: Message, context: grpc.ServicerContext) -> Message:
            self.requests.append(request)
            self._refuse(method.name, context)
            empty: Message = GetMessageClass(method.output_type)()
            return next(iter(self._answers.get(method.name, ())), empty)

        return make(
            stream if method.server_streaming else unary,
            request_deserializer=request_type.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _refuse(self, method: str, context: grpc.ServicerContext) -> None:
        refusal = self._refusals.get(method)
        if refusal is None:
            return
        if not refusal.reason:
            context.abort(refusal.code, refusal.message)
        info = error_details_pb2.ErrorInfo(
            domain="cachesvc", reason=refusal.reason, metadata=refusal.metadata
        )
        detail = any_pb2.Any()
        detail.Pack(info)
        status = status_pb2.Status(
            code=refusal.code.value[0], message=refusal.message, details=[detail]
        )
        context.abort_with_status(rpc_status.to_status(status))
