"""Connections: looking at them, making, changing and deleting them."""

import asyncio
from typing import Any

import grpc

from cachesvc.serving.connection_messages import connection_of, message_of
from cachesvc.serving.ports import Connections, ConnectionState
from cachesvc.serving.status import errors_as_status
from cachesvc.settings.connection import ConnectionConfig, connection_dict
from cachesvc.settings.secret_places import SecretPlaces
from cachesvc.v1 import connections_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class ConnectionAdmin:
    """The calls of ``cachesvc.v1.Admin`` about connections; see the .proto for the contract.

    Args:
        connections: All of them.
        places: Where their secrets may lie.
    """

    def __init__(self, connections: Connections, places: SecretPlaces) -> None:
        self._connections = connections
        self._places = places

    async def ListConnections(
        self, request: pb.ListConnectionsRequest, context: Context
    ) -> pb.ListConnectionsResponse:
        return pb.ListConnectionsResponse(
            connections=[await self._view(state) for state in self._connections.all()]
        )

    async def GetConnection(
        self, request: pb.GetConnectionRequest, context: Context
    ) -> pb.GetConnectionResponse:
        async with errors_as_status(context):
            found = self._connections.get(request.name)
            return pb.GetConnectionResponse(connection=await self._view(found))

    async def CreateConnection(
        self, request: pb.CreateConnectionRequest, context: Context
    ) -> pb.CreateConnectionResponse:
        async with errors_as_status(context):
            made = await self._connections.create(await self._asked_for(request.connection))
            return pb.CreateConnectionResponse(connection=await self._view(made))

    async def UpdateConnection(
        self, request: pb.UpdateConnectionRequest, context: Context
    ) -> pb.UpdateConnectionResponse:
        async with errors_as_status(context):
            changed = await self._connections.update(await self._asked_for(request.connection))
            return pb.UpdateConnectionResponse(connection=await self._view(changed))

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
            return pb.AcceptClusterResponse(
                connection=await self._view(changed), previous_cluster_id=before
            )

    async def _asked_for(self, message: pb.Connection) -> ConnectionConfig:
        config = connection_of(message)
        await asyncio.to_thread(self._places.check, connection_dict(config), "connection")
        return config

    async def _view(self, state: ConnectionState) -> pb.Connection:
        elsewhere: list[str] = []
        if not state.in_file and not self._places.anywhere:
            settings = connection_dict(state.config)
            elsewhere = await asyncio.to_thread(self._places.elsewhere, settings)
        return _view(state, elsewhere)


def _view(state: ConnectionState, secrets_elsewhere: list[str]) -> pb.Connection:
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
        secrets_elsewhere=secrets_elsewhere,
    )
