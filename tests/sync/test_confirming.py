import asyncio
from collections import deque

import pytest

from cachesvc.client import Event, Positions, PreconditionFailed, Started, TimedOut
from cachesvc.client.positions import PartitionKey
from cachesvc.sync import TargetUnavailable
from cachesvc.sync.config import RetryConfig
from cachesvc.sync.runner.confirming import Confirming
from cachesvc.sync.runner.progress import Meter
from tests.client.running import in_event_loop
from tests.sync.stage import at


class Store:
    """A session that only stores, and fails as it is told to."""

    outside = False
    outside_s = 0.0
    started = Started(1, Positions(), Positions(), "")
    position = Positions()

    def __init__(self, *faults: Exception) -> None:
        self.faults = deque(faults)
        self.stored: list[Positions] = []
        self.free = asyncio.Event()
        self.free.set()

    async def next(self) -> Event | None:
        return None

    async def source_ends(self) -> dict[PartitionKey, int]:
        return {}

    async def commit(self, positions: Positions) -> None:
        await self.free.wait()
        if self.faults:
            raise self.faults.popleft()
        self.stored.append(positions)


QUICK = RetryConfig(delay_first_s=0.001, delay_max_s=0.001)


@in_event_loop
async def test_what_comes_during_a_call_goes_together_into_the_next() -> None:
    store = Store()
    store.free.clear()
    confirming = Confirming(store, QUICK, Meter())
    running = asyncio.create_task(confirming.run())
    for offset in (1, 2, 3):
        confirming.confirm(at(offset, 7))
        await asyncio.sleep(0)
    store.free.set()
    await confirming.settled()
    running.cancel()
    assert store.stored == [at(1, 7), at(3, 7)]


@in_event_loop
async def test_what_may_pass_is_tried_again() -> None:
    store = Store(TimedOut("late"), TargetUnavailable("full disk"))
    confirming = Confirming(store, QUICK, Meter())
    running = asyncio.create_task(confirming.run())
    confirming.confirm(at(1))
    await confirming.settled()
    running.cancel()
    assert store.stored == [at(1)]


@in_event_loop
async def test_what_does_not_pass_ends_it() -> None:
    confirming = Confirming(Store(PreconditionFailed("no")), QUICK, Meter())
    confirming.confirm(at(1))
    with pytest.raises(PreconditionFailed):
        await confirming.run()
