"""What becomes of a topic whose source has lost records that were mined."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from cachesvc.log.resuming import resume_offsets
from cachesvc.model import GapCause, MiningState, PartitionId, TopicId
from tests.support.frames import full_frame
from tests.unit.log.lookups import FakeLookup
from tests.unit.log.plans import Plan, planning
from tests.unit.log.running import until

FIRST, SECOND, THIRD = (TopicId("main", "orders", life) for life in (1, 2, 3))
TRUNCATED = GapCause.SOURCE_TRUNCATED.name


def play(path: Path, test: Callable[[Plan], Awaitable[None]]) -> None:
    """A topic with two partitions: 50 records of each were mined under epoch 4, then it grew."""

    async def run() -> None:
        lookup = FakeLookup(orders=2)
        lookup.ids = {"orders": "id"}
        async with planning(path, lookup) as plan:
            await plan.sources.look(plan.source)
            plan.join("reader")
            await plan.want("orders")
            await plan.settled("orders")
            for number in (0, 1):
                log = plan.store.get(FIRST.partition(number))
                assert log is not None
                await plan.store.writer.accept(log, full_frame(0, 50), 4)
                lookup.ends["orders", number] = 80
            await test(plan)

    asyncio.run(run())


def lost(plan: Plan, *partitions: PartitionId) -> None:
    for partition in partitions:
        state = MiningState.FAILED
        plan.assignments.reports.note(partition, 80, state, "it lost records", TRUNCATED)


async def reaches(plan: Plan, life: TopicId) -> dict[int, tuple[int, int]]:
    """Where mining goes on in a life, and the epoch of what was mined before."""
    (reader,) = plan.assignments.readers("main")
    await until(lambda: "orders" in reader.assigned and reader.assigned["orders"].topic == life)
    offsets = resume_offsets(plan.store, reader.assigned["orders"])
    return {n: (at, plan.store.epochs.before(life.partition(n), at)) for n, at in offsets.items()}


def test_one_partition_begins_anew_and_the_other_goes_on(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        lost(plan, FIRST.partition(0))
        assert await reaches(plan, SECOND) == {0: (-1, -1), 1: (50, 4)}
        assert plan.store.lives.ended_by(FIRST) is GapCause.SOURCE_TRUNCATED

    play(tmp_path, test)


def test_what_shows_later_begins_anew_later(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        lost(plan, FIRST.partition(0))
        await reaches(plan, SECOND)
        log = plan.store.get(SECOND.partition(0))
        assert log is not None
        await plan.store.writer.accept(log, full_frame(0, 80), 5)
        lost(plan, SECOND.partition(1))
        assert await reaches(plan, THIRD) == {0: (80, 5), 1: (-1, -1)}

    play(tmp_path, test)


def test_a_report_of_a_life_that_is_over_changes_nothing(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        lost(plan, *(FIRST.partition(number) for number in (0, 1)))
        assert await reaches(plan, SECOND) == {0: (-1, -1), 1: (-1, -1)}
        lost(plan, FIRST.partition(0))
        plan.assignments.plan_again()
        await asyncio.sleep(0.05)
        assert plan.store.topic_id("main", "orders") == SECOND

    play(tmp_path, test)


def test_a_partition_that_is_new_behind_a_truncation_begins_where_the_source_does(
    tmp_path: Path,
) -> None:
    async def test(plan: Plan) -> None:
        lost(plan, FIRST.partition(0))
        await reaches(plan, SECOND)
        plan.lookup.topics["orders"] = (0, 1, 2)
        await plan.sources.look(plan.source)
        await until(lambda: plan.store.get(SECOND.partition(2)) is not None)
        (reader,) = plan.assignments.readers("main")
        await until(lambda: len(reader.assigned["orders"].partitions) == 3)
        assert (await reaches(plan, SECOND))[2] == (-1, -1)

    play(tmp_path, test)
