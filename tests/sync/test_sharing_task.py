"""A task that shares a target that keeps positions: what it writes, stores and goes back to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from cachesvc.client import (
    Batch,
    Client,
    Event,
    Mode,
    PartitionsAssigned,
    PartitionsRevoked,
    Position,
    Positions,
    Progress,
    Started,
    SubscriptionReset,
)
from cachesvc.client.events import MiningState, PartitionProgress
from cachesvc.client.incoming import received
from cachesvc.client.positions import PartitionKey
from cachesvc.client.settings import StreamSettings
from cachesvc.sync import SharedSink, Task
from cachesvc.sync.parts import TaskParts
from cachesvc.sync.runner.cache_source import go_back
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.fake_log import Logs, encode, record
from tests.client.fake_server import FakeLogCache, serving
from tests.client.fake_session import Subscribed
from tests.client.running import eventually, in_event_loop
from tests.sync.stage import MemorySink, at, task_config

ORDERS = ("orders", 0)
Condition = Callable[[], bool]


class KeepingSink(MemorySink):
    """One whose target others write to as well."""

    def __init__(self) -> None:
        super().__init__(keeps_positions=True)

    async def read_positions(self) -> Positions:
        self.calls.append("read_positions")
        return self.positions


class Scripted:
    """A session that gives what a test says, waits for what it says, and ends with an error."""

    outside, outside_s = False, 0.0

    def __init__(self, events: Iterable[Event | Condition], error: Exception | None = None) -> None:
        self._events = iter(events)
        self._error = error
        self.started = Started(1, Positions(), Positions(), "main")
        self.position = Positions()
        self.committed: list[Positions] = []

    async def next(self) -> Event | None:
        event = next(self._events, None)
        while callable(event):
            await eventually(event)
            event = next(self._events, None)
        if isinstance(event, Progress):
            self.position = Positions(each.position for each in event.partitions)
        if event is None and self._error is not None:
            raise self._error
        if event is None:
            await asyncio.Event().wait()
        return event

    async def source_ends(self) -> dict[PartitionKey, int]:
        return {}

    async def commit(self, positions: Positions) -> None:
        self.committed.append(positions)


class ScriptedSource:
    """Gives one session after the other; ``starts`` has what was asked for."""

    def __init__(self, *sessions: Scripted) -> None:
        self._sessions = iter(sessions)
        self.starts: list[Positions | None] = []

    @asynccontextmanager
    async def session(self, start: Positions | None) -> AsyncIterator[Scripted]:
        self.starts.append(start)
        yield next(self._sessions)


def assigned(*starts: Position) -> PartitionsAssigned:
    return PartitionsAssigned(Positions(starts), {each.key: 7 for each in starts})


def batch(*offsets: int) -> Batch:
    message = encode(ORDERS, [record(ORDERS, each) for each in offsets], offsets[-1] + 1)
    (event,) = received(pb.SubscribeResponse(batch=message).SerializeToString())
    assert isinstance(event, Batch)
    return event


def progress(offset: int) -> Progress:
    position = Position(*ORDERS, offset, 1)
    return Progress((PartitionProgress(position, offset, offset, MiningState.MINING, ""),))


def sharing_task(sink: KeepingSink, *sessions: Scripted) -> tuple[Task, ScriptedSource]:
    assert isinstance(sink, SharedSink)
    parts = TaskParts(task_config("127.0.0.1:1", source={"sharing": "shared"}), sink)
    parts.source = source = ScriptedSource(*sessions)
    return Task(parts), source


@in_event_loop
async def test_what_others_have_written_is_left_out() -> None:
    sink = KeepingSink()

    def written_meanwhile() -> bool:
        sink.positions = at(2)
        return True

    session = Scripted([written_meanwhile, assigned(*at(0).values()), batch(0, 1, 2), batch(3, 4)])
    task, source = sharing_task(sink, session)
    async with task:
        await eventually(lambda: sink.positions == at(5))
        assert sink.offsets[ORDERS] == [2, 3, 4]
        await eventually(lambda: at(5) in session.committed)
    assert source.starts == [None]


@in_event_loop
async def test_holes_are_stored_behind_the_target_as_well() -> None:
    """Else the target would look as if it had lost something."""
    sink = KeepingSink()
    session = Scripted(
        [assigned(*at(0).values()), batch(0), lambda: at(1) in session.committed, progress(9)]
    )
    task, _ = sharing_task(sink, session)
    async with task:
        await eventually(lambda: at(9) in session.committed)
        assert sink.positions == at(9)
    assert sink.offsets[ORDERS] == [0]


@in_event_loop
async def test_what_is_lost_is_written_before_it_is_let_go() -> None:
    sink = KeepingSink()
    revoked = PartitionsRevoked(at(6))
    session = Scripted([assigned(*at(0).values()), batch(0, 1), revoked])
    task, _ = sharing_task(sink, session)
    async with task:
        await eventually(lambda: at(6) in session.committed)
        assert sink.positions == at(6)


@in_event_loop
async def test_a_target_that_has_lost_what_is_stored_gets_it_again() -> None:
    sink = KeepingSink()
    sink.positions = at(3, 8)
    first = Scripted([assigned(*at(5, 8).values()), batch(5)])
    second = Scripted([assigned(*at(3).values()), batch(3, 4, 5)])
    task, source = sharing_task(sink, first, second)
    async with task:
        await eventually(lambda: sink.positions == at(6, 8))
    assert sink.offsets[ORDERS] == [3, 4, 5]
    assert source.starts == [None, at(3)]


@in_event_loop
async def test_after_a_reset_it_goes_on_there() -> None:
    sink = KeepingSink()
    first = Scripted([], SubscriptionReset("another task has seen a loss"))
    second = Scripted([assigned(*at(0).values()), batch(0)])
    task, source = sharing_task(sink, first, second)
    async with task:
        await eventually(lambda: sink.positions == at(1))
    assert source.starts == [None, None]


@in_event_loop
async def test_going_back_moves_what_lies_ahead_and_leaves_the_rest() -> None:
    service = FakeLogCache(Logs({ORDERS: range(20)}))
    subscribed = service.subscriptions["crew"] = Subscribed(
        mode=Mode.FULL, positions={ORDERS: 9, ("orders", 1): 4}
    )
    async with serving(service) as target, Client(target) as client:
        for start in (at(5, 6), at(7)):  # of two that see the same loss the second is too late
            await go_back(client, "crew", start, StreamSettings())
            assert subscribed.positions == {ORDERS: 5, ("orders", 1): 4}
        assert subscribed.epoch == 1
        await go_back(client, "unknown", at(1), StreamSettings())
