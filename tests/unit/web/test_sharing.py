from __future__ import annotations

import asyncio

import pytest

from cachesvc.web.sharing import Shared


class Kitchen:
    """Makes what it is asked for, in the time that a test says, and counts."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.now_s = 0.0
        self.took_s = 2.0
        self.fails = False
        self.open = asyncio.Event()
        self.open.set()

    async def make(self, key: str) -> str | None:
        self.made.append(key)
        await self.open.wait()
        self.now_s += self.took_s
        if self.fails:
            raise ValueError(key)
        return None if key == "nothing" else f"{key} {len(self.made)}"

    def shared(self) -> Shared[str]:
        return Shared(self.make, 0.1, lambda: self.now_s)


def test_an_answer_is_given_again_for_as_long_as_it_was_dear() -> None:
    async def body() -> None:
        kitchen = Kitchen()
        shared = kitchen.shared()
        assert await shared.get("a") == "a 1"
        kitchen.now_s += 17.9
        assert await shared.get("a") == "a 1"
        kitchen.now_s += 0.2
        assert await shared.get("a") == "a 2"
        assert await shared.get("b") == "b 3", "each key has its own"

    asyncio.run(body())


def test_what_was_cheap_is_made_anew() -> None:
    async def body() -> None:
        kitchen = Kitchen()
        kitchen.took_s = 0.0
        shared = kitchen.shared()
        assert [await shared.get("a"), await shared.get("a")] == ["a 1", "a 2"]

    asyncio.run(body())


def test_many_at_once_get_one() -> None:
    async def body() -> None:
        kitchen = Kitchen()
        shared = kitchen.shared()
        kitchen.open.clear()
        asking = [asyncio.ensure_future(shared.get("a")) for _ in range(50)]
        await asyncio.sleep(0)
        asking[0].cancel()
        await asyncio.sleep(0)
        kitchen.open.set()
        assert set(await asyncio.gather(*asking[1:])) == {"a 1"}, "whoever left takes none away"
        assert kitchen.made == ["a"]

    asyncio.run(body())


def test_what_was_made_in_vain_is_not_given_again() -> None:
    async def body() -> None:
        kitchen = Kitchen()
        shared = kitchen.shared()
        assert [await shared.get("nothing"), await shared.get("nothing")] == [None, None]
        kitchen.fails = True
        with pytest.raises(ValueError, match="a"):
            await shared.get("a")
        kitchen.fails = False
        assert await shared.get("a") == "a 4"

    asyncio.run(body())


def test_what_is_kept_is_bounded() -> None:
    async def body() -> None:
        kitchen = Kitchen()
        shared = kitchen.shared()
        for number in range(1_000):
            await shared.get(f"text/{number}")
        assert len(shared._made) <= 16

    asyncio.run(body())
