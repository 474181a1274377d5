from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cachesvc.assignment.resuming import resume_offsets
from cachesvc.errors import InvalidRequest, NotFound, PreconditionFailed
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import MiningStart, MiningState, Mode, StartKind
from cachesvc.policy.mining_task import TaskState, TopicState
from cachesvc.store.catalogue import DuckDBCatalogue
from cachesvc.store.mining_ports import OwnRetention
from cachesvc.subscriptions.subscriptions import SubscriptionSettings
from tests.support.frames import ORDERS, full_frame
from tests.unit.assignment.plans import Plan, epoch_of, in_plan
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import append, until

SETTINGS = SubscriptionSettings("copies", "main", ("orders",), "", Mode.INCREMENTAL)


def state_of(plan: Plan) -> TaskState:
    return plan.tasks.get("main").record.state


def topics_of(plan: Plan) -> dict[str, TopicState]:
    return {name: topic.state for name, topic in plan.tasks.get("main").topics.items()}


def log_of(plan: Plan, topic: str) -> PartitionLog:
    (log,) = [log for log in plan.store.all() if log.id.topic == topic]
    return log


async def mined(plan: Plan, *topics: str) -> None:
    """A reader has the topics and says that it mines them."""
    await plan.settled(*topics)
    for topic in topics:
        plan.assignments.reports.note(log_of(plan, topic).id, 10, MiningState.MINING, "")
    await until(lambda: set(topics_of(plan).values()) == {TopicState.MINING})


async def transitions(plan: Plan, topic: str = "") -> list[tuple[str, str, str]]:
    """What a task or topic went through: oldest first."""
    found = await plan.commands.history("main", topic, 100)
    return [(each.before, each.after, each.cause) for each in found[::-1] if each.topic == topic]


