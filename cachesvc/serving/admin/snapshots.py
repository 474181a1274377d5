"""Snapshots: looking at them."""

from typing import Any

import grpc

from cachesvc.clusters.sources import Sources
from cachesvc.model import Snapshot
from cachesvc.serving.status import errors_as_status
from cachesvc.snapshots.shelf import Shelf
from cachesvc.v1 import admin_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class SnapshotAdmin:
    """The calls of ``cachesvc.v1.Admin`` about snapshots; see the .proto for the contract.

    Args:
        shelf: Has them.
        sources: The connections.
    """

    def __init__(self, shelf: Shelf, sources: Sources) -> None:
        self._shelf = shelf
        self._sources = sources

    async def ListSnapshots(
        self, request: pb.ListSnapshotsRequest, context: Context
    ) -> pb.ListSnapshotsResponse:
        async with errors_as_status(context):
            named = request.connection
            connection = self._sources.resolve(named).name if named else ""
            return pb.ListSnapshotsResponse(
                snapshots=[
                    self._view(each)
                    for each in self._shelf.all()
                    if connection in ("", each.partition.connection)
                    and request.topic in ("", each.partition.topic)
                ]
            )

    def _view(self, snapshot: Snapshot) -> pb.Snapshot:
        partition, file = snapshot.partition, snapshot.file
        return pb.Snapshot(
            connection=partition.connection,
            topic=partition.topic,
            partition=partition.partition,
            incarnation=partition.incarnation,
            base_offset=snapshot.base_offset,
            end_offset=snapshot.end_offset,
            complete_from_offset=snapshot.complete_from_offset,
            record_count=file.record_count,
            read_count=snapshot.read_count,
            bytes=file.bytes,
            created_ms=file.created_ms,
            path=file.path,
            store=file.store,
            read_by=self._shelf.readers(snapshot),
        )
