"""Stores: looking at them, making, changing, deleting and testing them, and moving topics there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from cachesvc.serving.ports import Stores
from cachesvc.serving.status import errors_as_status
from cachesvc.serving.store_messages import check_message, entry_of, store_view
from cachesvc.settings.secret_places import SecretPlaces
from cachesvc.settings.stores import StoreEntry, store_dict
from cachesvc.v1 import stores_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


class StoreAdmin:
    """The calls of ``cachesvc.v1.Admin`` about stores; see the .proto for the contract.

    Args:
        stores: All of them.
        resolve: The connection of a name, or the only one for an empty name; checks the topic, if
            one is given. Raises NotFound, InvalidRequest.
        places: Where credentials may lie.
    """

    def __init__(
        self, stores: Stores, resolve: Callable[[str, str], str], places: SecretPlaces
    ) -> None:
        self._stores = stores
        self._places = places
        self._resolve = resolve

    async def ListStores(
        self, request: pb.ListStoresRequest, context: Context
    ) -> pb.ListStoresResponse:
        async with errors_as_status(context):
            return pb.ListStoresResponse(stores=map(store_view, await self._stores.states()))

    async def GetStore(self, request: pb.GetStoreRequest, context: Context) -> pb.GetStoreResponse:
        async with errors_as_status(context):
            return pb.GetStoreResponse(store=store_view(await self._stores.state(request.name)))

    async def CreateStore(
        self, request: pb.CreateStoreRequest, context: Context
    ) -> pb.CreateStoreResponse:
        async with errors_as_status(context):
            made = await self._stores.create(await self._asked_for(request.store, "store"))
            return pb.CreateStoreResponse(store=store_view(made))

    async def UpdateStore(
        self, request: pb.UpdateStoreRequest, context: Context
    ) -> pb.UpdateStoreResponse:
        async with errors_as_status(context):
            changed = await self._stores.update(await self._asked_for(request.store, "store"))
            return pb.UpdateStoreResponse(store=store_view(changed))

    async def DeleteStore(
        self, request: pb.DeleteStoreRequest, context: Context
    ) -> pb.DeleteStoreResponse:
        async with errors_as_status(context):
            await self._stores.delete(request.name)
            return pb.DeleteStoreResponse()

    async def TestStore(
        self, request: pb.TestStoreRequest, context: Context
    ) -> AsyncIterator[pb.TestStoreResponse]:
        async with errors_as_status(context):
            if request.HasField("settings"):
                entry = await self._asked_for(request.settings, "settings")
                checks = self._stores.examine(entry)
            else:
                checks = self._stores.test(request.name)
            async with aclosing(checks):
                async for check in checks:
                    yield pb.TestStoreResponse(check=check_message(check))

    async def PlaceTopic(
        self, request: pb.PlaceTopicRequest, context: Context
    ) -> pb.PlaceTopicResponse:
        async with errors_as_status(context):
            connection = self._resolve(request.connection, request.topic)
            found = await self._stores.place(connection, request.topic, request.store)
            size = sum(segment.bytes for segment in found)
            return pb.PlaceTopicResponse(segment_count=len(found), bytes=size)

    async def _asked_for(self, message: pb.Store, field: str) -> StoreEntry:
        entry = entry_of(message, field)
        await asyncio.to_thread(self._places.check, store_dict(entry), field)
        return entry
