"""Alarms: looking at them."""

from typing import Any

import grpc

from cachesvc.clusters.sources import Sources
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.serving.admin.limits import checked_limit, rows_seen
from cachesvc.serving.status import errors_as_status
from cachesvc.store.watching_port import AlarmRecord
from cachesvc.v1 import alarms_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
_ALARMS_DEFAULT = 1_000


class AlarmAdmin:
    """The calls of ``cachesvc.v1.Admin`` about alarms; see the .proto for the contract.

    Args:
        catalogue: Has them.
        sources: The connections.
    """

    def __init__(self, catalogue: CatalogueThread, sources: Sources) -> None:
        self._catalogue = catalogue
        self._sources = sources

    async def ListAlarms(
        self, request: pb.ListAlarmsRequest, context: Context
    ) -> pb.ListAlarmsResponse:
        async with errors_as_status(context):
            limit = checked_limit(request.limit, _ALARMS_DEFAULT)
            named = request.connection
            connection = self._sources.resolve(named).name if named else ""
            alarms = await rows_seen(
                limit,
                lambda count: self._catalogue.call(
                    lambda port: port.alarms.list(connection, count, past=request.past)
                ),
                _alarm,
            )
            return pb.ListAlarmsResponse(alarms=alarms)


def _alarm(record: AlarmRecord) -> pb.Alarm:
    key = record.key
    return pb.Alarm(
        id=record.id,
        kind=int(key.kind),  # type: ignore[arg-type]
        connection=key.connection,
        topic=key.topic or None,
        partition=key.partition if key.partition >= 0 else None,
        subscription=key.subscription or None,
        message=record.message,
        raised_ms=record.raised_ms,
        cleared_ms=record.cleared_ms,
    )
