from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cachesvc.log.shared_cache import SharedCache


class Maker:
    """Makes values when told to, and counts how often it was asked."""

    def __init__(self, size: int = 10) -> None:
        self.calls: list[str] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self._size = size

    def make(self, key: str) -> Callable[[], Awaitable[bytes]]:
        async def work() -> bytes:
            self.calls.append(key)
            await self.go.wait()
            if self.error is not None:
                raise self.error
            return key.encode() * self._size

        return work


def cache(bytes_max: int = 100) -> SharedCache[str, bytes]:
    return SharedCache(bytes_max, len)


def test_many_who_ask_at_once_cost_one_piece_of_work() -> None:
    async def run() -> None:
        shared, maker = cache(), Maker()
        waiting = [asyncio.ensure_future(shared.get("a", maker.make("a"))) for _ in range(50)]
        await asyncio.sleep(0)
        maker.go.set()
        assert set(await asyncio.gather(*waiting)) == {b"a" * 10}
        assert await shared.get("a", maker.make("a")) == b"a" * 10
        assert maker.calls == ["a"]
        assert shared.bytes == 10

    asyncio.run(run())


def test_keeps_what_was_used_last_within_the_budget() -> None:
    async def run() -> None:
        shared, maker = cache(30), Maker()
        maker.go.set()
        for key in "abcabad":  # c is used least recently
            await shared.get(key, maker.make(key))
            assert shared.bytes <= 30
        assert maker.calls == ["a", "b", "c", "d"]
        await shared.get("a", maker.make("a"))
        await shared.get("b", maker.make("b"))
        assert len(maker.calls) == 4
        await shared.get("c", maker.make("c"))
        assert len(maker.calls) == 5

    asyncio.run(run())


def test_a_value_beyond_the_budget_is_shared_and_not_kept() -> None:
    async def run() -> None:
        shared, maker = cache(30), Maker(size=31)
        waiting = [asyncio.ensure_future(shared.get("a", maker.make("a"))) for _ in range(3)]
        await asyncio.sleep(0)
        maker.go.set()
        assert len(set(await asyncio.gather(*waiting))) == 1
        assert (maker.calls, shared.bytes) == (["a"], 0)
        await shared.get("a", maker.make("a"))
        assert maker.calls == ["a", "a"]

    asyncio.run(run())


def test_who_is_cancelled_takes_nothing_from_the_others() -> None:
    async def run() -> None:
        shared, maker = cache(), Maker()
        first = asyncio.ensure_future(shared.get("a", maker.make("a")))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(shared.get("a", maker.make("a")))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        maker.go.set()
        assert await second == b"a" * 10
        assert first.cancelled()
        assert maker.calls == ["a"]

    asyncio.run(run())


def test_work_goes_on_when_everybody_was_cancelled() -> None:
    async def run() -> None:
        shared, maker = cache(), Maker()
        waiting = asyncio.ensure_future(shared.get("a", maker.make("a")))
        await asyncio.sleep(0)
        waiting.cancel()
        maker.go.set()
        for _ in range(3):
            await asyncio.sleep(0)
        assert await shared.get("a", maker.make("a")) == b"a" * 10
        assert maker.calls == ["a"]

    asyncio.run(run())


def test_a_failure_is_told_to_all_and_not_kept() -> None:
    async def run() -> None:
        shared, maker = cache(), Maker()
        maker.error = ValueError("no luck")
        waiting = [asyncio.ensure_future(shared.get("a", maker.make("a"))) for _ in range(3)]
        await asyncio.sleep(0)
        maker.go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert found == [maker.error] * 3
        maker.error = None
        assert await shared.get("a", maker.make("a")) == b"a" * 10
        assert maker.calls == ["a", "a"]

    asyncio.run(run())


def test_a_failure_that_nobody_waited_for_makes_no_noise() -> None:
    noises: list[object] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, what: noises.append(what))
        shared, maker = cache(), Maker()
        maker.error = ValueError("no luck")
        waiting = asyncio.ensure_future(shared.get("a", maker.make("a")))
        await asyncio.sleep(0)
        waiting.cancel()
        maker.go.set()
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert noises == []


def test_forgets_what_it_is_told_to() -> None:
    async def run() -> None:
        shared, maker = cache(), Maker()
        maker.go.set()
        for key in "abc":
            await shared.get(key, maker.make(key))
        shared.forget(lambda key: key != "b")
        assert shared.bytes == 10
        await shared.get("b", maker.make("b"))
        assert maker.calls == ["a", "b", "c"]

    asyncio.run(run())


@pytest.mark.parametrize("bytes_max", [0, 9])
def test_with_too_small_a_budget_it_only_shares(bytes_max: int) -> None:
    async def run() -> None:
        shared, maker = cache(bytes_max), Maker()
        maker.go.set()
        for _ in range(2):
            assert await shared.get("a", maker.make("a")) == b"a" * 10
        assert shared.bytes == 0

    asyncio.run(run())
