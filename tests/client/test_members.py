"""Streams that share a subscription, against a service that says what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from grpc import StatusCode, aio

from cachesvc.client import (
    Batch,
    Client,
    Mode,
    PartitionRevoked,
    PartitionsAssigned,
    PartitionsRevoked,
    Position,
    Sharing,
    Stream,
    SubscriptionTakenOver,
)
from cachesvc.v1 import log_cache_pb2 as pb
from cachesvc.v1.log_cache_pb2_grpc import LogCacheServicer, add_LogCacheServicer_to_server
from tests.client.fake_log import encode, record
from tests.client.fake_server import HOST, details
from tests.client.running import QUICK, eventually, in_event_loop

Context = aio.ServicerContext[Any, Any]


def at(number: int, offset: int, epoch: int) -> pb.Position:
    return pb.Position(topic="orders", partition=number, incarnation=1, offset=offset, epoch=epoch)


def started(epoch: int = 1) -> pb.SubscribeResponse:
    return pb.SubscribeResponse(started=pb.Started(epoch=epoch, connection="main", member="one"))


def assigned(*positions: pb.Position) -> pb.SubscribeResponse:
    return pb.SubscribeResponse(partitions_assigned=pb.PartitionsAssigned(positions=positions))


def revoked(*positions: pb.Position) -> pb.SubscribeResponse:
    return pb.SubscribeResponse(partitions_revoked=pb.PartitionsRevoked(positions=positions))


def batch(number: int, *offsets: int) -> pb.SubscribeResponse:
    key = ("orders", number)
    records = [record(key, each) for each in offsets]
    return pb.SubscribeResponse(batch=encode(key, records, offsets[-1] + 1))


class Scripted(LogCacheServicer):
    """Tells what it is given, one list for each connection; the last stays open.

    Attributes:
        owned: The epochs under which commits are taken, by partition.
        epoch: Of the subscription.
        sharing: As ``GetSubscription`` says.
    """

    def __init__(self, *scripts: list[pb.SubscribeResponse]) -> None:
        self._scripts = list(scripts)
        self.requests: list[pb.SubscribeRequest] = []
        self.commits: list[dict[int, tuple[int, int]]] = []
        self.stored: dict[int, int] = {}
        self.owned: Mapping[int, int] = {}
        self.epoch = 1
        self.sharing: Any = pb.SHARED

    async def Subscribe(  # noqa: N802
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeResponse]:
        self.requests.append(request)
        for response in self._scripts.pop(0):
            yield response
        if not self._scripts:
            await asyncio.Event().wait()
        await context.abort(StatusCode.UNAVAILABLE, "scripted")

    async def Commit(  # noqa: N802
        self, request: pb.CommitRequest, context: Context
    ) -> pb.CommitResponse:
        positions = {each.partition: (each.offset, each.epoch) for each in request.positions}
        self.commits.append(positions)
        lost = [n for n, (_, epoch) in positions.items() if epoch != self.owned.get(n)]
        if lost:
            places = ",".join(f"orders/{number}" for number in lost)
            word = details(StatusCode.ABORTED, "PARTITION_REVOKED", partitions=places)
            await context.abort(
                StatusCode.ABORTED, places, trailing_metadata=(("grpc-status-details-bin", word),)
            )
        self.stored.update({number: offset for number, (offset, _) in positions.items()})
        return pb.CommitResponse()

    async def GetSubscription(  # noqa: N802
        self, request: pb.GetSubscriptionRequest, context: Context
    ) -> pb.GetSubscriptionResponse:
        found = pb.Subscription(
            name=request.subscription, mode=pb.FULL, epoch=self.epoch, sharing=self.sharing
        )
        return pb.GetSubscriptionResponse(subscription=found)


@asynccontextmanager
async def member(service: Scripted, name: str = "") -> AsyncIterator[Stream]:
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    add_LogCacheServicer_to_server(service, server)
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        async with (
            Client(f"{HOST}:{port}") as client,
            client.subscribe(
                "shared",
                topics="orders",
                mode=Mode.FULL_AND_INCREMENTAL,
                start=[Position("orders", 0, 2)],
                sharing=Sharing.SHARED,
                member=name,
                settings=QUICK,
            ) as stream,
        ):
            yield stream
    finally:
        await server.stop(None)


@in_event_loop
async def test_partitions_come_and_go_and_commits_carry_their_epochs() -> None:
    service = Scripted(
        [
            started(),
            assigned(at(0, 0, 7), at(1, 0, 8)),
            batch(0, 0, 1),
            batch(1, 0),
            revoked(at(1, 3, 8)),
            batch(0, 2),
        ]
    )
    service.owned = {0: 7, 1: 8}
    async with member(service, "one") as stream:
        events = stream.events()
        told = [await anext(events) for _ in range(6)]
        assert isinstance(told[1], PartitionsAssigned)
        assert told[1].epochs == {("orders", 0): 7, ("orders", 1): 8}
        assert isinstance(told[4], PartitionsRevoked)
        await stream.commit(told[4].positions)
        await stream.commit()
    assert service.commits == [{1: (3, 8)}, {0: (3, 7)}]
    (request,) = service.requests
    assert (request.sharing, request.member) == (pb.SHARED, "one")
    assert request.start.positions.positions[0].offset == 2


@in_event_loop
async def test_what_another_member_has_is_left_out_and_the_rest_is_stored() -> None:
    service = Scripted([started(), assigned(at(0, 0, 7), at(1, 0, 8)), batch(0, 0, 1), batch(1, 0)])
    service.owned = {0: 7, 1: 9}
    async with member(service) as stream:
        batches = aiter(stream)
        first, second = await anext(batches), await anext(batches)
        await stream.commit()
        assert service.commits == [{0: (2, 7), 1: (1, 8)}, {0: (2, 7)}]
        await stream.commit(second.position)
        await stream.commit(first.position)
    assert len(service.commits) == 2, "neither costs a call"


@in_event_loop
async def test_an_end_that_cannot_be_committed_is_no_secret() -> None:
    ended = pb.SubscribeResponse(ended=pb.Ended(positions=[at(0, 2, 7)]))
    service = Scripted([started(), assigned(at(0, 0, 7)), batch(0, 0, 1), ended])
    service.owned = {0: 9}
    async with member(service) as stream:
        await _read(stream)
        with pytest.raises(PartitionRevoked) as refused:
            await stream.commit()
    assert refused.value.partitions == [("orders", 0)]


@in_event_loop
async def test_a_member_begins_anew_under_its_name_after_a_lost_connection() -> None:
    service = Scripted(
        [started(1), assigned(at(0, 0, 7)), batch(0, 0, 1)],
        [started(2), assigned(at(0, 1, 9)), batch(0, 1, 2)],
    )
    service.epoch = 2  # of a group that another member has begun meanwhile
    service.owned = {0: 9}
    async with member(service) as stream:
        batches = aiter(stream)
        first = await anext(batches)
        await eventually(lambda: len(service.requests) == 2)
        await stream.commit(first.position)
        assert service.stored == {}
        second = await anext(batches)
        assert [each.offset for each in second] == [1, 2]
        await stream.commit(second.position)
    assert service.stored == {0: 3}
    one, two = service.requests
    assert one.member == two.member != ""
    assert one.start == two.start


@in_event_loop
async def test_one_that_has_it_alone_by_now_is_not_driven_out() -> None:
    service = Scripted([started(1), assigned(at(0, 0, 7)), batch(0, 0)], [started(9)])
    service.epoch, service.sharing = 2, pb.EXCLUSIVE
    async with member(service) as stream:
        with pytest.raises(SubscriptionTakenOver):
            await _read(stream)
    assert len(service.requests) == 1


async def _read(stream: Stream) -> None:
    async for each in stream:
        assert isinstance(each, Batch)
