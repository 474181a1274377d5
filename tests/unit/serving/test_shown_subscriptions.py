"""What operators see of a subscription: who reads it, from where, and what a reset would mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cachesvc.model import PartitionId
from cachesvc.policy.callers import Grant, Right
from cachesvc.v1 import log_cache_pb2 as pb
from tests.unit.serving.guarded import RECORDS, Guarded, serving

EVERYTHING = {"root": (Grant(frozenset(Right)),)}
ORDERS = PartitionId("main", "orders", 1, 0)


async def shown(service: Guarded, name: str = "billing-1") -> pb.Subscription:
    request = pb.GetSubscriptionRequest(subscription=name)
    (answer,) = (await service.call("LogCache.GetSubscription", "root", request)).messages
    found: pb.Subscription = answer.subscription
    return found


def subscribing(**more: Any) -> pb.SubscribeRequest:
    return pb.SubscribeRequest(
        subscription="billing-1",
        connection="main",
        topics=["orders"],
        mode=pb.FULL_AND_INCREMENTAL,
        encoding=pb.RECORDS,
        **more,
    )


async def drained(stream: Any) -> None:
    """Reads until all there is has come."""
    seen = 0
    while seen < RECORDS:
        answer = await stream.read()
        assert isinstance(answer, pb.SubscribeResponse), answer
        seen += len(answer.batch.records)


def test_who_reads_a_subscription_and_how_much(tmp_path: Path) -> None:
    async def test(service: Guarded) -> None:
        assert not (await shown(service)).subscribers
        stream = service.begin("LogCache.Subscribe", "root", subscribing())
        await drained(stream)
        (reader,) = (await shown(service)).subscribers
        assert (reader.principal, reader.address) == ("root", "ipv4:127.0.0.1:1")
        assert reader.client.startswith("grpc-python-asyncio/")
        assert (reader.member, reader.records) == ("", RECORDS)
        assert reader.bytes > 0 and reader.connected_ms > 0
        stream.cancel()

    serving(tmp_path, EVERYTHING, test)


def test_who_shares_a_subscription(tmp_path: Path) -> None:
    async def test(service: Guarded) -> None:
        streams = []
        for member in ("b", "a"):
            request = subscribing(sharing=pb.SHARED, member=member)
            streams.append(service.begin("LogCache.Subscribe", "root", request))
            assert (await streams[-1].read()).HasField("started")
        readers = (await shown(service)).subscribers
        assert [(reader.member, reader.principal) for reader in readers] == [
            ("b", "root"),
            ("a", "root"),
        ]
        for stream in streams:
            stream.cancel()

    serving(tmp_path, EVERYTHING, test)


def test_what_a_reset_would_mean_is_told_and_not_done(tmp_path: Path) -> None:
    async def test(service: Guarded) -> None:
        await service.parts.subscribed.subscriptions.reset(
            "billing-1", {ORDERS: 15}, forget_full_sync=False
        )
        stream = service.begin("LogCache.Subscribe", "root", subscribing())
        await stream.read()
        before = await shown(service)
        positions = pb.Positions(positions=[pb.Position(topic="orders", offset=5)])
        request = pb.ResetSubscriptionRequest(
            subscription="billing-1", start=pb.Start(positions=positions), validate_only=True
        )
        (answer,) = (await service.call("LogCache.ResetSubscription", "root", request)).messages
        (place,) = answer.subscription.partitions
        assert (place.position.offset, place.lag.records) == (5, RECORDS - 5)
        assert not answer.subscription.connected
        assert [at.position.offset for at in before.partitions] == [15]
        after = await shown(service)
        assert (after.epoch, after.connected) == (before.epoch, True)
        assert [at.position.offset for at in after.partitions] == [15]
        stream.cancel()

        positions.positions[0].topic = "vault"
        request.start.positions.CopyFrom(positions)
        refused = await service.call("LogCache.ResetSubscription", "root", request)
        assert refused.reason == "UNKNOWN_PARTITION"

        request.ClearField("start")
        (answer,) = (await service.call("LogCache.ResetSubscription", "root", request)).messages
        assert not answer.subscription.partitions, "the mode says"

    serving(tmp_path, EVERYTHING, test)
