"""What readers say, and what comes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from cachesvc.assignment.reports import Death
from cachesvc.errors import SourceUnreachable
from cachesvc.model import MiningState
from cachesvc.policy.blocking import ALONE_DEATHS_MAX, Blockage, BlockReason
from tests.support.frames import ORDERS, full_frame
from tests.unit.assignment.plans import TIMEOUT_S, Plan, in_plan
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import append, until


def test_a_reader_that_does_not_reach_the_brokers_loses_its_topics(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        cut_off, other = plan.join("cut-off"), plan.join("other")
        await plan.want("a", "b")
        await plan.settled("a", "b")
        plan.assignments.reports.note_way(cut_off, "no broker answers")
        assert plan.source.refresh_wanted.is_set()
        assert len(cut_off.assigned) == 1, "it may be over soon"
        await until(lambda: set(other.assigned) == {"a", "b"})
        assert plan.assignments.joined(cut_off)
        plan.assignments.reports.note_way(cut_off, "")
        plan.assignments.plan_again()
        await until(lambda: len(cut_off.assigned) == 1)

    in_plan(tmp_path, FakeLookup(a=1, b=1), test)


def test_nothing_moves_while_the_brokers_do_not_answer_the_service_either(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        cut_off, other = plan.join("cut-off"), plan.join("other")
        await plan.want("a", "b")
        before = await plan.settled("a", "b")
        plan.lookup.reachable = False
        with pytest.raises(SourceUnreachable):
            await plan.sources.look(plan.source)
        plan.assignments.reports.note_way(cut_off, "no broker answers")
        await asyncio.sleep(2 * TIMEOUT_S)
        assert plan.owners() == before
        plan.lookup.reachable = True
        await plan.sources.look(plan.source)
        await until(lambda: set(other.assigned) == {"a", "b"})

    in_plan(tmp_path, FakeLookup(a=1, b=1), test)


def test_reports_reach_whom_they_concern(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.assignments.create_logs(plan.source, ["orders"])
        log = plan.store.all()[0]
        told: list[str] = []
        log.subscribe(lambda: told.append("changed"))
        report = plan.assignments.reports.note
        report(ORDERS, 10, MiningState.MINING, "")
        assert (log.source.high_watermark, log.mining_lag, len(told)) == (10, 10, 1)
        report(ORDERS, 20, MiningState.MINING, "")
        assert (log.source.high_watermark, len(told)) == (20, 1)
        reader = plan.join("one")
        await plan.want("orders")
        await plan.settled("orders")
        told.clear()
        plan.assignments.reports.note_way(reader, "gone")
        assert (log.source.high_watermark, log.source.error, len(told)) == (20, "gone", 1)
        report(ORDERS.topic_id.partition(9), 1, MiningState.MINING, "")
        await append(plan.store, log, [full_frame(0, 50)])
        report(ORDERS, 30, MiningState.MINING, "")
        assert (log.source.high_watermark, log.mining_lag) == (50, 0)

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_a_topic_that_nobody_has_is_idle(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.join("one")
        await plan.want("orders")
        await plan.settled("orders")
        (log,) = plan.store.all()
        plan.assignments.reports.note(ORDERS, 10, MiningState.BLOCKED, "at offset 3")
        await plan.subscriptions.delete("copies")
        await until(lambda: log.source.state is MiningState.IDLE)
        assert log.source.error == ""

    in_plan(tmp_path, FakeLookup(orders=1), test)


def test_a_partition_at_which_readers_die_is_kept_from_them_until_it_is_tried_again(
    tmp_path: Path,
) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("a")
        await until(lambda: "a" in reader.assigned)
        assert reader.assigned["a"].partitions == (0, 1)
        deadly = reader.assigned["a"].topic.partition(1)
        reports, epoch = plan.assignments.reports, reader.assigned["a"].epoch
        for _ in range(ALONE_DEATHS_MAX):
            await reports.note_deaths([Death(deadly, -1, 500, 9, alone=True)])
        plan.assignments.plan_again()
        await until(lambda: reader.assigned["a"].partitions == (0,))
        log = plan.store.get(deadly)
        assert log is not None
        await until(lambda: log.source.state is MiningState.BLOCKED)
        assert "READER_DIED" in log.source.error
        assert log.source.trouble is not None
        # What the reader said before it knew counts no more.
        assert not reports.note_blockage(deadly, None)

        await plan.assignments.blocked.retry(deadly.connection, "a", 1)
        await until(lambda: reader.assigned["a"].partitions == (0, 1))
        assert reader.assigned["a"].attempts == ((1, 1),)
        assert reader.assigned["a"].epoch == epoch
        reports.note(deadly, 9, MiningState.MINING, "")
        assert log.source.trouble is None

    in_plan(tmp_path, FakeLookup(a=2), test)


def test_a_death_where_everything_was_mined_since_is_none(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("a")
        await until(lambda: "a" in reader.assigned)
        partition = reader.assigned["a"].topic.partition(0)
        log = plan.store.get(partition)
        assert log is not None
        await append(plan.store, log, [full_frame(0, 5)])
        for _ in range(ALONE_DEATHS_MAX):
            await plan.assignments.reports.note_deaths([Death(partition, 4, 1, 5, alone=True)])
        assert not plan.assignments.blocked.withheld(partition)
        for _ in range(ALONE_DEATHS_MAX):
            await plan.assignments.reports.note_deaths([Death(partition, 5, 1, 6, alone=True)])
        assert plan.assignments.blocked.withheld(partition)

    in_plan(tmp_path, FakeLookup(a=1), test)


def test_what_has_stopped_is_over_once_it_was_mined(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("one")
        await plan.want("a")
        await until(lambda: "a" in reader.assigned)
        partition = reader.assigned["a"].topic.partition(0)
        log = plan.store.get(partition)
        assert log is not None
        reports, blocked = plan.assignments.reports, plan.assignments.blocked
        bad = Blockage(BlockReason.UNDECODABLE, 3, 100, "damaged")
        assert reports.note_blockage(partition, bad)
        reports.note(partition, 9, MiningState.BLOCKED, bad.told("a", 0))
        assert log.source.trouble == blocked.of(partition)
        # An older range that has stopped as well does not take its place.
        reports.note_blockage(partition, replace(bad, offset=1))
        found = blocked.of(partition)
        assert found is not None
        assert found.blockage == bad
        reports.note_blockage(partition, None)
        assert blocked.of(partition) is found, "nothing was mined yet"
        await append(plan.store, log, [full_frame(0, 5)])
        reports.note_blockage(partition, None)
        assert blocked.of(partition) is None

    in_plan(tmp_path, FakeLookup(a=1), test)
