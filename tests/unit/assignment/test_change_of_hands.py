"""Topics that go from one reader to another."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cachesvc.errors import Superseded
from cachesvc.model import TopicId
from cachesvc.policy.spacing import fetch_spacing_ms
from tests.unit.assignment.plans import TIMEOUT_S, Plan, epoch_of, in_plan
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import until


def test_every_change_of_hands_raises_the_epoch(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.want("orders")
        topic = TopicId("main", "orders")
        for epoch in (1, 2, 3):
            reader = plan.join(f"reader-{epoch}")
            await plan.settled("orders")
            assert epoch_of(reader, "orders") == epoch
            plan.assignments.epochs.check(topic, epoch)
            for stale in (0, epoch - 1, epoch + 1):
                with pytest.raises(Superseded) as caught:
                    plan.assignments.epochs.check(topic, stale)
                assert caught.value.reason == "STALE_EPOCH"
            plan.assignments.leave(reader)
            plan.assignments.leave(reader)
            assert reader.assigned == {}
            await plan.settled()

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_nobody_appends_to_a_topic_that_nobody_has(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("orders")
        await plan.settled("orders")
        plan.assignments.leave(reader)
        topic = TopicId("main", "orders")

        def refused() -> bool:
            try:
                plan.assignments.epochs.check(topic, 1)
            except Superseded:
                return True
            return False

        await until(refused)
        with pytest.raises(Superseded):
            plan.assignments.epochs.check(TopicId("main", "never"), 0)

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_epochs_rise_over_restarts(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.want("orders")
        reader = plan.join("one")
        await plan.settled("orders")
        epochs.append(epoch_of(reader, "orders"))

    epochs: list[int] = []
    for _ in range(3):
        in_plan(tmp_path, FakeLookup(orders=1), test)
    assert epochs == [1, 2, 3]


def test_the_topics_of_a_reader_that_leaves_go_to_another(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        one, two = plan.join("one"), plan.join("two")
        await plan.want("a", "b")
        owners = await plan.settled("a", "b")
        mine = next(topic for topic, name in owners.items() if name == "two")
        two.changed.clear()
        plan.assignments.leave(one)
        assert one.changed.is_set()
        assert not plan.assignments.joined(one)
        await until(lambda: set(two.assigned) == {"a", "b"})
        assert epoch_of(two, mine) == 1  # what did not change hands keeps its epoch
        assert sorted(assigned.epoch for assigned in two.assigned.values()) == [1, 2]
        assert two.changed.is_set()

    in_plan(tmp_path, FakeLookup(a=1, b=1), test)


def test_a_reader_that_joins_again_replaces_itself(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        older = plan.join("one", pid=1)
        await plan.want("orders")
        await plan.settled("orders")
        older.changed.clear()
        newer = plan.join("one", pid=2)
        assert older.changed.is_set()
        assert (older.assigned, plan.assignments.joined(older)) == ({}, False)
        await until(lambda: "orders" in newer.assigned)
        assert epoch_of(newer, "orders") == 2
        plan.assignments.leave(older)  # the older stream ends only now
        assert plan.assignments.joined(newer)
        assert plan.owners() == {"orders": "one"}

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_a_silent_reader_loses_its_topics(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        silent, lively = plan.join("silent", pid=11), plan.join("lively", pid=12)
        await plan.want("a", "b")
        await plan.settled("a", "b")
        silent.heard_s = time.monotonic() - 2 * TIMEOUT_S

        await until(lambda: set(lively.assigned) == {"a", "b"})
        assert plan.silent == [11]
        assert not plan.assignments.joined(silent)

    in_plan(tmp_path, FakeLookup(a=1, b=1), test)


def test_more_streams_make_readers_fetch_less_often(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        for number in range(7):
            await plan.want("orders", name=f"copy-{number}")
        await plan.want("items", name="elsewhere", connection="spare")
        assert fetch_spacing_ms(7) > fetch_spacing_ms(0)
        await until(lambda: reader.fetch_spacing_ms == fetch_spacing_ms(7))
        await plan.settled("orders")
        reader.changed.clear()
        for subscription in plan.subscriptions.all():
            assert subscription.subscriber is not None
            plan.subscriptions.leave(subscription, subscription.subscriber)
        await until(lambda: reader.fetch_spacing_ms == fetch_spacing_ms(0))
        assert reader.changed.is_set()

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_a_silent_reader_is_found_however_busy_planning_is(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        silent = plan.join("silent", pid=11)
        silent.heard_s = time.monotonic() - 2 * TIMEOUT_S

        def busy() -> bool:
            plan.assignments.plan_again()
            return bool(plan.silent)

        await until(busy)

    in_plan(tmp_path, FakeLookup(a=1), test)
