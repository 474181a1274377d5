"""Records filled once for all who want them, and no hold left behind whatever happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

from cachesvc.errors import StoreUnreadable
from cachesvc.shared_memory.blocks import Blocks
from cachesvc.shared_memory.filling import Filled, Payload
from cachesvc.shared_memory.lending import Lending
from cachesvc.shared_memory.neighbours import LOANS_MAX
from tests.client.running import eventually, in_event_loop
from tests.support.frames import full_frame
from tests.unit.shared_memory.ends import MIB, met, turns

PAYLOADS = [Payload(full_frame(each, each + 5).payload, is_file=False) for each in range(4)]


class Runs:
    """Blocking work that ends when a test says so, in a thread of its own."""

    def __init__(self) -> None:
        self.begun = 0
        self.passes = asyncio.Semaphore(0)
        self.failure: Exception | None = None

    async def __call__(self, work: Callable[[], Any], /) -> Any:
        self.begun += 1
        made = await asyncio.to_thread(work)
        await self.passes.acquire()
        if self.failure is not None:
            raise self.failure
        return made


async def at_once(work: Callable[[], Any], /) -> Any:
    return work()


def first_offset(filled: Filled) -> int:
    with ipc.open_stream(filled.block.memory[: filled.length]) as reader:
        offset: int = reader.read_all().column("offset")[0].as_py()
    return offset


def holders(blocks: Blocks) -> int:
    return sum(block.holders for block in blocks._all)


@in_event_loop
async def test_all_who_want_the_same_at_a_time_have_it_filled_once() -> None:
    blocks, runs = Blocks(8 * MIB), Runs()
    lending = Lending(blocks, runs)
    asking = [
        asyncio.ensure_future(lending.fill("orders", 1, PAYLOADS[:1], keep=True)) for _ in range(3)
    ]
    await turns()
    runs.passes.release()
    found = [each for each in await asyncio.gather(*asking) if each is not None]
    later = await lending.fill("orders", 1, PAYLOADS[:1], keep=True)
    assert later is not None
    assert len({each.block for each in [*found, later]}) == 1
    assert (runs.begun, len(found), later.block.holders) == (1, 3, 4)
    for each in [*found, later]:
        lending.let_go(each)
    assert holders(blocks) == 0


@in_event_loop
async def test_who_goes_away_leaves_the_others_what_they_wait_for() -> None:
    blocks, runs = Blocks(8 * MIB), Runs()
    lending = Lending(blocks, runs)
    leaving, staying = (
        asyncio.ensure_future(lending.fill("orders", 1, PAYLOADS[:1], keep=True)) for _ in range(2)
    )
    await turns()
    leaving.cancel()
    await turns()
    runs.passes.release()
    filled = await staying
    assert leaving.cancelled()
    assert filled is not None
    assert (filled.block.holders, runs.begun) == (1, 1)
    lending.let_go(filled)
    assert holders(blocks) == 0


@in_event_loop
async def test_what_nobody_waits_for_any_more_is_there_for_the_next() -> None:
    blocks, runs = Blocks(8 * MIB), Runs()
    lending = Lending(blocks, runs)
    leaving = asyncio.ensure_future(lending.fill("orders", 1, PAYLOADS[:1], keep=True))
    await turns()
    leaving.cancel()
    runs.passes.release()
    await eventually(lambda: not lending._flights)
    assert holders(blocks) == 0
    filled = await lending.fill("orders", 1, PAYLOADS[:1], keep=True)
    assert filled is not None
    assert runs.begun == 1
    lending.let_go(filled)
    assert holders(blocks) == 0


@pytest.mark.parametrize("failure", [StoreUnreadable("gone"), OSError("no memory")])
@in_event_loop
async def test_what_fails_goes_another_way_for_all_and_is_tried_again(failure: Exception) -> None:
    blocks = Blocks(8 * MIB)
    fails = [failure]

    async def run(work: Callable[[], Any], /) -> Any:
        await asyncio.sleep(0)
        if fails:
            raise fails.pop()
        return work()

    lending = Lending(blocks, run)
    both = [lending.fill("orders", 1, PAYLOADS[:1], keep=True) for _ in range(2)]
    assert await asyncio.gather(*both) == [None, None]
    filled = await lending.fill("orders", 1, PAYLOADS[:1], keep=True)
    assert filled is not None
    lending.let_go(filled)
    assert holders(blocks) == 0


@in_event_loop
async def test_damage_and_want_of_room_are_nothing_to_lend() -> None:
    blocks = Blocks(MIB)
    lending = Lending(blocks, at_once)
    damaged = [Payload(b"no records", is_file=False)]
    assert await lending.fill("orders", 1, damaged, keep=True) is None
    filled = await lending.fill("orders", 2, PAYLOADS[:1], keep=True)
    assert await lending.fill("orders", 3, PAYLOADS[1:2], keep=True) is None
    assert filled is not None
    lending.let_go(filled)
    assert holders(blocks) == 0


@in_event_loop
async def test_memory_that_has_other_records_by_now_is_not_lent_for_what_it_had() -> None:
    blocks = Blocks(MIB)
    lending = Lending(blocks, at_once)
    for number in (0, 1, 0, 2):
        filled = await lending.fill("orders", number, [PAYLOADS[number]], keep=True)
        assert filled is not None
        assert first_offset(filled) == number
        lending.let_go(filled)


@in_event_loop
async def test_what_is_lent_is_as_long_as_what_was_filled_last() -> None:
    """The same records, from a file once and from the journal before, are of other lengths."""
    blocks = Blocks(MIB)
    lands = threading.Event()
    in_thread = threading.Event()
    slow = [False]

    async def run(work: Callable[[], Any], /) -> Any:
        if not slow[0]:
            return work()
        made = work()
        in_thread.set()
        await asyncio.to_thread(lands.wait)
        return made

    lending = Lending(blocks, run)
    for content, payloads in (("some", PAYLOADS[:1]), ("others", PAYLOADS[1:2])):
        filled = await lending.fill("orders", content, payloads, keep=True)
        assert filled is not None
        lending.let_go(filled)
    slow[0] = True
    asking = [
        asyncio.ensure_future(lending.fill("orders", "some", PAYLOADS, keep=True)) for _ in range(2)
    ]
    await eventually(in_thread.is_set)
    asking.append(asyncio.ensure_future(lending.fill("orders", "some", PAYLOADS, keep=True)))
    await turns()
    lands.set()
    found = [each for each in await asyncio.gather(*asking) if each is not None]
    assert len(found) == 3
    assert len({each.length for each in found}) == 1
    for each in found:
        lending.let_go(each)
    assert holders(blocks) == 0


@in_event_loop
async def test_who_keeps_half_of_the_memory_is_handed_no_more_until_it_lets_go() -> None:
    blocks = Blocks(4 * MIB)
    lending = Lending(blocks, at_once)
    with met(blocks) as (neighbour, end, _):
        handed = 0
        while lending.lends_to(neighbour):
            filled = await lending.fill("orders", handed, PAYLOADS[:1], keep=True)
            assert filled is not None
            assert lending.hand_over(neighbour, filled) is filled
            handed += 1
        assert 2 * MIB <= neighbour.lent_bytes < 4 * MIB
        assert lending.handed_over == handed
        more = await lending.fill("orders", "more", PAYLOADS[:1], keep=True)
        assert more is not None
        assert lending.hand_over(neighbour, more) is None
        assert (more.block.holders, lending.handed_over) == (0, handed)
        number, memory = end.maps()
        memory.close()
        end.says(b"d", number)
        await turns()
        assert lending.lends_to(neighbour)


@in_event_loop
async def test_who_keeps_many_loans_is_handed_no_more_however_little_they_are() -> None:
    blocks = Blocks(4 * MIB)
    lending = Lending(blocks, at_once)
    with met(blocks) as (neighbour, end, _):
        for _ in range(LOANS_MAX):
            filled = await lending.fill("orders", 1, PAYLOADS[:1], keep=True)
            assert filled is not None
            assert lending.hand_over(neighbour, filled) is filled
        assert not lending.lends_to(neighbour)
        end.says(b"d", end.maps()[0])
        await turns()
        assert lending.lends_to(neighbour)


@in_event_loop
async def test_nothing_is_handed_over_to_who_is_gone() -> None:
    blocks = Blocks(4 * MIB)
    lending = Lending(blocks, at_once)
    with met(blocks) as (neighbour, _, _):
        filled = await lending.fill("orders", 1, PAYLOADS[:1], keep=True)
        assert filled is not None
        neighbour.close()
        assert not lending.lends_to(neighbour)
        assert lending.hand_over(neighbour, filled) is None
        assert (holders(blocks), lending.handed_over) == (0, 0)


schedule = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 3)),
        st.tuples(st.just("ask"), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.integers(0, 20)),
        st.tuples(st.just("land"), st.integers(0, 20)),
        st.tuples(st.just("fail"), st.integers(0, 20)),
        st.tuples(st.just("let_go"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.integers(1, 4)),
    ),
    max_size=40,
)


@given(schedule, st.integers(1, 5))
def test_no_hold_is_left_behind_and_what_is_held_is_what_was_asked_for(
    steps: list[tuple[str, int]], blocks_max: int
) -> None:
    """Work ends when the schedule says so; so does waiting, at any moment between."""

    @in_event_loop
    async def play() -> None:
        blocks = Blocks(blocks_max * MIB)
        working: list[asyncio.Future[bool]] = []

        async def run(work: Callable[[], Any], /) -> Any:
            passes = asyncio.get_running_loop().create_future()
            working.append(passes)
            made = work()
            if await passes:
                return made
            if made is not None:  # what fails leaves nothing behind
                blocks.let_go(made.block)
            raise OSError

        lending = Lending(blocks, run)
        asked: list[tuple[int, asyncio.Task[Filled | None]]] = []
        held: list[tuple[int, Filled]] = []

        def collect() -> None:
            for each in [each for each in asked if each[1].done()]:
                asked.remove(each)
                number, task = each
                if not task.cancelled() and (filled := task.result()) is not None:
                    held.append((number, filled))
            for number, filled in held:
                assert first_offset(filled) == number

        for kind, number in steps:
            if kind == "ask":
                ask = lending.fill("orders", number, [PAYLOADS[number]], keep=bool(number % 2))
                asked.append((number, asyncio.ensure_future(ask)))
            elif kind == "cancel" and asked:
                asked[number % len(asked)][1].cancel()
            elif kind in ("land", "fail") and working:
                working.pop(number % len(working)).set_result(kind == "land")
            elif kind == "let_go" and held:
                lending.let_go(held.pop(number % len(held))[1])
            elif kind == "wait":
                await turns(number)
                collect()
        while asked or working:
            while working:
                working.pop().set_result(True)
            await turns(10)
            collect()
        await turns(10)
        collect()
        for _, filled in held:
            lending.let_go(filled)
        assert holders(blocks) == 0
        assert not lending._flights
        blocks.clear()
        assert blocks.used_bytes == 0

    play()
