"""Batches in shared memory, told of beside what is sent: in order, bounded, or not at all."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.serving.joined_batches import JOINED_BYTES_MAX, JoinedBatches
from cachesvc.v1 import log_cache_pb2 as pb
from tests.client.running import in_event_loop
from tests.unit.serving.test_joined_batches import one_by_one
from tests.unit.shared_memory.ends import turns

MIB = 1 << 20
CARRIED_MAX = 2 * MIB

steps = st.lists(
    st.one_of(
        st.tuples(st.just("handed_over"), st.sampled_from([1, 32 << 10, CARRIED_MAX])),
        st.tuples(st.just("handed_over"), st.sampled_from([1, 32 << 10, CARRIED_MAX])),
        st.tuples(st.just("batch"), st.sampled_from([0, 300, 60_000, 100_000])),
        st.tuples(st.sampled_from(["event", "flush", "begin_to_flush"]), st.just(0)),
        st.tuples(st.just("turns"), st.integers(1, 3)),
    ),
    max_size=40,
)


def shared(number: int) -> bytes:
    batch = pb.Batch(topic="orders", base_offset=number)
    batch.shared.CopyFrom(pb.SharedMemory(block=number, length=1))
    return pb.SubscribeResponse(batch=batch).SerializeToString()


class Writing:
    """A client that takes each message after some turns of the event loop."""

    def __init__(self, pace: list[int]) -> None:
        self.pace = pace or [0]
        self.begun: list[bytes] = []
        self.written = 0

    async def __call__(self, message: bytes) -> None:
        assert self.written == len(self.begun), "two messages at a time"
        self.begun.append(message)
        await turns(self.pace[len(self.begun) % len(self.pace)])
        self.written += 1

    def numbers(self) -> list[int]:
        """What was sent: offsets of batches, and events by their topic."""
        responses = [pb.SubscribeResponse.FromString(each) for each in self.begun]
        return [
            each.batch.base_offset
            if each.WhichOneof("event") == "batch"
            else int(each.caught_up.topic)
            for each in one_by_one(responses)
        ]


async def step(out: JoinedBatches, number: int, kind: str, size: int) -> bool:
    """Takes a step; whether it says something."""
    if kind == "handed_over":
        await out.handed_over(shared(number), size)
    elif kind == "batch":
        batch = pb.Batch(topic="orders", base_offset=number, arrow_ipc=bytes(size))
        await out.batch(pb.SubscribeResponse(batch=batch).SerializeToString())
    elif kind == "event":
        caught_up = pb.CaughtUp(topic=str(number))
        await out.event(pb.SubscribeResponse(caught_up=caught_up).SerializeToString())
    elif kind == "turns":
        await turns(size)
    else:
        await (out.flush() if kind == "flush" else out.begin_to_flush())
    return kind in ("handed_over", "batch", "event")


@given(steps, st.lists(st.integers(0, 4), max_size=5), st.booleans())
def test_the_order_is_that_of_the_calls_however_slow_the_client_is(
    steps: list[tuple[str, int]], pace: list[int], joins: bool
) -> None:
    @in_event_loop
    async def play() -> None:
        write = Writing(pace)
        out = JoinedBatches(write, joins=joins)
        said: list[int] = []
        carried: dict[int, int] = {}
        for number, (kind, size) in enumerate(steps):
            if await step(out, number, kind, size):
                said.append(number)
                carried[number] = size if kind == "handed_over" else 0
            told = write.numbers()
            assert told == said[: len(told)]
            assert sum(carried[each] for each in said[len(told) :]) < 4 * MIB + 2 * CARRIED_MAX
            if kind == "flush":
                assert told == said
                assert not out.holds
        await out.flush()
        assert write.numbers() == said
        assert write.written == len(write.begun)
        out.close()

    play()


@in_event_loop
async def test_it_is_told_at_once_while_nothing_else_is_sent() -> None:
    write = Writing([0])
    out = JoinedBatches(write, joins=True)
    for number in range(3):
        await out.handed_over(shared(number), MIB)
        await turns(2)
        assert write.numbers() == list(range(number + 1))
    out.close()


@in_event_loop
async def test_what_comes_while_a_message_is_on_its_way_goes_together_in_the_next() -> None:
    passes = asyncio.Event()
    sent: list[bytes] = []

    async def write(message: bytes) -> None:
        sent.append(message)
        await passes.wait()

    out = JoinedBatches(write, joins=True)
    await out.handed_over(shared(0), 1)
    await turns()
    for number in range(1, 5):
        await out.handed_over(shared(number), 1)
        await turns()
    assert len(sent) == 1
    assert out.holds
    passes.set()
    await out.flush()
    kinds = [pb.SubscribeResponse.FromString(each).WhichOneof("event") for each in sent]
    assert kinds == ["batch", "batches"]
    assert all(len(each) <= JOINED_BYTES_MAX for each in sent)
    out.close()


@in_event_loop
async def test_who_takes_nothing_is_waited_for_after_some_mib() -> None:
    async def write(message: bytes) -> None:
        await asyncio.Event().wait()

    out = JoinedBatches(write, joins=True)
    told = 0

    async def tell() -> None:
        nonlocal told
        for number in range(100):
            await out.handed_over(shared(number), MIB)
            told += 1
            await asyncio.sleep(0)

    telling = asyncio.ensure_future(tell())
    await turns(400)
    assert 2 <= told <= 4
    telling.cancel()
    await asyncio.wait((telling,))
    out.close()


async def fail(message: bytes) -> None:
    await asyncio.sleep(0)
    raise ConnectionError("the client is gone")


@pytest.mark.parametrize("next_step", ["handed_over", "batch", "event", "flush", "begin_to_flush"])
@in_event_loop
async def test_what_a_write_in_the_background_raises_comes_with_the_next_step(
    next_step: str,
) -> None:
    out = JoinedBatches(fail, joins=True)
    await out.handed_over(shared(0), 1)
    await turns()
    with pytest.raises(ConnectionError):
        await step(out, 1, next_step, 100_000)
    out.close()


@pytest.mark.parametrize("has_failed", [False, True])
@in_event_loop
async def test_what_is_given_up_is_said_nowhere(has_failed: bool) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    out = JoinedBatches(fail, joins=True)
    await out.handed_over(shared(0), 1)
    await turns(5 if has_failed else 1)
    out.close()
    out.close()
    await turns()
    del out
    gc.collect()
    await turns()
    assert said == []


@in_event_loop
async def test_closing_ends_what_is_being_written() -> None:
    ended: list[bool] = []

    async def write(message: bytes) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    out = JoinedBatches(write, joins=True)
    await out.handed_over(shared(0), 1)
    await turns()
    out.close()
    await turns()
    assert ended == [True]
