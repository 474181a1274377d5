"""The calls of the service over one gRPC channel, failing with the client's errors."""

import asyncio
import functools
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import grpc
from grpc import aio

from cachesvc.client.errors import StreamClosed
from cachesvc.client.request_ids import HEADER, id_of_call
from cachesvc.client.settings import Tls
from cachesvc.client.status import error_from
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1 import models_pb2
from cachesvc.v1.admin_pb2_grpc import AdminStub
from cachesvc.v1.log_cache_pb2_grpc import LogCacheStub

RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
ResponseT_co = TypeVar("ResponseT_co", covariant=True)
Metadata = Sequence[tuple[str, str]]

_LOG_CACHE = pb.DESCRIPTOR.services_by_name["LogCache"]
_SUBSCRIBE = f"/{_LOG_CACHE.full_name}/Subscribe"

_CHANNEL_OPTIONS: Sequence[tuple[str, int]] = (
    # A batch may hold a single record of any size.
    ("grpc.max_receive_message_length", -1),
    # A fixed window of a few batches per stream: as fast as an estimated one from the first byte,
    # and it bounds what a stream holds that its task does not read.
    ("grpc.http2.lookahead_bytes", 4 << 20),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.max_frame_size", 1 << 20),
    # Streams wait between attempts by themselves; the channel must not wait much longer.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Two clients in one process are two connections.
    ("grpc.use_local_subchannel_pool", 1),
)


class Unary(Protocol[RequestT_contra, ResponseT_co]):
    """A call with one request and one response."""

    def __call__(
        self, request: RequestT_contra, *, timeout: float, metadata: Metadata
    ) -> Awaitable[ResponseT_co]: ...


class StreamCall(Protocol):
    """A running Subscribe call."""

    async def read(self) -> bytes | None:
        """The next serialized message; None once the service has ended the stream without an error.

        Not cancel-safe: cancelling it cancels the call.

        Raises:
            ClientError: The call has failed.
        """

    def cancel(self) -> None:
        """Ends the call; idempotent."""


