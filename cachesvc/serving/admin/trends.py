"""How things were over the last hour."""

from collections.abc import Iterable
from typing import Any

import grpc

from cachesvc.clusters.sources import Sources
from cachesvc.log.log_store import LogStore
from cachesvc.serving.admin.topics import check_known
from cachesvc.serving.status import errors_as_status
from cachesvc.subscriptions.subscriptions import Subscriptions
from cachesvc.trends.trends import Point, Trends
from cachesvc.v1 import watching_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class TrendAdmin:
    """The calls of ``cachesvc.v1.Admin`` about trends; see the .proto for the contract.

    Args:
        trends: What was measured.
        store: The logs.
        sources: The connections.
        subscriptions: All of them.
    """

    def __init__(
        self, trends: Trends, store: LogStore, sources: Sources, subscriptions: Subscriptions
    ) -> None:
        self._trends = trends
        self._store = store
        self._sources = sources
        self._subscriptions = subscriptions

    async def GetTrend(self, request: pb.GetTrendRequest, context: Context) -> pb.GetTrendResponse:
        return pb.GetTrendResponse(points=_messages(self._trends.whole(request.since_ms)))

    async def GetTopicTrend(
        self, request: pb.GetTopicTrendRequest, context: Context
    ) -> pb.GetTopicTrendResponse:
        async with errors_as_status(context):
            connection = self._sources.resolve(request.connection).name
            if not request.topic:
                points = self._trends.connection(connection, request.since_ms)
                return pb.GetTopicTrendResponse(points=_messages(points))
            check_known(self._sources, self._store, connection, request.topic)
            topic = self._store.topic_id(connection, request.topic)
            points = self._trends.topic(topic, request.since_ms)
            return pb.GetTopicTrendResponse(points=_messages(points))

    async def GetSubscriptionTrend(
        self, request: pb.GetSubscriptionTrendRequest, context: Context
    ) -> pb.GetSubscriptionTrendResponse:
        async with errors_as_status(context):
            found = self._subscriptions.get(request.subscription)
            record = found.record
            places = {*found.positions, *found.reads}
            since_ms = max(record.created_ms, request.since_ms)
            return pb.GetSubscriptionTrendResponse(
                points=_messages(self._trends.subscription(record.name, since_ms)),
                subscription=record.name,
                connection=record.connection,
                topics=sorted({*record.topics, *(each.topic for each in places)}),
            )


def _messages(points: Iterable[Point]) -> list[pb.TrendPoint]:
    return [
        pb.TrendPoint(
            at_ms=point.at_ms,
            mined_records_per_s=point.mined_per_s,
            delivered_records_per_s=point.sent_per_s,
            lag_records=point.lag,
        )
        for point in points
    ]
