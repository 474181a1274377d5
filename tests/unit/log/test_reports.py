"""What readers say, and what comes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cachesvc.errors import SourceUnreachable
from cachesvc.model import MiningState
from tests.support.frames import ORDERS, full_frame
from tests.unit.log.lookups import FakeLookup
from tests.unit.log.plans import TIMEOUT_S, Plan, in_plan
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
        await plan.assignments.enter(plan.source, ["orders"])
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