class Service:
    """The service at one address. Belongs to the event loop that runs when it is made.

    Args:
        target: Host and port, or any other gRPC target.
        credentials: For TLS; None for plain text.
        server_name: The name the service's certificate has to carry, if not the target's.
        token: Goes along with every call as a bearer token, if there is one.
        application: What calls; goes before gRPC's own name in the header ``user-agent``.
    """

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None = None,
        server_name: str | None = None,
        token: str | None = None,
        application: str = "",
    ) -> None:
        _keep_grpcio_from_shutting_down()
        self.target = target
        options: list[tuple[str, int | str]] = list(_CHANNEL_OPTIONS)
        if application:
            options.append(("grpc.primary_user_agent", application))
        named = [("grpc.ssl_target_name_override", server_name)] if server_name else []
        self._channel = (
            aio.insecure_channel(target, options=options)
            if credentials is None
            else aio.secure_channel(target, credentials, options=[*options, *named])
        )
        self._metadata: Metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._streams: set[aio.UnaryStreamCall[pb.SubscribeRequest, bytes]] = set()
        stub = LogCacheStub(self._channel)
        # Not the stub's: messages are to stay bytes.
        self._subscribe: aio.UnaryStreamMultiCallable[pb.SubscribeRequest, bytes] = (
            self._channel.unary_stream(
                _SUBSCRIBE, request_serializer=pb.SubscribeRequest.SerializeToString
            )
        )
        self.commit: Unary[pb.CommitRequest, pb.CommitResponse] = stub.Commit
        self.list_offsets: Unary[pb.ListOffsetsRequest, pb.ListOffsetsResponse] = stub.ListOffsets
        self.get_subscription: Unary[pb.GetSubscriptionRequest, pb.GetSubscriptionResponse] = (
            stub.GetSubscription
        )
        self.list_subscriptions: Unary[
            pb.ListSubscriptionsRequest, pb.ListSubscriptionsResponse
        ] = stub.ListSubscriptions
        self.reset_subscription: Unary[
            pb.ResetSubscriptionRequest, pb.ResetSubscriptionResponse
        ] = stub.ResetSubscription
        self.delete_subscription: Unary[
            pb.DeleteSubscriptionRequest, pb.DeleteSubscriptionResponse
        ] = stub.DeleteSubscription
        self.test_filter: Unary[pb.TestFilterRequest, pb.TestFilterResponse] = stub.TestFilter
        self.describe_model: Unary[
            models_pb2.DescribeModelRequest, models_pb2.DescribeModelResponse
        ] = AdminStub(self._channel).DescribeModel

    async def call(
        self,
        method: Unary[RequestT_contra, ResponseT_co],
        request: RequestT_contra,
        timeout_s: float,
    ) -> ResponseT_co:
        """Calls one of the methods above.

        Raises:
            ClientError: The call has failed; ``TimedOut`` if no answer came in time.
        """
        name = id_of_call()
        metadata = (*self._metadata, (HEADER, name))
        try:
            return await method(request, timeout=timeout_s, metadata=metadata)
        except aio.AioRpcError as failure:
            raise error_from(failure, name) from failure
        except aio.UsageError as failure:
            raise StreamClosed("the client is closed") from failure
        except asyncio.CancelledError as cancelled:
            raise_if_closed(cancelled)
            raise

    def subscribe(self, request: pb.SubscribeRequest) -> StreamCall:
        """Begins a Subscribe call; returns before the service knows of it.

        Raises:
            StreamClosed: The client is closed.
        """
        name = id_of_call()
        try:
            call = self._subscribe(request, metadata=(*self._metadata, (HEADER, name)))
        except aio.UsageError as failure:
            raise StreamClosed("the client is closed") from failure
        self._streams.add(call)
        call.add_done_callback(self._streams.discard)
        return _StreamCall(call, name)

    async def close(self) -> None:
        """Ends all calls and the connection; idempotent."""
        # A channel of grpcio up to 1.76 does not find the calls that are read message by message.
        for call in list(self._streams):
            call.cancel()
        await self._channel.close()


class _StreamCall:
    def __init__(
        self, call: "aio.UnaryStreamCall[pb.SubscribeRequest, bytes]", request_id: str
    ) -> None:
        self._call = call
        self._request_id = request_id

    async def read(self) -> bytes | None:
        try:
            message = await self._call.read()
        except aio.AioRpcError as failure:
            raise error_from(failure, self._request_id) from failure
        except asyncio.CancelledError as cancelled:
            raise_if_closed(cancelled)
            raise
        return message if isinstance(message, bytes) else None

    def cancel(self) -> None:
        self._call.cancel()


@functools.cache
def _keep_grpcio_from_shutting_down() -> None:
    """Takes part in grpcio for as long as the process lives, if it is an old one.

    grpcio before 1.76 shuts down with the last object that takes part. Where an exception or a
    cycle keeps one of these until the interpreter ends, that now and then never returns (grpc/grpc
    pull request 40447). What is left behind instead is one daemon thread.
    """
    major, minor = map(int, grpc.__version__.split(".")[:2])
    if (major, minor) < (1, 76):
        aio.init_grpc_aio()


def raise_if_closed(cancelled: asyncio.CancelledError) -> None:
    """Turns gRPC's word for a closed channel into an error, if nobody has cancelled this task.

    Raises:
        StreamClosed: That is what it was.
    """
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        raise StreamClosed("the client was closed during a call") from cancelled


def credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Credentials for TLS; reads files.

    Raises:
        OSError: A file cannot be read.
    """
    return grpc.ssl_channel_credentials(
        root_certificates=_read(tls.ca_file),
        private_key=_read(tls.key_file),
        certificate_chain=_read(tls.cert_file),
    )


def _read(path: str | Path | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
