"""What becomes of a topic whose source has lost records that were mined."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cachesvc.assignment.resuming import resume_offsets
from cachesvc.model import GapCause, MiningState, PartitionId, TopicId
from cachesvc.policy.mining_task import TopicState
from cachesvc.store.catalogue import DuckDBCatalogue
from tests.support.frames import full_frame
from tests.unit.assignment.plans import Plan, in_plan, planning
from tests.unit.clusters.lookups import FakeLookup
from tests.unit.log.running import until

FIRST, SECOND, THIRD = (TopicId("main", "orders", incarnation) for incarnation in (1, 2, 3))
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


async def reaches(plan: Plan, incarnation: TopicId) -> dict[int, tuple[int, int]]:
    """Where mining goes on in an incarnation, and the epoch of what was mined before."""
    (reader,) = plan.assignments.readers("main")
    await until(
        lambda: "orders" in reader.assigned and reader.assigned["orders"].topic == incarnation
    )
    offsets = resume_offsets(plan.store, reader.assigned["orders"])
    return {
        n: (at, plan.store.epochs.before(incarnation.partition(n), at)) for n, at in offsets.items()
    }


def test_one_partition_begins_anew_and_the_other_goes_on(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        lost(plan, FIRST.partition(0))
        assert await reaches(plan, SECOND) == {0: (-1, -1), 1: (50, 4)}
        assert plan.store.incarnations.ended_by(FIRST) is GapCause.SOURCE_TRUNCATED

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


def test_a_report_of_an_incarnation_that_is_over_changes_nothing(tmp_path: Path) -> None:
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


class Transactions:
    """Counts what is asked of the catalogue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        for name in ("put_topics", "raise_epochs", "put_partition"):
            monkeypatch.setattr(DuckDBCatalogue, name, self._counting(name))

    def _counting(self, name: str) -> Any:
        real = getattr(DuckDBCatalogue, name)

        def call(catalogue: DuckDBCatalogue, *arguments: Any) -> Any:
            self.calls[name] += 1
            return real(catalogue, *arguments)

        return call


def test_all_logs_of_a_call_are_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        lookup = FakeLookup(**{f"topic-{number}": 3 for number in range(200)})
        lookup.ids = {topic: f"id of {topic}" for topic in lookup.topics}
        async with planning(tmp_path, lookup) as plan:
            await plan.sources.look(plan.source)
            reader = plan.join("reader")
            await plan.want(expression="topic-.*")
            await until(lambda: len(reader.assigned) == 200)
            assert len(plan.store.present("main")) == 600
            assert lookup.calls.count("earliest_offsets") == 1
            assert transactions.calls == {"put_topics": 1, "raise_epochs": 1}

    transactions = Transactions(monkeypatch)
    asyncio.run(run())


def test_a_next_incarnation_of_many_topics_is_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        lookup = FakeLookup(**{f"topic-{number}": 2 for number in range(50)})
        lookup.ids = dict.fromkeys(lookup.topics, "first")
        async with planning(tmp_path, lookup) as plan:
            await plan.sources.look(plan.source)
            reader = plan.join("reader")
            await plan.want(expression="topic-.*")
            await until(lambda: len(reader.assigned) == 50)
            transactions.calls.clear()
            lookup.ids = dict.fromkeys(lookup.topics, "second")
            await plan.sources.look(plan.source)
            await until(lambda: {a.topic.incarnation for a in reader.assigned.values()} == {2})
            assert transactions.calls == {"put_topics": 1, "raise_epochs": 1}
            assert len(plan.store.present("main")) == 100

    transactions = Transactions(monkeypatch)
    asyncio.run(run())


def silent(*numbers: int) -> FakeLookup:
    lookup = FakeLookup(orders=3, items=1)
    lookup.silent = {("orders", number) for number in numbers}
    return lookup


def test_partitions_whose_leader_is_silent_hold_up_no_other(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("reader")
        await plan.want("orders", "items")
        await until(lambda: set(reader.assigned) == {"orders", "items"})
        assert reader.assigned["orders"].partitions == (0, 2)
        assert list(plan.store.waiting.of_topic(FIRST)) == [1]
        await until(lambda: plan.tasks.get("main").topics["orders"].state is TopicState.UNREACHABLE)
        epoch = reader.assigned["orders"].epoch
        plan.lookup.silent.clear()
        await until(lambda: reader.assigned["orders"].partitions == (0, 1, 2))
        assert reader.assigned["orders"].epoch == epoch, "the others are mined undisturbed"
        assert not plan.store.waiting

    in_plan(tmp_path, silent(1), test)


def test_a_topic_that_waits_altogether_says_so(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        reader = plan.join("reader")
        await plan.want("orders", "items")
        await until(lambda: "items" in reader.assigned)
        await until(lambda: "does not answer" in plan.tasks.get("main").topics["orders"].cause)
        assert "orders" not in reader.assigned
        plan.lookup.silent.clear()
        await until(lambda: "orders" in reader.assigned)

    in_plan(tmp_path, silent(0, 1, 2), test)


def test_those_that_wait_are_not_asked_for_by_everybody_who_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cachesvc.assignment.log_creation.RETRY_S", 600.0)

    async def test(plan: Plan) -> None:
        for _ in range(5):
            await plan.assignments.create_logs(plan.source, ["orders"])
        assert plan.lookup.calls.count("earliest_offsets") == 1
        await plan.assignments.create_logs(plan.source, ["items"])
        assert plan.lookup.calls.count("earliest_offsets") == 2
        assert plan.store.present("main", "items")

    in_plan(tmp_path, silent(1), test)


def test_what_nobody_wants_waits_no_more(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        await plan.want("orders")
        await until(lambda: bool(plan.store.waiting))
        await plan.subscriptions.delete("copies")
        await until(lambda: not plan.store.waiting)

    in_plan(tmp_path, silent(1), test)


def test_a_next_incarnation_whose_leader_is_silent_waits_with_what_it_knows(tmp_path: Path) -> None:
    async def test(plan: Plan) -> None:
        plan.lookup.silent = {("orders", 1)}
        lost(plan, FIRST.partition(0))
        (reader,) = plan.assignments.readers("main")
        await until(lambda: [a.topic for a in reader.assigned.values()] == [SECOND])
        assert reader.assigned["orders"].partitions == (0,)
        assert list(plan.store.waiting.of_topic(SECOND)) == [1]
        plan.lookup.silent.clear()
        await until(lambda: reader.assigned["orders"].partitions == (0, 1))
        assert await reaches(plan, SECOND) == {0: (-1, -1), 1: (50, 4)}

    play(tmp_path, test)
