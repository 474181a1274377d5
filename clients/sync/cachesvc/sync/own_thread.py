"""A thread that does one thing after the other, for what blocks or computes for long."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OwnThread:
    """Runs functions in the order of the calls, never two at a time.

    So what a cancelled call still does is over before the next one begins.

    Args:
        name: Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns. Cancelled, it is done all the same."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, self._name)
        done = self._executor.submit(function, *args, **kwargs)
        return await asyncio.shield(asyncio.wrap_future(done))

    async def close(self) -> None:
        """Waits for what still runs. Idempotent; a later call begins a new thread."""
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown)
