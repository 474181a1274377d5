"""Where a stream starts in incarnations of topics that are over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cachesvc.model import GapCause, Mode, PartitionId, TopicIncarnation
from cachesvc.policy.incarnations import next_incarnation
from cachesvc.serving.convert import NamedOffset, StartRequest
from cachesvc.serving.starts import Starts
from cachesvc.store.ports import SubscriptionRecord, TopicEntry
from cachesvc.subscriptions.subscriptions import Subscription
from tests.support.frames import ORDERS
from tests.unit.clusters.lookups import FakeLookup, source
from tests.unit.log.running import ensure, running

TOPIC = ORDERS.topic_id
OTHER = TOPIC.partition(ORDERS.partition + 1)
NEXT = next_incarnation(TOPIC)
STORED = {ORDERS: 40, OTHER: 50}


def named(partition: PartitionId, offset: int, incarnation: int = 0) -> StartRequest:
    name = partition.topic, partition.partition
    return StartRequest(positions={name: NamedOffset(offset, incarnation)})


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (StartRequest(), STORED),
        # Where one position is given, the others go on where they are stored.
        (named(OTHER, 60, 1), {ORDERS: 40, OTHER: 60}),
        (named(OTHER, 7, 2), {ORDERS: 40, NEXT.partition(OTHER.partition): 7}),
        (
            StartRequest(earliest=True),
            {NEXT.partition(ORDERS.partition): 0, NEXT.partition(OTHER.partition): 0},
        ),
    ],
)
def test_a_stored_position_counts_whatever_incarnation_it_is_of(
    tmp_path: Path, start: StartRequest, expected: dict[PartitionId, int]
) -> None:
    async def body() -> None:
        async with running(tmp_path) as store:
            for partition in STORED:
                await ensure(store, partition, 0)
            incarnation = TopicIncarnation(NEXT, "", GapCause.TOPIC_RECREATED)
            begins = {NEXT.partition(partition.partition): 0 for partition in STORED}
            await store.changes.create(TopicEntry([incarnation], begins))
            record = SubscriptionRecord("task", "main", (), "", Mode.INCREMENTAL, 1, False, 1)
            subscription = Subscription(record, dict(STORED))
            starts = Starts(store, source(FakeLookup(orders=2)))
            logs = store.present("main", TOPIC.topic)
            found = await starts.resolve(logs, Mode.INCREMENTAL, start, subscription)
            assert found.positions == expected

    asyncio.run(body())
