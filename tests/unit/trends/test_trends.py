from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cachesvc.model import Mode, PartitionId, TopicId
from cachesvc.policy.throughput import Tally
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscription import Subscription, SubscriptionSettings
from cachesvc.trends.measured import Measured
from cachesvc.trends.trends import Point, Trends
from cachesvc.watching.deliveries import Deliveries

PLACE = PartitionId("main", "orders", 1, 0)
ORDERS = PLACE.topic_id
QUIET = TopicId("main", "quiet", 1)


@dataclass
class Service:
    """What there is to measure; a test changes it, and has time go by."""

    mined: dict[TopicId, int] = field(default_factory=dict)
    logs: dict[str, list[Any]] = field(default_factory=dict)
    subscriptions: list[Subscription] = field(default_factory=list)
    deliveries: Deliveries = field(default_factory=Deliveries)
    now_s: float = 100.0

    def trends(self) -> Trends:
        store = SimpleNamespace(
            topic_id=lambda connection, name: TopicId(connection, name, 1),
            logs=SimpleNamespace(of_topic=lambda topic: self.logs.get(topic.topic, [])),
            get=lambda partition: next(iter(self.logs.get(partition.topic, [])), None),
        )
        found: Any = SimpleNamespace(
            store=store,
            sources=SimpleNamespace(all=lambda: [SimpleNamespace(name="main")]),
            assignments=SimpleNamespace(needed=lambda source: set(self.logs)),
            subscriptions=SimpleNamespace(all=lambda: self.subscriptions),
            watch=SimpleNamespace(topics=self.mined, since_start=lambda t: Tally(self.mined[t])),
            deliveries=self.deliveries,
        )
        return Trends(cast(Measured, found), lambda: self.now_s, lambda: round(self.now_s * 1000))


def told(points: Any) -> list[tuple[int, float | None, float, int | None]]:
    return [(p.at_ms // 1000, p.mined_per_s, p.sent_per_s, p.lag) for p in points]


def test_rates_are_those_since_the_point_before() -> None:
    service = Service(logs={"orders": [log_of(5), log_of(7)], "quiet": [log_of(0)]})
    trends = service.trends()

    async def body() -> None:
        for mined, sent, seconds in ((100, 50, 10), (100, 50, 5), (160, 500, 15)):
            service.now_s += seconds
            service.mined[ORDERS] = mined
            service.deliveries.by_topic[ORDERS].records = sent
            await trends.measure()

    asyncio.run(body())
    wanted = [(110, 10, 5, 12), (115, 0, 0, 12), (130, 4, 30, 12)]
    assert told(trends.topic(ORDERS)) == wanted
    assert told(trends.whole()) == told(trends.connection("main")) == wanted
    assert told(trends.whole(since_ms=115_000)) == wanted[1:]
    assert told(trends.topic(QUIET)) == [(110, 0, 0, 0), (115, 0, 0, 0), (130, 0, 0, 0)]


def test_a_lag_that_nobody_knows_is_none() -> None:
    service = Service(logs={"orders": [log_of(None)]})
    trends = service.trends()
    asyncio.run(trends.measure())
    assert told(trends.topic(ORDERS)) == [(100, 0, 0, None)]
    assert told(trends.whole()) == [(100, 0, 0, None)]
    service.logs["quiet"] = [log_of(3), log_of(None)]
    asyncio.run(trends.measure())
    assert [point.lag for point in trends.whole()] == [None, 3]


def test_a_subscription_from_stream_to_stream() -> None:
    service = Service(logs={"orders": [log_of(0, end=1_000)]})
    trends = service.trends()

    async def body() -> None:
        made = SubscriptionSettings("billing", "main", ("orders",), "", Mode.FULL)
        found = Subscription(made.record(1, 105_000))
        service.subscriptions = [found]
        for epoch, records, position in ((1, 100, 100), (2, 200, 300), (2, 300, 400)):
            if found.subscriber is None or found.subscriber.epoch != epoch:
                found.subscriber = Subscriber(epoch)
                found.connected = True
            found.subscriber.records = records
            found.positions = {PLACE: position}
            service.now_s += 10
            await trends.measure()
        found.connected = False
        service.now_s += 10
        await trends.measure()

    asyncio.run(body())
    assert list(trends.subscription("billing", 105_000)) == [
        Point(110_000, None, 10, 900),
        Point(120_000, None, 20, 700),
        Point(130_000, None, 10, 600),
        Point(140_000, None, 0, 600),
    ]
    since = [point.at_ms for point in trends.subscription("billing", 121_000)]
    assert since == [130_000, 140_000], "one of that name before was another"


def test_what_was_delivered_counts_where_nothing_is_stored() -> None:
    service = Service(logs={"orders": [log_of(0, end=50)]})
    trends = service.trends()

    async def body() -> None:
        made = SubscriptionSettings("tail", "main", ("orders",), "", Mode.INCREMENTAL)
        stream = Subscriber(1, delivered={PLACE: 20})
        service.subscriptions = [Subscription(made.record(1, 0), {}, stream, connected=True)]
        await trends.measure()

    asyncio.run(body())
    assert [point.lag for point in trends.subscription("tail", 0)] == [30]


def test_it_begins_soon_and_takes_a_hundredth_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = Service()
    trends = service.trends()
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 8:
            raise asyncio.CancelledError

    async def measure() -> None:
        service.now_s += 0.5 if len(waited) == 6 else 0.0

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(trends, "measure", measure)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(trends.run())
    assert waited == [1, 2, 4, 8, 15, 15, 50, 15]


def log_of(lag: int | None, end: int = 0) -> Any:
    return SimpleNamespace(mining_lag=lag, log_end_offset=end)
