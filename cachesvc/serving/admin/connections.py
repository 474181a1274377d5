"""Connections: looking at them, making, changing and deleting them."""

from typing import Any

import grpc

from cachesvc.serving.connection_messages import connection_of, message_of
from cachesvc.serving.ports import Connections, ConnectionState
from cachesvc.serving.status import errors_as_status
from cachesvc.v1 import connections_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class ConnectionAdmin:
    """The calls of ``cachesvc.v1.Admin`` about connections; see the .proto for the contract.

    Args:
        connections: All of them.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def ListConnections(
        self, request: pb.ListConnectionsRequest, context: Context
    ) -> pb.ListConnectionsResponse:
        return pb.ListConnectionsResponse(
            connections=[_view(state) for state in self._connections.all()]
        )

    async def GetConnection(
        self, request: pb.GetConnectionRequest, context: Context
    ) -> pb.GetConnectionResponse:
        async with errors_as_status(context):
            return pb.GetConnectionResponse(connection=_view(self._connections.get(request.name)))

    async def CreateConnection(
        self, request: pb.CreateConnectionRequest, context: Context
    ) -> pb.CreateConnectionResponse:
        async with errors_as_status(context):
            made = await self._connections.create(connection_of(request.connection))
            return pb.CreateConnectionResponse(connection=_view(made))

    async def UpdateConnection(
        self, request: pb.UpdateConnectionRequest, context: Context
    ) -> pb.UpdateConnectionResponse:
        async with errors_as_status(context):
            changed = await self._connections.update(connection_of(request.connection))
            return pb.UpdateConnectionResponse(connection=_view(changed))

    async def DeleteConnection(
        self, request: pb.DeleteConnectionRequest, context: Context
    ) -> pb.DeleteConnectionResponse:
        async with errors_as_status(context):
            await self._connections.delete(request.name)
            return pb.DeleteConnectionResponse()

    async def AcceptCluster(
        self, request: pb.AcceptClusterRequest, context: Context
    ) -> pb.AcceptClusterResponse:
        async with errors_as_status(context):
            changed, before = await self._connections.accept(request.name, request.cluster_id)
            return pb.AcceptClusterResponse(connection=_view(changed), previous_cluster_id=before)


def _view(state: ConnectionState) -> pb.Connection:
    source = state.source
    return message_of(
        state.config,
        reachable=source.known and not source.error,
        error=source.error,
        error_reason=source.error_reason,
        in_file=state.in_file,
        created_ms=state.created_ms,
        updated_ms=state.updated_ms,
        cluster_id=source.lookup.cluster_id,
        foreign_addresses=[
            pb.ForeignAddress(address=each.address, cluster_id=each.cluster_id)
            for each in source.foreign
        ],
    )