def test_the_first_subscription_makes_the_task(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.join("one")
        await plan.sources.look(plan.source)
        assert plan.tasks.all() == []
        with pytest.raises(NotFound) as caught:
            plan.tasks.get("main")
        assert caught.value.reason == "UNKNOWN_MINING_TASK"
        await plan.want("orders")
        await mined(plan, "orders")
        assert plan.tasks.get("main").record.name == "main"
        assert state_of(plan) is TaskState.RUNNING
        assert await transitions(plan) == [
            ("WAITING", "RUNNING", "subscription 'copies' uses topic 'orders'")
        ]
        assert [(before, after) for before, after, _ in await transitions(plan, "orders")] == [
            ("LEFT", "STARTING"),
            ("STARTING", "MINING"),
        ]
        await plan.subscriptions.delete("copies")
        await until(lambda: state_of(plan) is TaskState.WAITING)
        assert topics_of(plan) == {}
        assert log_of(plan, "orders").source.state is MiningState.IDLE

    in_plan(tmp_path, FakeLookup(orders=1, other=1), test)


def test_a_stop_lasts_over_restarts_until_a_start(tmp_path: Path) -> None:
    async def stop(plan: Plan) -> None:
        plan.join("one")
        await plan.want("orders")
        await mined(plan, "orders")
        await plan.commands.stop("main")
        await plan.settled()
        log = log_of(plan, "orders")
        await until(lambda: log.source.state is MiningState.STOPPED)
        assert log.source.error == "an operator stopped the task"
        assert topics_of(plan) == {"orders": TopicState.STARTING}

    async def start(plan: Plan) -> None:
        plan.join("one")
        await plan.want("orders", "items")
        await until(lambda: "items" in topics_of(plan))
        assert state_of(plan) is TaskState.STOPPED
        assert plan.owners() == {}
        await until(lambda: log_of(plan, "orders").source.state is MiningState.STOPPED)
        await plan.commands.start("main")
        await mined(plan, "orders", "items")
        assert state_of(plan) is TaskState.RUNNING

    in_plan(tmp_path, FakeLookup(orders=1, items=1), stop)
    in_plan(tmp_path, FakeLookup(orders=1, items=1), start)


def test_one_topic_stops_and_the_others_go_on(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("orders", "items")
        await mined(plan, "orders", "items")
        await plan.commands.stop_topic("main", "orders")
        await plan.settled("items")
        assert epoch_of(reader, "items") == 1
        await until(lambda: log_of(plan, "orders").source.state is MiningState.STOPPED)
        assert log_of(plan, "orders").source.error == "an operator stopped the topic"
        assert log_of(plan, "items").source.state is MiningState.MINING
        assert state_of(plan) is TaskState.RUNNING
        await plan.subscriptions.delete("copies")
        await until(lambda: topics_of(plan) == {"orders": TopicState.STOPPED})
        await plan.want("orders", "items")
        await plan.settled("items")
        await plan.commands.start_topic("main", "orders")
        await plan.settled("items", "orders")
        assert epoch_of(reader, "orders") == 2

    in_plan(tmp_path, FakeLookup(orders=1, items=1), test)


def test_a_topic_that_nobody_uses_is_paused_until_somebody_does(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.join("one")
        subscription, subscriber = await plan.subscriptions.open(SETTINGS)
        await mined(plan, "orders")
        plan.subscriptions.leave(subscription, subscriber)
        assert plan.owners() == {"orders": "one"}
        await until(lambda: topics_of(plan) == {"orders": TopicState.PAUSED_IDLE})
        await plan.settled()
        log = log_of(plan, "orders")
        await until(lambda: log.source.state is MiningState.PAUSED)
        assert "no subscription has used it for 0.5 s" in log.source.error
        await plan.want("orders")
        await mined(plan, "orders")

    in_plan(tmp_path, FakeLookup(orders=1), test, idle_s=0.5)


def test_a_commit_is_a_use(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.join("one")
        subscription, subscriber = await plan.subscriptions.open(SETTINGS)
        await mined(plan, "orders")
        plan.subscriptions.leave(subscription, subscriber)
        subscriber.delivered[ORDERS] = 1_000
        for offset in range(6):
            before_ms = plan.tasks.get("main").topics["orders"].used_ms
            await asyncio.sleep(0.002)  # uses are told apart by the millisecond
            await plan.subscriptions.commit("copies", subscriber.epoch, {ORDERS: offset})
            plan.assignments.plan_again()
            await until(
                lambda ms=before_ms: plan.tasks.get("main").topics["orders"].used_ms > ms  # type: ignore[misc]
            )
            assert topics_of(plan) == {"orders": TopicState.MINING}

    in_plan(tmp_path, FakeLookup(orders=1), test, idle_s=60.0)


def test_when_a_topic_was_used_is_known_after_a_restart(tmp_path: Path) -> None:
    async def use(plan: Plan) -> None:
        await plan.want("orders")
        await until(lambda: bool(plan.tasks.all()) and "orders" in topics_of(plan))
        await plan.commands.history("main", "", 1)  # all is written

    async def unused(plan: Plan) -> None:
        await until(lambda: topics_of(plan) == {"orders": TopicState.PAUSED_IDLE})

    in_plan(tmp_path, FakeLookup(orders=1), use, idle_s=0.4)
    in_plan(tmp_path, FakeLookup(orders=1), unused, idle_s=0.4)


def test_a_task_is_edited_while_it_is_stopped(tmp_path: Path) -> None:
    start, kept = MiningStart(StartKind.TIMESTAMP, 5), OwnRetention(60.0, bytes_max=9)

    async def edit(plan: Plan) -> None:
        await plan.commands.stop("main")
        await plan.commands.edit("main", name="shop", retention=kept, start=start)
        await plan.commands.edit("main", retention=OwnRetention(records_max=7))
        await plan.commands.edit("main")
        await plan.commands.start("main")
        for refused in ({"name": "more"}, {}):
            with pytest.raises(PreconditionFailed) as caught:
                await plan.commands.edit("main", **refused)  # type: ignore[arg-type]
            assert caught.value.reason == "MINING_TASK_NOT_STOPPED"

    async def look(plan: Plan) -> None:
        record = plan.tasks.get("main").record
        assert (record.name, record.start) == ("shop", start)
        assert plan.tasks.retention("main") == OwnRetention(60.0, 9, 7)
        assert plan.tasks.retention("other") == OwnRetention()
        await plan.commands.stop("main")
        await plan.commands.stop("other")
        with pytest.raises(InvalidRequest):
            await plan.commands.edit("other", name="shop")
        await plan.commands.edit("main", retention=OwnRetention(0, 0))
        assert plan.tasks.retention("main") == OwnRetention(records_max=7)

    in_plan(tmp_path, FakeLookup(), edit)
    in_plan(tmp_path, FakeLookup(), look)


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (MiningStart(), 100),
        (MiningStart(StartKind.NOW), 900),
        (MiningStart(StartKind.TIMESTAMP, 1), 500),
    ],
)
def test_mining_begins_where_the_task_says(tmp_path: Path, start: MiningStart, first: int) -> None:
    lookup = FakeLookup(orders=2)
    lookup.earliest = {("orders", 0): 100, ("orders", 1): 100}
    lookup.ends = {("orders", 0): 900, ("orders", 1): 900}
    lookup.times = {("orders", 0): 500}

    async def test(plan: Plan) -> None:
        await plan.commands.stop("main")
        await plan.commands.edit("main", start=start)
        await plan.commands.start("main")
        reader = plan.join("one")
        await plan.want("orders")
        await plan.settled("orders")
        logs = plan.store.all()
        second = 100 if start.kind is StartKind.EARLIEST else 900
        assert [log.log_start_offset for log in logs] == [first, second]
        earliest = start.kind is StartKind.EARLIEST
        resumed = resume_offsets(plan.store, reader.assigned["orders"])
        assert resumed == ({0: -1, 1: -1} if earliest else {0: first, 1: 900})
        await append(plan.store, logs[0], [full_frame(first, first + 5)])
        assert resume_offsets(plan.store, reader.assigned["orders"])[0] == first + 5

    in_plan(tmp_path, lookup, test)


def test_a_task_fails_with_all_of_its_topics_and_goes_on_with_one(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.join("one")
        await plan.want("orders", "items")
        await mined(plan, "orders", "items")
        report = plan.assignments.reports.note
        report(log_of(plan, "orders").id, None, MiningState.FAILED, "SOURCE_RETENTION: gone")
        await until(lambda: topics_of(plan)["orders"] is TopicState.FAILED)
        assert state_of(plan) is TaskState.RUNNING
        assert plan.tasks.get("main").topics["orders"].cause == "SOURCE_RETENTION: gone"
        report(log_of(plan, "items").id, None, MiningState.FAILED, "gone as well")
        await until(lambda: state_of(plan) is TaskState.FAILED)
        report(log_of(plan, "orders").id, 20, MiningState.MINING, "")
        await until(lambda: state_of(plan) is TaskState.RUNNING)

    in_plan(tmp_path, FakeLookup(orders=1, items=1), test)


def test_a_topic_waits_for_a_reader(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("orders")
        await mined(plan, "orders")
        plan.assignments.leave(reader)
        await until(lambda: topics_of(plan) == {"orders": TopicState.STARTING})
        await until(lambda: log_of(plan, "orders").source.state is MiningState.STARTING)
        assert log_of(plan, "orders").source.error == "no reader is there"
        plan.join("two")
        await until(lambda: plan.owners() == {"orders": "two"})
        await until(lambda: not log_of(plan, "orders").source.error)

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_pinned_topics(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        one, two = plan.join("one"), plan.join("two")
        pins = plan.mining.pins
        await plan.want("a", "b")
        owners = await plan.settled("a", "b")
        other = "two" if owners["a"] == "one" else "one"
        await pins.pin("main", "a", other, strict=False)
        await until(lambda: plan.owners() == {"a": other, "b": owners["a"]})
        plan.assignments.leave(two if other == "two" else one)
        await until(lambda: plan.owners() == {"a": owners["a"], "b": owners["a"]})
        plan.join(other)
        await until(lambda: plan.owners().get("a") == other)
        await pins.pin("main", "a", "three", strict=True)
        await plan.settled("b")
        await until(lambda: log_of(plan, "a").source.state is MiningState.STARTING)
        plan.join("three")
        await until(lambda: plan.owners().get("a") == "three")
        await pins.unpin("main", "a")
        assert pins.of("main") == {}

    async def after_a_restart(plan: Plan) -> None:
        assert plan.mining.pins.of("main") == {}

    in_plan(tmp_path, FakeLookup(a=1, b=1), test)
    in_plan(tmp_path, FakeLookup(a=1, b=1), after_a_restart)


def test_topics_move_when_loads_have_changed(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.join("one")
        plan.join("two")
        await plan.want("a", "b", "c", "d")
        owners = await plan.settled("a", "b", "c", "d")
        heavy = [topic for topic, reader in owners.items() if reader == "one"]

        def even() -> bool:
            for log in plan.store.all():
                size = 1_000_000 if log.id.topic in heavy else 1
                plan.assignments.loads.count(log.id.topic_id, 1, size, 0)
            return {plan.owners().get(topic) for topic in heavy} == {"one", "two"}

        await until(even)
        await plan.settled("a", "b", "c", "d")

    in_plan(tmp_path, FakeLookup(a=1, b=1, c=1, d=1), test)


def test_a_connection_that_was_deleted_leaves_no_task(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.commands.stop("main")
        await plan.commands.stop_topic("main", "orders")
        await plan.mining.pins.pin("main", "orders", "one", strict=True)
        await plan.mining.forget("main")
        assert plan.tasks.all() == []
        assert plan.mining.pins.of("main") == {}

    async def again(plan: Plan) -> None:
        assert plan.tasks.all() == []
        assert plan.mining.pins.of("main") == {}
        plan.join("one")
        await plan.want("orders")
        await mined(plan, "orders")

    in_plan(tmp_path, FakeLookup(orders=1), test)
    in_plan(tmp_path, FakeLookup(orders=1), again)


def test_an_operator_is_told_that_a_stop_was_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        failures.append("failed")
        raise PreconditionFailed("no space", reason="STORE_WRITE_FAILED")

    failures: list[str] = []

    async def test(plan: Plan) -> None:
        plan.join("one")
        await plan.want("orders")
        await mined(plan, "orders")
        with monkeypatch.context() as patch:
            patch.setattr(DuckDBCatalogue, "put_mining", fail)
            for command in (plan.commands.stop("main"), plan.commands.stop_topic("main", "orders")):
                with pytest.raises(PreconditionFailed):
                    await command
            plan.assignments.reports.note(
                log_of(plan, "orders").id, 10, MiningState.BLOCKED, "at 3"
            )
            await until(lambda: len(failures) >= 3)
        assert state_of(plan) is TaskState.RUNNING
        assert plan.owners() == {"orders": "one"}
        await until(lambda: topics_of(plan) == {"orders": TopicState.BLOCKED})
        assert (await transitions(plan, "orders"))[-1] == ("MINING", "BLOCKED", "at 3")

    in_plan(tmp_path, FakeLookup(orders=1), test)
