from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from cachesvc.alarms.watch import AlarmWatch
from cachesvc.errors import PreconditionFailed
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.policy.alarm_facts import Facts, TaskFacts
from cachesvc.policy.alarms import AlarmKind, Thresholds
from cachesvc.store.memory_catalogue import MemoryCatalogue
from cachesvc.store.watching_port import AlarmRecord

LIMITS = Thresholds(0, 0.0, 0.0, 0.0, raise_after_ms=10, clear_after_ms=10)
STOPPED = Facts(tasks=[TaskFacts("main", stopped=True, failed=False, cause="by hand")])


class World:
    """What is the case, what is kept, and who was told."""

    def __init__(self) -> None:
        self.facts = Facts()
        self.told = 0
        self.port = MemoryCatalogue()
        self.catalogue = CatalogueThread(lambda: self.port)

    def watch(self, *, notify: bool = True) -> AlarmWatch:
        return AlarmWatch(
            self.catalogue, lambda now_ms: self.facts, LIMITS, 1.0, notify=notify, told=self._tell
        )

    def _tell(self) -> None:
        self.told += 1

    def alarms(self) -> Sequence[AlarmRecord]:
        return self.port.alarms.list("", 100, past=True)


def run(body: Callable[[World], object]) -> None:
    async def main() -> None:
        world = World()
        try:
            await body(world)  # type: ignore[misc]
        finally:
            world.catalogue.close()

    asyncio.run(main())


def test_raises_and_clears_durably() -> None:
    async def body(world: World) -> None:
        watch = world.watch()
        world.facts = STOPPED
        await watch.look(0)
        assert world.alarms() == []
        await watch.look(10)
        (alarm,) = world.alarms()
        assert (alarm.id, alarm.key.kind, alarm.raised_ms) == (1, AlarmKind.TASK_STOPPED, 10)
        assert "by hand" in alarm.message
        await watch.look(20)
        world.facts = Facts()
        await watch.look(30)
        await watch.look(40)
        (alarm,) = world.alarms()
        assert alarm.cleared_ms == 40
        assert world.port.alarms.count_notices() == world.told == 2

    run(body)


def test_a_restart_neither_repeats_nor_forgets() -> None:
    async def body(world: World) -> None:
        world.facts = STOPPED
        first = world.watch()
        await first.look(0)
        await first.look(10)
        second = world.watch()
        await second.look(100)
        assert len(world.alarms()) == 1
        world.facts = Facts()
        await second.look(110)
        third = world.watch()
        await third.look(120)
        await third.look(130)
        assert [alarm.cleared_ms for alarm in world.alarms()] == [130]
        world.facts = STOPPED
        await third.look(140)
        await third.look(150)
        assert [alarm.id for alarm in world.alarms()] == [2, 1]

    run(body)


def test_what_cannot_be_stored_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        world.facts = STOPPED
        watch = world.watch()
        await watch.look(0)

        def full(alarms: Sequence[AlarmRecord], *, notify: bool) -> None:
            raise PreconditionFailed("disk full", reason="STORE_WRITE_FAILED")

        with monkeypatch.context() as patch:
            patch.setattr(world.port.alarms, "put", full)
            with pytest.raises(PreconditionFailed):
                await watch.look(10)
        assert world.told == 0
        await watch.look(20)
        assert [alarm.id for alarm in world.alarms()] == [1]

    run(body)


def test_without_a_webhook_nothing_waits_for_one() -> None:
    async def body(world: World) -> None:
        world.facts = STOPPED
        watch = world.watch(notify=False)
        await watch.look(0)
        await watch.look(10)
        assert len(world.alarms()) == 1
        assert world.port.alarms.count_notices() == 0

    run(body)
