from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from cachesvc.assignment.readers import Assigned
from cachesvc.assignment.resuming import resume_offsets
from cachesvc.errors import NotFound, PreconditionFailed, SourceUnreachable
from cachesvc.model import TopicId
from cachesvc.request_ids import working_for
from cachesvc.store.catalogue import DuckDBCatalogue
from tests.support.frames import ORDERS, full_frame
from tests.unit.assignment.plans import TIMEOUT_S, Plan, epoch_of, in_plan
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import append, until


def test_topics_are_needed_as_long_as_somebody_wants_them(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        assert plan.assignments.needed(plan.source) == set()
        await plan.want("orders", "unknown")
        await plan.want(name="wild", expression="i.*")
        assert plan.assignments.needed(plan.source) == {"orders", "items", "invoices"}
        await plan.subscriptions.delete("wild")
        assert plan.assignments.needed(plan.source) == {"orders"}

    in_plan(tmp_path, FakeLookup(orders=1, items=1, invoices=1, other=1), test)


def test_a_needed_topic_is_given_to_the_reader_that_is_there(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("orders")
        assert await plan.settled("orders") == {"orders": "one"}
        assert reader.assigned["orders"] == Assigned(TopicId("main", "orders"), 1, (0, 1))
        assert reader.changed.is_set()
        assert [log.id.partition for log in plan.store.all()] == [0, 1]

    in_plan(tmp_path, FakeLookup(orders=2), test)


def test_a_reader_is_told_for_which_call_its_assignment_has_changed(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        with working_for("order-4711"):
            await plan.want("orders")
        await plan.settled("orders")
        assert reader.told_for == "order-4711"
        await plan.want("items", name="others")
        await plan.settled("orders", "items")
        assert not reader.told_for

    in_plan(tmp_path, FakeLookup(orders=2, items=1), test)


def test_a_new_log_begins_where_the_source_begins(tmp_path: Path) -> None:
    lookup = FakeLookup(orders=2)
    lookup.earliest = {("orders", 0): 100, ("orders", 1): 0}

    async def test(plan: Plan) -> None:
        plan.join("one")
        await plan.want("orders")
        await plan.settled("orders")
        assert [log.log_start_offset for log in plan.store.all()] == [100, 0]

    in_plan(tmp_path, lookup, test)


def test_topics_are_spread_over_readers(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.join("one")
        plan.join("two")
        await plan.want(expression=".*")
        owners = await plan.settled("a", "b", "c", "d")
        assert sorted(owners.values()) == ["one", "one", "two", "two"]

    in_plan(tmp_path, FakeLookup(a=1, b=1, c=1, d=1), test)


def test_a_connection_may_name_the_only_reader(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.source.agent = "two"
        one = plan.join("one")
        await plan.want("orders", "items")
        plan.join("two")
        assert await plan.settled("orders", "items") == {"orders": "two", "items": "two"}
        plan.source.agent = "one"
        plan.assignments.plan_again()
        await until(lambda: set(one.assigned) == {"orders", "items"})
        assert epoch_of(one, "orders") == 2
        assert plan.owners() == {"orders": "one", "items": "one"}

    in_plan(tmp_path, FakeLookup(orders=1, items=1), test)


def test_dismissed_readers_lose_their_topics_until_they_join_again(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        one, two = plan.join("one"), plan.join("two")
        await plan.want("orders")
        await plan.settled("orders")
        plan.assignments.dismiss("spare")
        assert plan.assignments.readers() == [one, two]
        plan.assignments.dismiss("main")
        assert plan.assignments.readers() == []
        assert not one.assigned and not two.assigned
        assert one.changed.is_set()
        plan.join("one")
        assert await plan.settled("orders") == {"orders": "one"}

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_nothing_is_needed_of_a_connection_that_is_not_mined(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("orders")
        await plan.settled("orders")
        plan.source.log_caching = False
        assert plan.assignments.needed(plan.source) == set()
        plan.assignments.plan_again()
        await until(lambda: not reader.assigned)

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_who_starts_readers_is_told_of_what_is_to_be_mined(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        told: list[str] = []
        plan.assignments.on_needed = told.append
        await plan.commands.stop("main")
        await plan.want("orders")
        await until(lambda: "orders" in plan.tasks.get("main").topics)
        await asyncio.sleep(0)
        assert told == [], "its task is stopped"
        await plan.commands.start("main")
        await until(lambda: bool(told))
        assert set(told) == {"main"}
        plan.join("one")
        await plan.settled("orders")

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_a_reader_of_an_unknown_connection_is_refused(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        with pytest.raises(NotFound):
            plan.assignments.join("one", "other", 1)
        assert plan.assignments.readers("other") == []

    in_plan(tmp_path, FakeLookup(), test)


def test_new_partitions_go_to_the_reader_under_the_same_epoch(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("orders")
        await plan.settled("orders")
        reader.changed.clear()
        plan.lookup.topics["orders"] = (0, 1, 2)
        await plan.sources.look(plan.source)
        await until(lambda: reader.assigned["orders"].partitions == (0, 1, 2))
        assert epoch_of(reader, "orders") == 1
        assert reader.changed.is_set()
        assert len(plan.store.all()) == 3

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_while_the_source_is_away_known_topics_are_mined_on(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.want("orders")
        plan.join("one")
        await plan.settled("orders")
        plan.lookup.reachable = False
        await plan.want("items", name="more")
        with pytest.raises(SourceUnreachable):
            await plan.assignments.create_logs(plan.source, ["items"])
        plan.join("one", pid=2)
        assert await plan.settled("orders") == {"orders": "one"}
        plan.lookup.reachable = True
        await plan.settled("orders", "items")

    in_plan(tmp_path, FakeLookup(orders=1, items=1), test)


def test_a_cluster_that_does_not_answer_keeps_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        asked.append("asked")
        await asyncio.Event().wait()

    asked: list[str] = []

    async def test(plan: Plan) -> None:
        monkeypatch.setattr(plan.source.lookup, "earliest_offsets", never)
        plan.join("one")
        silent = plan.join("two", pid=11)
        await plan.want("orders")
        await until(lambda: bool(asked))
        other = plan.join("three", connection="spare")
        await plan.sources.look(plan.spare)
        await plan.want("items", name="more", connection="spare")
        await until(lambda: "items" in other.assigned)
        silent.heard_s = time.monotonic() - 2 * TIMEOUT_S
        await until(lambda: plan.silent == [11])

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_a_new_partition_is_no_pause_for_the_others(
    tmp_path: Path,
) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("orders")
        await plan.settled("orders")
        plan.lookup.topics["orders"] = (0, 1)
        await plan.sources.look(plan.source)
        plan.lookup.reachable = False
        await until(lambda: plan.lookup.calls.count("earliest_offsets") >= 3)
        assert reader.assigned["orders"].partitions == (0,)
        plan.lookup.reachable = True
        await until(lambda: reader.assigned["orders"].partitions == (0, 1))
        assert epoch_of(reader, "orders") == 1

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_planning_outlives_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        failures.append("failed")
        raise PreconditionFailed("no space", reason="STORE_WRITE_FAILED")

    failures: list[str] = []

    async def test(plan: Plan) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(DuckDBCatalogue, "raise_epochs", fail)
            reader = plan.join("one")
            await plan.want("orders")
            await until(lambda: len(failures) >= 2)
            assert reader.assigned == {}
        await plan.settled("orders")

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_entering_asks_the_source_about_what_is_new_only(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        for _ in range(3):
            await plan.assignments.create_logs(plan.source, ["orders"])
        assert plan.lookup.calls == ["earliest_offsets"]
        await plan.assignments.create_logs(plan.source, ["unknown"])
        assert plan.lookup.calls == ["earliest_offsets"]

    in_plan(tmp_path, FakeLookup(orders=2), test)


def test_tells_where_mining_goes_on(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.assignments.create_logs(plan.source, ["orders"])
        log = plan.store.all()[0]
        await append(plan.store, log, [full_frame(0, 5)])
        assigned = Assigned(log.id.topic_id, 1, (0, 1, 2))
        assert resume_offsets(plan.store, assigned) == {0: 5, 1: -1, 2: -1}

    in_plan(tmp_path, FakeLookup(orders=2), test)


def test_counts_what_was_mined(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        for _ in range(2):
            plan.assignments.loads.count(ORDERS.topic_id, 10, 1_000, 1)
        counts = plan.assignments.loads.counts[ORDERS.topic_id]
        assert (counts.records, counts.bytes, counts.rejects) == (20, 2_000, 2)

    in_plan(tmp_path, FakeLookup(), test)


def test_at_the_end_every_reader_is_let_go(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        readers = [plan.join("one"), plan.join("two")]
        plan.assignments.end_all()
        assert plan.assignments.closing
        assert plan.assignments.readers() == []
        assert all(reader.changed.is_set() for reader in readers)

    in_plan(tmp_path, FakeLookup(), test)
