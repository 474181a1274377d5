"""How the methods of a public service are registered.

The generated code would do, but for two things: bytes that are no message end there with UNKNOWN
and no reason, and Subscribe answers with ready bytes that must not be serialized again.
"""

from collections.abc import AsyncIterator, Callable, Container, Sequence
from typing import Any, cast

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from cachesvc.errors import InvalidRequest
from cachesvc.serving.status import errors_as_status

Context = grpc.aio.ServicerContext[Any, Any]


def public_handler(
    service: ServiceDescriptor, *parts: object, ready: Container[str] = ()
) -> grpc.GenericRpcHandler:
    """Handles the methods of a service whose requests are single messages.

    Args:
        service: From the generated code.
        parts: Each method is that of the first one that has it; those that stream write to their
            context or yield.
        ready: Names of methods that answer with bytes.

    Raises:
        LookupError: No part has one of the methods.
    """
    return grpc.method_handlers_generic_handler(
        service.full_name,
        {
            method.name: _handler(method, _found(method.name, parts), method.name in ready)
            for method in service.methods
        },
    )


def _found(name: str, parts: Sequence[object]) -> Callable[..., Any]:
    for part in parts:
        if (call := getattr(part, name, None)) is not None:
            return cast(Callable[..., Any], call)
    raise LookupError(f"nobody implements {name}")


def _handler(
    method: MethodDescriptor, call: Callable[..., Any], ready: bool
) -> "grpc.RpcMethodHandler[Any, Any]":
    parse = _parser(method)
    encode = None if ready else GetMessageClass(method.output_type).SerializeToString
    if not method.server_streaming:

        async def answer(request: bytes, context: Context) -> Message:
            async with errors_as_status(context):
                message = parse(request)
            answered: Message = await call(message, context)
            return answered

        return grpc.unary_unary_rpc_method_handler(answer, response_serializer=encode)
    if ready:

        async def write(request: bytes, context: Context) -> None:
            async with errors_as_status(context):
                message = parse(request)
            await call(message, context)

        return grpc.unary_stream_rpc_method_handler(write, response_serializer=encode)

    async def stream(request: bytes, context: Context) -> AsyncIterator[Message]:
        async with errors_as_status(context):
            message = parse(request)
        async for part in call(message, context):
            yield part

    return grpc.unary_stream_rpc_method_handler(stream, response_serializer=encode)


def _parser(method: MethodDescriptor) -> Callable[[bytes], Message]:
    kind = GetMessageClass(method.input_type)

    def parse(request: bytes) -> Message:
        try:
            return kind.FromString(request)
        except DecodeError as error:
            raise InvalidRequest(
                f"the request is no {method.input_type.full_name}: {error}",
                reason="MALFORMED_REQUEST",
            ) from error

    return parse
