import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cachesvc.assignment.blocked import BlockedPartitions
from cachesvc.errors import NotFound
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.model import PartitionId, TopicId
from cachesvc.policy.blocking import ALONE_DEATHS_MAX, Blockage, BlockReason
from cachesvc.store.memory_catalogue import MemoryCatalogue

ORDERS = TopicId("main", "orders")
P3 = ORDERS.partition(3)
P4 = ORDERS.partition(4)
BAD = Blockage(BlockReason.UNDECODABLE, 17, 500, "a checksum does not hold")


def play(scenario: Callable[[BlockedPartitions, CatalogueThread], Awaitable[None]]) -> None:
    thread = CatalogueThread(MemoryCatalogue)
    try:
        asyncio.run(_play(scenario, thread))
    finally:
        thread.close()


async def _play(
    scenario: Callable[[BlockedPartitions, CatalogueThread], Awaitable[None]],
    thread: CatalogueThread,
) -> None:
    await scenario(BlockedPartitions(thread), thread)


def die(blocked: BlockedPartitions, partition: PartitionId, times: int) -> None:
    for _ in range(times):
        blocked.died(partition, 17, 18, 500, alone=True)


def test_what_kills_readers_is_withheld_over_a_restart_in_between() -> None:
    async def scenario(blocked: BlockedPartitions, thread: CatalogueThread) -> None:
        die(blocked, P3, ALONE_DEATHS_MAX - 1)
        assert blocked.allowed(ORDERS, [3, 4]) == (3, 4)
        await blocked.write()

        blocked = BlockedPartitions(thread)
        die(blocked, P3, 1)
        await blocked.write()
        blocked = BlockedPartitions(thread)
        assert blocked.allowed(ORDERS, [3, 4]) == (4,)
        assert "offset 17 (500 bytes): READER_DIED" in blocked.withheld(P3)
        assert [partition for partition, _ in blocked.all()] == [P3]

    play(scenario)


def test_what_a_reader_has_stopped_stays_with_the_reader() -> None:
    async def scenario(blocked: BlockedPartitions, _: CatalogueThread) -> None:
        blocked.stopped(P3, BAD)
        assert blocked.allowed(ORDERS, [3]) == (3,)
        found = blocked.of(P3)
        assert found is not None
        assert found.blockage == BAD
        blocked.stopped(P3, BAD)
        assert blocked.of(P3) is found
        blocked.passed(P3)
        assert blocked.of(P3) is None

    play(scenario)


def test_a_retry_is_an_attempt_and_once_more_when_it_stops_again() -> None:
    async def scenario(blocked: BlockedPartitions, thread: CatalogueThread) -> None:
        changes: list[str] = []
        blocked.on_change = lambda: changes.append("changed")
        blocked.stopped(P3, BAD)
        die(blocked, P4, ALONE_DEATHS_MAX)
        retried = await blocked.retry("main", "orders", None)
        assert [partition for partition, _ in retried] == [P3, P4]
        assert blocked.allowed(ORDERS, [3, 4]) == (3, 4)
        assert blocked.attempts(ORDERS, [2, 3, 4]) == ((3, 1), (4, 1))
        assert (blocked.all(), changes) == ([], ["changed"])
        listed = thread.call_blocking(lambda port: port.troubles.list())
        assert not any(each.blocked for each in listed.values())

        die(blocked, P4, 1)
        blocked.stopped(P3, BAD)
        await blocked.retry("main", "orders", 4)
        assert blocked.attempts(ORDERS, [3, 4]) == ((3, 1), (4, 2))

    play(scenario)


@pytest.mark.parametrize("number", [None, 3])
def test_what_is_not_blocked_cannot_be_retried(number: int | None) -> None:
    async def scenario(blocked: BlockedPartitions, _: CatalogueThread) -> None:
        die(blocked, P3, 1)
        with pytest.raises(NotFound) as refused:
            await blocked.retry("main", "orders", number)
        assert refused.value.reason == "PARTITION_NOT_BLOCKED"

    play(scenario)


@pytest.mark.parametrize("incarnation", [True, False], ids=["incarnation", "connection"])
def test_what_is_over_is_forgotten(incarnation: bool) -> None:
    async def scenario(blocked: BlockedPartitions, thread: CatalogueThread) -> None:
        blocked.stopped(P3, BAD)
        await blocked.write()
        if incarnation:
            blocked.over(ORDERS)
        else:
            blocked.forget("main")
        await blocked.write()
        assert BlockedPartitions(thread).all() == []

    play(scenario)
