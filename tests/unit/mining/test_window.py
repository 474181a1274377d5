import asyncio

import pytest

from cachesvc.mining.holdings import HeldPartition
from cachesvc.mining.source import SourcePartition
from cachesvc.mining.window import AppendWindow, InFlight

HELD = HeldPartition(SourcePartition("orders", 0), 1, 1, 0)


def append(size: int, end: int = 0) -> InFlight:
    return InFlight(HELD, 0, end, size)


async def has_room(window: AppendWindow) -> bool:
    try:
        async with asyncio.timeout(0):
            await window.wait_for_room()
    except TimeoutError:
        return False
    return True


def test_room_until_the_bytes_are_used_up_and_again_after_an_answer() -> None:
    async def scenario() -> list[tuple[bool, int]]:
        window = AppendWindow(10)
        seen = []
        for step in (4, 5, 8, None, None, None):
            if step is None:
                window.answered()
            else:
                window.sent(append(step))
            seen.append((await has_room(window), window.unacknowledged_bytes))
        return seen

    assert asyncio.run(scenario()) == [
        (True, 4),
        (True, 9),
        (False, 17),
        (False, 13),
        (True, 8),
        (True, 0),
    ]


def test_one_append_that_is_larger_than_the_window_passes() -> None:
    async def scenario() -> None:
        window = AppendWindow(10)
        window.sent(append(1_000))
        assert not await has_room(window)
        window.answered()
        assert await has_room(window)

    asyncio.run(scenario())


def test_sending_without_room_is_our_own_mistake() -> None:
    async def scenario() -> None:
        window = AppendWindow(10)
        window.sent(append(10))
        with pytest.raises(AssertionError):
            window.sent(append(1))

    asyncio.run(scenario())


def test_answers_come_oldest_first_and_then_none() -> None:
    async def scenario() -> None:
        window = AppendWindow(100)
        for end in (1, 2, 3):
            window.sent(append(1, end))
        assert len(window) == 3
        assert [window.answered() for _ in range(4)] == [
            append(1, 1),
            append(1, 2),
            append(1, 3),
            None,
        ]

    asyncio.run(scenario())


def test_waiting_until_everything_is_answered() -> None:
    async def scenario() -> None:
        window = AppendWindow(100)
        await window.wait_until_empty()
        window.sent(append(0))
        waiting = asyncio.ensure_future(window.wait_until_empty())
        await asyncio.sleep(0)
        assert not waiting.done()
        window.answered()
        await waiting

    asyncio.run(scenario())
