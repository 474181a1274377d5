"""The LogCache service: validate, resolve, serve."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import grpc

from cachesvc.assignment.assignments import Assignments
from cachesvc.clusters.sources import Source, Sources
from cachesvc.errors import SourceUnreachable
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId
from cachesvc.policy.topics import check_subscription_name
from cachesvc.serving import convert, views
from cachesvc.serving.batches import Batches
from cachesvc.serving.calling import current_caller
from cachesvc.serving.filter_messages import reduction
from cachesvc.serving.selection import find_topics, logs_of
from cachesvc.serving.starts import Starts
from cachesvc.serving.status import errors_as_status
from cachesvc.serving.subscribing import Subscribing
from cachesvc.shared_memory.place import SharedMemory
from cachesvc.snapshots.shelf import Shelf
from cachesvc.subscriptions.subscriber import Origin
from cachesvc.subscriptions.subscriptions import Subscription, Subscriptions
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1 import log_cache_pb2_grpc
from cachesvc.watching.deliveries import Deliveries

Context = grpc.aio.ServicerContext[Any, Any]
_CLIENT_HEADER = "user-agent"
_CLIENT_LENGTH_MAX = 200


class LogCacheServicer(log_cache_pb2_grpc.LogCacheServicer):
    """``cachesvc.v1.LogCache``; see the .proto for the contract.

    Args:
        store: The logs.
        sources: The connections.
        subscriptions: The durable side.
        assignments: Is told what has to be mined.
        batches: Cuts and encodes frames for all streams.
        shelf: Has the snapshots that streams may begin with.
        progress_interval_s: Longest silence of a stream.
        deliveries: Counts what streams send.
        memory: What processes of this machine are handed records in; None where that is not done.
    """

    def __init__(
        self,
        store: LogStore,
        sources: Sources,
        subscriptions: Subscriptions,
        assignments: Assignments,
        batches: Batches,
        shelf: Shelf,
        progress_interval_s: float,
        deliveries: Deliveries,
        memory: SharedMemory | None = None,
    ) -> None:
        self._store = store
        self._sources = sources
        self._subscriptions = subscriptions
        self._assignments = assignments
        self._shelf = shelf
        self._subscribing = Subscribing(
            store,
            sources,
            subscriptions,
            assignments,
            batches,
            shelf,
            progress_interval_s,
            deliveries,
            memory,
        )

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> None:
        async with errors_as_status(context):
            await self._subscribing.serve(
                convert.subscribe_call(request), context.write, _origin(context)
            )

    async def Commit(self, request: pb.CommitRequest, context: Context) -> pb.CommitResponse:
        async with errors_as_status(context):
            check_subscription_name(request.subscription)
            positions = convert.positions("positions", request.positions)
            connection = self._subscriptions.get(request.subscription).record.connection
            named = {
                convert.partition_id(
                    connection, name, at, self._store.topic_id(connection, name[0]).incarnation
                ): at
                for name, at in positions.items()
            }
            await self._subscriptions.commit(
                request.subscription,
                request.epoch,
                {partition: at.offset for partition, at in named.items()},
                {partition: at.epoch for partition, at in named.items() if at.epoch},
            )
        return pb.CommitResponse()

    async def ListOffsets(
        self, request: pb.ListOffsetsRequest, context: Context
    ) -> pb.ListOffsetsResponse:
        response = pb.ListOffsetsResponse()
        async with errors_as_status(context):
            source = self._sources.resolve(request.connection)
            logs = await self._logs(source, request.topic)
            for log in logs:
                offsets = views.partition_offsets(log, self._store)
                if request.HasField("timestamp_ms"):
                    at = convert.timestamp("timestamp_ms", request.timestamp_ms)
                    found = await self._store.reader.offset_at(log, at)
                    if found is not None:
                        offsets.offset_at_timestamp = found
                response.partitions.append(offsets)
            for topic_id in self._store.waiting.topics(source.name):
                if request.topic in ("", topic_id.topic):
                    response.partitions.extend(views.waiting_partitions(topic_id, self._store))
            response.cluster_id = self._store.incarnations.cluster_of(source.name)
        return response

    async def _logs(self, source: Source, topic: str) -> list[PartitionLog]:
        """The logs of a topic, or of all that is cached, with the source's ends if it tells."""
        logs = self._store.present(source.name, topic)
        if not logs and topic:
            await find_topics(self._sources, self._store, source, [topic])
            await self._assignments.create_logs(source, [topic])
            logs = self._store.logs.of_topic(self._store.topic_id(source.name, topic))
        unknown = [log for log in logs if log.source.high_watermark is None]
        if unknown:
            try:
                ends = await source.lookup.end_offsets(
                    [(log.id.topic, log.id.partition) for log in unknown]
                )
            except SourceUnreachable:
                return logs
            for log in unknown:
                end = ends.found.get((log.id.topic, log.id.partition))
                if end is not None:
                    self._store.note_source_end(log, end)
        return logs

    async def TestFilter(
        self, request: pb.TestFilterRequest, context: Context
    ) -> pb.TestFilterResponse:
        async with errors_as_status(context):
            reduction(request)
            return pb.TestFilterResponse()

    async def GetSubscription(
        self, request: pb.GetSubscriptionRequest, context: Context
    ) -> pb.GetSubscriptionResponse:
        async with errors_as_status(context):
            check_subscription_name(request.subscription)
            found = self._subscriptions.get(request.subscription)
            return pb.GetSubscriptionResponse(subscription=self._view(found))

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        async with errors_as_status(context):
            if request.connection:
                self._sources.resolve(request.connection)
            found = [
                self._view(subscription)
                for subscription in self._subscriptions.all()
                if request.connection in ("", subscription.record.connection)
                and (not request.topic or _has(subscription, request.topic))
            ]
            return pb.ListSubscriptionsResponse(subscriptions=found)

    async def ResetSubscription(
        self, request: pb.ResetSubscriptionRequest, context: Context
    ) -> pb.ResetSubscriptionResponse:
        async with errors_as_status(context):
            check_subscription_name(request.subscription)
            start = convert.start_request(request.start if request.HasField("start") else None)
            subscription = self._subscriptions.get(request.subscription)
            source = self._sources.resolve(subscription.record.connection)
            logs = logs_of(subscription.record, self._store, source)
            positions = await Starts(self._store, source).reset_positions(logs, start)
            if request.validate_only:
                return pb.ResetSubscriptionResponse(
                    subscription=self._view(
                        _as_reset(subscription, positions, forget=request.forget_full_sync)
                    )
                )
            subscription = await self._subscriptions.reset(
                request.subscription, positions, forget_full_sync=request.forget_full_sync
            )
            await self._shelf.forget(request.subscription)
            return pb.ResetSubscriptionResponse(subscription=self._view(subscription))

    async def DeleteSubscription(
        self, request: pb.DeleteSubscriptionRequest, context: Context
    ) -> pb.DeleteSubscriptionResponse:
        async with errors_as_status(context):
            check_subscription_name(request.subscription)
            await self._subscriptions.delete(request.subscription)
            await self._shelf.forget(request.subscription)
        return pb.DeleteSubscriptionResponse()

    def _view(self, subscription: Subscription) -> pb.Subscription:
        return views.subscription(subscription, self._store)


def _origin(context: Context) -> Origin:
    """Who opens a stream, as far as the call says."""
    caller = current_caller()
    client = dict(context.invocation_metadata() or ()).get(_CLIENT_HEADER, "")
    return Origin(
        caller.name,
        caller.address or context.peer(),
        client[:_CLIENT_LENGTH_MAX] if isinstance(client, str) else "",
        time.time_ns() // 1_000_000,
    )


def _as_reset(
    subscription: Subscription, positions: Mapping[PartitionId, int], *, forget: bool
) -> Subscription:
    """A subscription as a reset would leave it."""
    record = subscription.record
    record = replace(record, full_sync_done=record.full_sync_done and not forget)
    return Subscription(record, dict(positions))


def _has(subscription: Subscription, topic: str) -> bool:
    """Whether a subscription has a position in a topic, or reads it now."""
    places = subscription.positions.keys() | subscription.reads
    return any(partition.topic == topic for partition in places)
