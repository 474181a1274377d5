"""Which cluster the logs of a connection are of, and what becomes of them with another one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cachesvc.errors import PreconditionFailed, SourceChanged
from cachesvc.model import GapCause, TopicId
from cachesvc.policy.cluster_identity import ForeignAddress
from tests.support.frames import full_frame
from tests.unit.assignment.plans import Plan, planning
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import until

OURS, THEIRS = {"a:1": "ours"}, {"a:1": "theirs"}
ORDERS, ITEMS = TopicId("main", "orders"), TopicId("main", "items")


def play(path: Path, lookup: FakeLookup, test: Callable[[Plan], Awaitable[None]]) -> None:
    async def run() -> None:
        async with planning(path, lookup) as plan:
            await test(plan)

    asyncio.run(run())


def at(addresses: dict[str, str], **topics: int) -> FakeLookup:
    lookup = FakeLookup(**topics)
    lookup.cluster = dict(addresses)
    return lookup


async def mine(plan: Plan, topic: TopicId, records: int) -> None:
    """Has a topic of one partition assigned to the only reader, and mines some records."""
    await plan.want(topic.topic, name=topic.topic)
    await until(lambda: topic.topic in plan.owners())
    log = plan.store.get(topic.partition(0))
    assert log is not None
    await plan.store.writer.accept(log, full_frame(0, records))


async def stands(plan: Plan, topic: TopicId) -> None:
    """Waits until a reader has this incarnation of a topic."""
    await until(
        lambda: any(
            (found := reader.assigned.get(topic.topic)) is not None and found.topic == topic
            for reader in plan.assignments.readers()
        )
    )


def test_the_first_cluster_is_kept_and_no_other_one_is_believed(tmp_path: Path) -> None:
    async def first(plan: Plan) -> None:
        await plan.sources.look(plan.source)
        reader = plan.join("reader")
        await mine(plan, ORDERS, 10)
        assert reader.cluster_id == "ours"
        assert plan.store.incarnations.present("main", "orders").cluster_id == "ours"

    async def later(plan: Plan) -> None:
        assert plan.store.incarnations.cluster_of("main") == "ours"
        with pytest.raises(SourceChanged):
            await plan.sources.look(plan.source)
        assert plan.source.error_reason == "SOURCE_CHANGED"
        plan.join("reader")
        await plan.want("new")
        await asyncio.sleep(0.05)
        assert plan.store.get(TopicId("main", "new").partition(0)) is None
        # The right address among them is enough.
        plan.lookup.cluster = {**THEIRS, "b:1": "ours"}
        await plan.sources.look(plan.source)
        await plan.sources.try_addresses(plan.source)
        assert plan.source.error == ""
        assert plan.source.foreign == (ForeignAddress("a:1", "theirs"),)

    play(tmp_path, at(OURS, orders=1), first)
    play(tmp_path, at(THEIRS, orders=1, new=1), later)


def test_an_accepted_cluster_begins_the_next_incarnation_of_every_topic_that_it_has(
    tmp_path: Path,
) -> None:
    async def test(plan: Plan) -> None:
        await plan.sources.look(plan.source)
        reader = plan.join("reader")
        await mine(plan, ORDERS, 10)
        await mine(plan, ITEMS, 5)
        plan.lookup.cluster = dict(THEIRS)
        plan.lookup.topics = {"orders": (0,), "fresh": (0,)}
        assert await plan.sources.accept(plan.source, "") == "ours"
        await plan.sources.look(plan.source)
        second = TopicId("main", "orders", 2)
        await stands(plan, second)
        incarnation = plan.store.incarnations.present("main", "orders")
        assert (incarnation.cause, incarnation.cluster_id) == (GapCause.SOURCE_CHANGED, "theirs")
        before = plan.store.get(ORDERS.partition(0))
        assert before is not None
        assert before.ended_by is GapCause.SOURCE_CHANGED
        assert before.log_end_offset == 10
        assert reader.cluster_id == "theirs"
        # What the accepted cluster does not have is not mined from it.
        assert set(plan.owners()) == {"orders"}
        assert plan.store.topic_id("main", "items") == ITEMS
        # A topic that was never mined before has no incarnation before.
        await mine(plan, TopicId("main", "fresh"), 3)
        assert plan.store.incarnations.present("main", "fresh").cause is None
        # One that comes later goes on where its own incarnation begins.
        plan.lookup.topics["items"] = (0,)
        await plan.sources.look(plan.source)
        await stands(plan, TopicId("main", "items", 2))
        assert await plan.sources.accept(plan.source, "theirs") == "theirs"
        assert plan.store.topic_id("main", "orders") == second

    play(tmp_path, at(OURS, orders=1, items=1), test)


def test_an_acceptance_outlives_a_crash_before_anything_came_of_it(tmp_path: Path) -> None:
    async def first(plan: Plan) -> None:
        await plan.sources.look(plan.source)
        plan.join("reader")
        await mine(plan, ORDERS, 10)
        await plan.store.incarnations.accept_cluster("main", "theirs")

    async def later(plan: Plan) -> None:
        await plan.sources.look(plan.source)
        plan.join("reader")
        await plan.want("orders", name="orders")
        await stands(plan, TopicId("main", "orders", 2))

    play(tmp_path, at(OURS, orders=1), first)
    play(tmp_path, at(THEIRS, orders=1), later)


def test_nothing_is_assigned_of_an_incarnation_of_another_cluster(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.sources.look(plan.source)
        reader = plan.join("reader")
        await mine(plan, ORDERS, 10)
        plan.lookup.cluster = dict(THEIRS)
        await plan.sources.accept(plan.source, "")
        # The accepted cluster was not looked at yet: nobody knows what it has.
        await until(lambda: not reader.assigned)
        assert plan.store.topic_id("main", "orders") == ORDERS
        await plan.sources.look(plan.source)
        await stands(plan, TopicId("main", "orders", 2))

    play(tmp_path, at(OURS, orders=1), test)


def test_which_cluster_is_accepted_has_to_be_clear(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.sources.look(plan.source)
        plan.lookup.cluster = {**THEIRS, "b:1": "ours"}
        with pytest.raises(PreconditionFailed) as refused:
            await plan.sources.accept(plan.source, "")
        assert refused.value.reason == "CLUSTER_AMBIGUOUS"
        assert plan.store.incarnations.cluster_of("main") == "ours"

    play(tmp_path, at(OURS, orders=1), test)


def test_a_cluster_without_an_id_is_mined_and_may_get_one(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.sources.look(plan.source)
        reader = plan.join("reader")
        await mine(plan, ORDERS, 10)
        assert (reader.cluster_id, plan.store.incarnations.cluster_of("main")) == ("", "")
        plan.lookup.cluster = dict(OURS)
        await plan.sources.look(plan.source)
        plan.assignments.plan_again()
        await until(lambda: reader.cluster_id == "ours")
        assert set(plan.owners()) == {"orders"}
        assert plan.store.topic_id("main", "orders") == ORDERS
        # What was mined before it had one is its own all the same.
        plan.lookup.cluster = dict(THEIRS)
        await plan.sources.accept(plan.source, "")
        await plan.sources.look(plan.source)
        await stands(plan, TopicId("main", "orders", 2))

    play(tmp_path, at({"a:1": ""}, orders=1), test)


@pytest.mark.parametrize("same", [True, False])
def test_logs_that_are_older_than_the_knowledge_of_their_cluster(
    tmp_path: Path, same: bool
) -> None:
    async def first(plan: Plan) -> None:
        plan.lookup.ids = {"orders": "1", "items": "2"}
        await plan.sources.look(plan.source)
        plan.join("reader")
        await mine(plan, ORDERS, 10)
        await mine(plan, ITEMS, 10)

    async def later(plan: Plan) -> None:
        plan.lookup.ids = {"orders": "8", "items": "2" if same else "9"}
        if same:
            await plan.sources.look(plan.source)
        else:
            # The first address leads to a cluster all of whose topics are others.
            with pytest.raises(SourceChanged):
                await plan.sources.look(plan.source)
        assert plan.store.incarnations.cluster_of("main") == ("theirs" if same else "")

    play(tmp_path, at({"a:1": ""}, orders=1, items=1), first)
    play(tmp_path, at(THEIRS, orders=1, items=1), later)
