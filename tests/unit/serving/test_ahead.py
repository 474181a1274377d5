"""Batches that are made ahead: used where they were made for, and let go of everywhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachesvc.errors import CacheError, DamagedFile, DataLoss
from cachesvc.serving.ahead import Ahead, Made
from cachesvc.serving.cursor import Cursor
from cachesvc.serving.forms import Part
from cachesvc.shared_memory.blocks import Blocks
from cachesvc.shared_memory.filling import Filled, Payload
from cachesvc.shared_memory.lending import Lending
from tests.client.running import in_event_loop
from tests.support.frames import full_frame
from tests.unit.shared_memory.ends import turns

MIB = 1 << 20


@dataclass(eq=False)
class Log:
    """What of a log makes a place; it is no more than that to what makes batches ahead."""

    name: str
    gap: int | None = None

    def next_gap(self, position: int) -> int | None:
        return self.gap if self.gap is not None and self.gap > position else None


@dataclass(frozen=True)
class File:
    path: str


@dataclass(frozen=True)
class Snap:
    """A snapshot, of which the file's path alone is looked at."""

    file: File


class Making:
    """Makes a batch of ten offsets in a block of its own, when a test lets it."""

    def __init__(self) -> None:
        self.blocks = Blocks(64 * MIB)
        self.lending = Lending(self.blocks, self._at_once)
        self.ahead = Ahead(self.lending, self._make)
        self.passes = asyncio.Event()
        self.failure: Exception | None = None
        self.begun: list[tuple[str, int, int | None]] = []

    async def _at_once(self, work: Callable[[], Any], /) -> Any:
        return work()

    async def _make(self, cursor: Cursor) -> Made | None:
        log: Any = cursor.log
        frame = full_frame(cursor.position, cursor.position + 10)
        place = log.name, cursor.position, cursor.end
        self.begun.append(place)
        await self.passes.wait()
        assert place == (log.name, cursor.position, cursor.end), "it moved meanwhile"
        if self.failure is not None:
            raise self.failure
        payloads = [Payload(frame.payload, is_file=False)]
        content = log.name, cursor.position
        filled = await self.lending.fill(log.name, content, payloads, keep=False)
        return Made([Part(frame, frame.payload)], filled)

    @property
    def holders(self) -> int:
        return sum(block.holders for block in self.blocks._all)

    def let_go(self, made: Made | None) -> Filled:
        assert made is not None
        assert made.filled is not None
        self.lending.let_go(made.filled)
        return made.filled


def cursor(name: str = "a", position: int = 0) -> Cursor:
    log: Any = Log(name)
    return Cursor(log, position, None)


@in_event_loop
async def test_what_was_made_for_where_a_cursor_is_is_taken_once() -> None:
    making, at = Making(), cursor()
    making.passes.set()
    making.ahead.begin([at])
    made = await making.ahead.take(at)
    assert made is not None
    assert made.run[0].frame.base_offset == 0
    assert making.holders == 1
    assert await making.ahead.take(at) is None
    making.let_go(made)
    making.ahead.close()
    assert making.holders == 0


@in_event_loop
async def test_who_takes_waits_for_what_is_being_made() -> None:
    making, at = Making(), cursor()
    making.ahead.begin([at])
    taking = asyncio.ensure_future(making.ahead.take(at))
    await turns()
    assert not taking.done()
    making.passes.set()
    making.let_go(await taking)
    assert making.holders == 0


def _moved(at: Cursor) -> None:
    at.position = 5


def _ends(at: Cursor) -> None:
    at.end = 7


def _another_log(at: Cursor) -> None:
    log: Any = Log("a")
    at.log = log


def _has_gap(at: Cursor) -> None:
    log: Any = at.log
    log.gap = 6


def _snapshot(at: Cursor) -> None:
    snapshot: Any = Snap(File("snapshots/1"))
    log: Any = at.log
    log.lost = ()
    at.snapshot = snapshot


changes = pytest.mark.parametrize("change", [_moved, _ends, _another_log, _has_gap, _snapshot])


@changes
@pytest.mark.parametrize("is_made", [False, True])
@in_event_loop
async def test_what_was_made_for_another_place_is_not_used(
    change: Callable[[Cursor], None], is_made: bool
) -> None:
    making, at = Making(), cursor()
    making.ahead.begin([at])
    if is_made:
        making.passes.set()
        await turns()
        assert making.holders == 1
    change(at)
    assert await making.ahead.take(at) is None
    making.ahead.begin([])
    await turns()
    assert making.holders == 0


