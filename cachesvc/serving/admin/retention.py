"""What the stores hold, and what retention has dropped."""

from typing import Any

import grpc

from cachesvc.clusters.sources import Sources
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.serving.admin.limits import checked_limit, rows_seen
from cachesvc.serving.status import errors_as_status
from cachesvc.store.drops_port import DropCause, DropRecord
from cachesvc.subscriptions.store_usages import StoreUsage, StoreUsages, TopicUsage
from cachesvc.v1 import retention_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_DROPS_DEFAULT = 1_000
_CAUSES = {
    DropCause.AGE: pb.DROP_CAUSE_AGE,
    DropCause.TOPIC_BYTES: pb.DROP_CAUSE_TOPIC_BYTES,
    DropCause.TOPIC_RECORDS: pb.DROP_CAUSE_TOPIC_RECORDS,
    DropCause.STORE_BYTES: pb.DROP_CAUSE_STORE_BYTES,
}


class RetentionAdmin:
    """The calls of ``cachesvc.v1.Admin`` about retention; see the .proto for the contract.

    Args:
        catalogue: Has the history.
        sources: The connections.
        usages: Looks at stores.
    """

    def __init__(self, catalogue: CatalogueThread, sources: Sources, usages: StoreUsages) -> None:
        self._catalogue = catalogue
        self._sources = sources
        self._usages = usages

    async def ListStoreUsage(
        self, request: pb.ListStoreUsageRequest, context: Context
    ) -> pb.ListStoreUsageResponse:
        async with errors_as_status(context):
            found = await self._usages.list(request.store)
            return pb.ListStoreUsageResponse(stores=map(_store, found))

    async def ListDrops(
        self, request: pb.ListDropsRequest, context: Context
    ) -> pb.ListDropsResponse:
        async with errors_as_status(context):
            limit = checked_limit(request.limit, _DROPS_DEFAULT)
            named, topic = request.connection, request.topic
            connection = self._sources.resolve(named).name if named else ""
            drops = await rows_seen(
                limit,
                lambda count: self._catalogue.call(
                    lambda port: port.drops.list(connection, topic, count)
                ),
                _drop,
            )
            return pb.ListDropsResponse(drops=drops)


def _store(usage: StoreUsage) -> pb.StoreUsage:
    return pb.StoreUsage(
        store=usage.store,
        bytes_max=usage.bytes_max,
        bytes=usage.bytes,
        segment_bytes=usage.segment_bytes,
        journal_bytes=usage.journal_bytes,
        warm_bytes=usage.warm_bytes,
        retired_bytes=usage.retired_bytes,
        snapshot_bytes=usage.snapshot_bytes,
        quarantine_bytes=usage.quarantine_bytes,
        full=usage.full,
        topics=map(_topic, usage.topics),
    )


def _topic(usage: TopicUsage) -> pb.TopicUsage:
    connection, topic = usage.topic
    return pb.TopicUsage(
        connection=connection,
        topic=topic,
        bytes=usage.bytes,
        records=usage.records,
        oldest_mined_ms=usage.oldest_mined_ms,
        bytes_max=usage.limits.bytes_max,
        records_max=usage.limits.records_max,
        unread_bytes=usage.unread_bytes,
        unread_by=usage.unread_by,
        is_protected=usage.limits.protection is not None,
    )


def _drop(record: DropRecord) -> pb.Drop:
    return pb.Drop(
        at_ms=record.at_ms,
        connection=record.connection,
        topic=record.topic,
        cause=_CAUSES[record.cause],
        store=record.store,
        segments=record.segments,
        records=record.records,
        bytes=record.bytes,
        detail=record.detail,
    )
