"""Whose retention is which, and what somebody has still to read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from cachesvc.model import Mode, PartitionId, TopicId
from cachesvc.policy.retention import RetentionClock, RetentionRule
from cachesvc.policy.size_limits import Protection, SizeLimits
from cachesvc.store.mining_ports import NO_OWN_RETENTION, OwnRetention
from cachesvc.store.ports import SubscriptionRecord
from cachesvc.subscriptions.retention import Retention, TopicSize, Unread
from cachesvc.subscriptions.subscriber import Subscriber
from cachesvc.subscriptions.subscriptions import Subscription
from tests.support.frames import ORDERS

FIRST, SECOND, THIRD = (
    TopicId("main", "orders", incarnation).partition(0) for incarnation in (1, 2, 3)
)
ELSEWHERE = PartitionId("spare", "orders", 1, 0)


def test_a_mining_task_may_have_an_age_of_its_own() -> None:
    own = {"shop": OwnRetention(7.0)}
    retention = Retention(RetentionClock.MINED, 100.0, None, defaulting(own))
    assert retention.rule("shop") == RetentionRule(RetentionClock.MINED, 7_000, 7_000)
    assert retention.rule("main") == RetentionRule(RetentionClock.MINED, 100_000, 100_000)
    own["shop"] = OwnRetention(8.5)
    assert retention.rule("shop").age_ms == 8_500, "as it is now"


def test_what_is_unread_may_stay_for_a_time_of_its_own() -> None:
    own = {"shop": OwnRetention(7.0)}
    retention = Retention(RetentionClock.RECORD, 100.0, 500.0, defaulting(own))
    assert retention.rule("shop") == RetentionRule(RetentionClock.RECORD, 7_000, 500_000)


def test_limits_of_size_are_the_tasks_or_the_services() -> None:
    own = {"shop": OwnRetention(7.0, records_max=5)}
    retention = Retention(
        RetentionClock.MINED, 100.0, None, defaulting(own), TopicSize(1_000, 2_000)
    )
    assert retention.limits("shop") == SizeLimits(1_000, 5)
    assert retention.limits("main") == SizeLimits(1_000, 2_000)
    own["shop"] = OwnRetention(bytes_max=9)
    assert retention.limits("shop") == SizeLimits(9, 2_000)


@pytest.mark.parametrize(
    ("unread_s", "unread_bytes_max", "expected"),
    [
        (None, None, None),
        (500.0, None, Protection(500_000, None)),
        (None, 70, Protection(100_000, 70)),
        (500.0, 70, Protection(500_000, 70)),
    ],
)
def test_one_limit_of_its_own_protects_what_is_unread(
    unread_s: float | None, unread_bytes_max: int | None, expected: Protection | None
) -> None:
    size = TopicSize(unread_bytes_max=unread_bytes_max)
    retention = Retention(RetentionClock.MINED, 100.0, unread_s, size=size)
    assert retention.limits("main") == SizeLimits(None, None, expected)


def defaulting(own: Mapping[str, OwnRetention]) -> Callable[[str], OwnRetention]:
    return lambda connection: own.get(connection, NO_OWN_RETENTION)


def subscription(
    positions: Mapping[PartitionId, int], delivered: Mapping[PartitionId, int] | None = None
) -> Subscription:
    """With these positions stored; with a stream that has come so far, if it has one."""
    record = SubscriptionRecord("s", "main", ("orders",), "", Mode.FULL, 1, False, 1)
    found = Subscription(record, dict(positions))
    if delivered is not None:
        found.subscriber = Subscriber(1, delivered=dict(delivered))
    return found


@pytest.mark.parametrize(
    ("stored", "delivered", "lowest"),
    [
        # Nobody, or somebody of whom nothing is known.
        ([], [], {FIRST: None}),
        ([{}], [None], {FIRST: None}),
        # Whoever is behind counts.
        ([{FIRST: 7}, {FIRST: 3}], [None, None], {FIRST: 3, ELSEWHERE: None}),
        # What was delivered and not committed comes again.
        ([{FIRST: 7}], [{FIRST: 9}], {FIRST: 7}),
        ([{}], [{FIRST: 9}], {FIRST: 0}),
        ([{FIRST: 7}, {}], [None, {FIRST: 9}], {FIRST: 0}),
        # A later incarnation is read from its begin; whoever has come to it is through with those
        # before.
        ([{FIRST: 7}], [None], {FIRST: 7, SECOND: 0, THIRD: 0}),
        ([{FIRST: 7, SECOND: 5}], [None], {FIRST: None, SECOND: 5, THIRD: 0}),
        ([{}], [{FIRST: 7, SECOND: 5}], {FIRST: 0, SECOND: 0}),
        ([{SECOND: 5}], [{FIRST: 7, SECOND: 8}], {FIRST: None, SECOND: 5}),
    ],
)
def test_what_somebody_has_still_to_read(
    stored: Sequence[Mapping[PartitionId, int]],
    delivered: Sequence[Mapping[PartitionId, int] | None],
    lowest: Mapping[PartitionId, int | None],
) -> None:
    async def run() -> None:
        subscriptions = [subscription(*each) for each in zip(stored, delivered, strict=True)]
        unread = Unread(subscriptions)
        assert {partition: unread.lowest(partition) for partition in lowest} == lowest

    asyncio.run(run())
    assert FIRST == ORDERS