@changes
@in_event_loop
async def test_a_cursor_that_moves_on_moves_nothing_that_is_being_made(
    change: Callable[[Cursor], None],
) -> None:
    """Else the records of one place would be kept, for all streams, as those of another."""
    making, at = Making(), cursor()
    making.ahead.begin([at])
    if change is _has_gap:
        return  # that is the log's, and so for all cursors of it
    before = (at.position, at.end, at.log, at.snapshot)
    change(at)
    await turns()
    making.passes.set()
    await turns()
    assert making.begun == [("a", 0, None)]
    at.position, at.end, at.log, at.snapshot = before
    made = await making.ahead.take(at)
    assert made is not None
    assert made.run[0].frame.base_offset == 0
    making.let_go(made)


@pytest.mark.parametrize("is_made", [False, True])
@pytest.mark.parametrize("closes", [False, True])
@in_event_loop
async def test_what_is_forgotten_lets_go_of_its_memory(is_made: bool, closes: bool) -> None:
    making, first, second = Making(), cursor("a"), cursor("b")
    making.ahead.begin([first, second])
    if is_made:
        making.passes.set()
    await turns()
    if closes:
        making.ahead.close()
        making.ahead.close()
    else:
        making.ahead.begin([second])
    await turns()
    making.passes.set()
    await turns()
    assert making.holders == (0 if closes else 1)
    assert await making.ahead.take(first) is None
    making.ahead.close()
    await turns()
    assert making.holders == 0


@pytest.mark.parametrize("is_made", [False, True])
@in_event_loop
async def test_who_is_cancelled_while_it_takes_leaves_nothing_held(is_made: bool) -> None:
    making, at = Making(), cursor()
    making.ahead.begin([at])
    await turns()
    taking = asyncio.ensure_future(making.ahead.take(at))
    await turns()
    if is_made:
        making.passes.set()
    taking.cancel()
    await asyncio.wait((taking,))
    assert taking.cancelled()
    making.ahead.close()
    making.passes.set()
    await turns()
    assert making.holders == 0


@pytest.mark.parametrize("failure", [DamagedFile("torn"), DataLoss("gone"), CacheError("else")])
@in_event_loop
async def test_what_fails_ahead_is_nothing(failure: Exception) -> None:
    making, at = Making(), cursor()
    making.failure = failure
    making.passes.set()
    making.ahead.begin([at])
    assert await making.ahead.take(at) is None
    making.ahead.close()


@in_event_loop
async def test_what_is_begun_already_is_not_begun_again() -> None:
    making, at = Making(), cursor()
    for _ in range(3):
        making.ahead.begin([at])
        await turns()
    assert len(making.begun) == 1
    making.ahead.close()
    await turns()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.sets(st.integers(0, 2), max_size=2)),
        st.tuples(st.just("take"), st.sets(st.integers(0, 2), min_size=1, max_size=1)),
        st.tuples(st.just("move"), st.sets(st.integers(0, 2), min_size=1)),
        st.tuples(st.just("turns"), st.sets(st.integers(1, 4), min_size=1, max_size=1)),
        st.tuples(st.sampled_from(["hold", "pass"]), st.just(set())),
    ),
    max_size=25,
)


@given(steps)
def test_no_history_leaves_anything_held(steps: list[tuple[str, Iterable[int]]]) -> None:
    @in_event_loop
    async def play() -> None:
        making, cursors = Making(), [cursor(name) for name in "abc"]
        for kind, numbers in steps:
            some = [cursors[number % 3] for number in numbers]
            if kind == "begin":
                making.ahead.begin(some)
            elif kind == "take":
                at = some[0]
                position = at.position
                making.passes.set()
                made = await making.ahead.take(at)
                if made is not None:
                    assert made.run[0].frame.base_offset == position
                    making.let_go(made)
                    at.position += 10
            elif kind == "move":
                for each in some:
                    each.position += 10
            elif kind == "turns":
                await turns(*numbers)
            elif kind == "hold":
                making.passes.clear()
            else:
                making.passes.set()
        making.ahead.close()
        making.passes.set()
        await turns(10)
        assert making.holders == 0

    play()
