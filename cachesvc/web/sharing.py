"""Answers that many who ask at the same time share, so that they cost no more than for a few."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
_KEYS_MAX = 16


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    answer: T
    stale_s: float


class Shared(Generic[T]):
    """Makes answers by key, and gives each again until the next keeps within a share of time.

    With a share of a tenth, an answer that took 5 ms is given again for 45. Whoever asks while one
    is made gets it too. What was made in vain, as None, is not given again. Belongs to one event
    loop.

    Args:
        make: Makes the answer for a key.
        share: Of the time that may be spent on making them, for each key.
        clock: Monotonic.
    """

    def __init__(
        self,
        make: Callable[[str], Awaitable[T | None]],
        share: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make = make
        self._rest = 1 / share - 1
        self._clock = clock
        self._made: dict[str, _Made[T]] = {}
        self._making: dict[str, asyncio.Task[T | None]] = {}

    async def get(self, key: str) -> T | None:
        """The answer, made now or a moment ago; whoever is cancelled here leaves it to others."""
        known = self._made.get(key)
        if known is not None and self._clock() < known.stale_s:
            return known.answer
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._keep(key))
            task.add_done_callback(lambda _: self._making.pop(key, None))
        return await asyncio.shield(task)

    async def _keep(self, key: str) -> T | None:
        began_s = self._clock()
        answer = await self._make(key)
        ended_s = self._clock()
        self._made.pop(key, None)
        if answer is not None:
            if len(self._made) >= _KEYS_MAX:
                self._made.clear()
            self._made[key] = _Made(answer, ended_s + (ended_s - began_s) * self._rest)
        return answer
