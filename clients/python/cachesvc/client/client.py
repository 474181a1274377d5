"""The client: one connection to a service."""

from collections.abc import Iterable
from datetime import datetime
from types import TracebackType
from typing import Self

from cachesvc.client import rpc, wire
from cachesvc.client.errors import StreamClosed
from cachesvc.client.members import new_member
from cachesvc.client.models import TopicModel, topic_model
from cachesvc.client.positions import PositionsLike
from cachesvc.client.settings import (
    ArrowCompression,
    AtTimestamp,
    Bootstrap,
    Encoding,
    GapPolicy,
    Mode,
    Projection,
    Sharing,
    Start,
    StreamSettings,
    Subscribe,
    Tls,
)
from cachesvc.client.stream import Stream
from cachesvc.client.subscriptions import PartitionOffsets, Subscription
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1 import models_pb2
from cachesvc.v1.filters_pb2 import Filter


class Client:
    """A connection to a service, shared by any number of streams of one event loop.

    Used in ``async with``; making one reads the files of ``tls`` and does nothing else.

    Args:
        target: Where the service listens, as ``host:port``.
        tls: How to trust the service; None for plain text.
        token: Who we are: a bearer token that goes along with every call. Without TLS everybody
            on the way can read it.
        call_timeout_s: How long each call other than a stream may take.
        application: What this client is called for operators who look at who subscribes, such as
            ``loader/2.1``: goes before gRPC's own name in the header ``user-agent``.

    Raises:
        OSError: A file of ``tls`` cannot be read.
        ValueError: ``application`` is not of printable ASCII characters.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        token: str | None = None,
        call_timeout_s: float = 30.0,
        application: str = "",
    ) -> None:
        if not (application.isascii() and application.isprintable()):
            raise ValueError("application: give printable ASCII characters")
        self._target = target
        self._credentials = rpc.credentials(tls) if tls is not None else None
        self._server_name = tls.server_name if tls is not None else None
        self._token = token
        self._call_timeout_s = call_timeout_s
        self._application = application
        self._opened: rpc.Service | None = None

    def __repr__(self) -> str:
        return f"Client({self._target!r})"

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise StreamClosed("the client is open already")
        self._opened = rpc.Service(
            self._target, self._credentials, self._server_name, self._token, self._application
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        service, self._opened = self._service, None
        await service.close()

    def subscribe(
        self,
        subscription: str,
        *,
        mode: Mode,
        topics: str | Iterable[str] = (),
        topic_expression: str = "",
        connection: str = "",
        start: Start | None = None,
        end: PositionsLike | None = None,
        encoding: Encoding = Encoding.ARROW_IPC,
        arrow_compression: ArrowCompression = ArrowCompression.LZ4,
        batch_bytes_max: int = 0,
        gap_policy: GapPolicy = GapPolicy.STOP,
        bootstrap: Bootstrap = Bootstrap.NONE,
        filter: str | Filter = "",
        projection: Projection | None = None,
        sharing: Sharing = Sharing.EXCLUSIVE,
        member: str = "",
        settings: StreamSettings | None = None,
    ) -> Stream:
        """A stream, to be entered with ``async with``; that subscribes.

        The newest subscriber wins: an older stream on the same subscription ends with
        ``SubscriptionTakenOver``. Entering waits for the service if it cannot be reached, for as
        long as the settings say, and raises whatever else is in the way.

        Args:
            subscription: Its name: 1 to 249 characters of ``[a-zA-Z0-9._-]``. Made on first use.
            mode: What the subscription is for; says where to start when nothing is stored.
            topics: Topic names. Exactly one of ``topics`` and ``topic_expression``.
            topic_expression: An RE2 regular expression that has to match a topic's whole name.
                Topics created later join by themselves.
            connection: May be left out where the service has just one.
            start: Where to start, instead of the stored position.
            end: Where to end. Partitions that it does not name are not read.
            encoding: How records travel; ARROW_IPC is several times faster.
            arrow_compression: How Arrow batches are compressed; ZSTD saves bytes on a narrow link.
            batch_bytes_max: Bound in bytes for a batch as encoded, 64 KiB to 16 MiB; 0 means
                1 MiB. A single record that is larger travels alone.
            gap_policy: What to do at a range that neither the cache nor the source can give any
                more: end with ``DataLoss``, or go on behind it. ``stream.events()`` tells the gap.
            bootstrap: SNAPSHOT begins each partition that has no stored position with its snapshot:
                batches say ``snapshot``, and ``snapshots`` of ``Started``, or of
                ``PartitionsAssigned``, what has to be there afterwards.
            filter: Only records that meet this are sent, such as ``value.op == "c"``: text, or a
                message. docs/filters.md has the whole of it. Positions are those of the whole log;
                where nothing is left, ``Progress`` events move ``position`` on. A filter that is
                none is refused with ``INVALID_FILTER``.
            projection: What is left out of every record.
            sharing: SHARED makes this stream a member of the subscription: each partition is with
                one of them, and ``stream.events()`` tells what comes and goes. All members ask for
                the same; ``start`` counts for partitions without a stored position alone.
            member: With SHARED: what this member is called; a newer one of that name takes its
                place. Made of the host's name and a random part without it.
            settings: Times and bounds.

        Raises:
            StreamClosed: The client is not open.
        """
        return Stream(
            self._service,
            Subscribe(
                subscription=subscription,
                mode=mode,
                topics=(topics,) if isinstance(topics, str) else tuple(topics),
                topic_expression=topic_expression,
                connection=connection,
                start=start,
                end=end,
                encoding=encoding,
                arrow_compression=arrow_compression,
                batch_bytes_max=batch_bytes_max,
                gap_policy=gap_policy,
                bootstrap=bootstrap,
                filter=filter,
                projection=projection,
                sharing=sharing,
                member=member or (new_member() if sharing is Sharing.SHARED else ""),
                settings=settings or StreamSettings(),
            ),
        )

    async def list_offsets(
        self, topic: str = "", *, connection: str = "", at: int | datetime | None = None
    ) -> list[PartitionOffsets]:
        """The ends of each partition's log.

        Args:
            topic: One topic; empty means all known ones of the connection.
            connection: May be left out where the service has just one.
            at: With a time, milliseconds since the Unix epoch or a datetime with a time zone, each
                partition also tells the offset at it.
        """
        request = pb.ListOffsetsRequest(
            connection=connection,
            topic=topic,
            timestamp_ms=None if at is None else AtTimestamp(at).timestamp_ms,
        )
        response = await self._call(self._service.list_offsets, request)
        return [wire.partition_offsets(message) for message in response.partitions]

    async def cluster_id(self, topic: str = "", *, connection: str = "") -> str:
        """What the source's cluster calls itself; empty as long as the service does not know.

        Args:
            topic: Of the source; without one the service goes over all of them.
            connection: May be left out where the service has just one.
        """
        request = pb.ListOffsetsRequest(connection=connection, topic=topic)
        response = await self._call(self._service.list_offsets, request)
        return str(response.cluster_id)

    async def describe_model(self, topic: str, *, connection: str = "") -> TopicModel:
        """Which fields the JSON objects of a topic have, as the service has seen until now.

        Args:
            topic: Its name.
            connection: May be left out where the service has just one.

        Raises:
            NotFound: There is no such topic, or no model of it yet (``UNKNOWN_MODEL``).
        """
        request = models_pb2.DescribeModelRequest(connection=connection, topic=topic)
        response = await self._call(self._service.describe_model, request)
        return topic_model(response.model)

    async def test_filter(self, filter: str | Filter) -> None:
        """Whether the service would take a filter; nothing is read, and nothing is remembered.

        Raises:
            InvalidRequest: It is none; the message says why.
            ServiceFault: The service is too old to tell.
        """
        text, message = (filter, None) if isinstance(filter, str) else ("", filter)
        request = pb.TestFilterRequest(filter_text=text, filter=message)
        await self._call(self._service.test_filter, request)

    async def get_subscription(self, subscription: str) -> Subscription:
        """The durable side of a subscription, connected or not.

        Raises:
            NotFound: There is none of that name.
        """
        request = pb.GetSubscriptionRequest(subscription=subscription)
        response = await self._call(self._service.get_subscription, request)
        return wire.subscription(response.subscription)

    async def list_subscriptions(self, *, connection: str = "") -> list[Subscription]:
        """All subscriptions, or those of one connection, ordered by name."""
        request = pb.ListSubscriptionsRequest(connection=connection)
        response = await self._call(self._service.list_subscriptions, request)
        return [wire.subscription(message) for message in response.subscriptions]

    async def reset_subscription(
        self, subscription: str, *, start: Start | None = None, forget_full_sync: bool = False
    ) -> Subscription:
        """Replaces stored positions; a live stream ends with ``SubscriptionReset``.

        Args:
            subscription: Its name.
            start: Where it goes on; None drops the stored positions, so that the next stream
                starts as its mode says.
            forget_full_sync: Also forget that a full sync was done.

        Returns:
            The subscription as it is now.

        Raises:
            NotFound: There is none of that name.
        """
        request = pb.ResetSubscriptionRequest(
            subscription=subscription,
            start=None if start is None else wire.start_message(start),
            forget_full_sync=forget_full_sync,
        )
        response = await self._call(self._service.reset_subscription, request)
        return wire.subscription(response.subscription)

    async def delete_subscription(self, subscription: str) -> None:
        """Forgets a subscription; a live stream ends with ``SubscriptionDeleted``.

        Raises:
            NotFound: There is none of that name.
        """
        request = pb.DeleteSubscriptionRequest(subscription=subscription)
        await self._call(self._service.delete_subscription, request)

    @property
    def _service(self) -> rpc.Service:
        if self._opened is None:
            raise StreamClosed("the client is open only inside its async with")
        return self._opened

    async def _call(
        self, method: rpc.Unary[rpc.RequestT_contra, rpc.ResponseT_co], request: rpc.RequestT_contra
    ) -> rpc.ResponseT_co:
        return await self._service.call(method, request, self._call_timeout_s)
