"""What gathers while one transaction is under way, and goes together into the next."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Gathering(Generic[T]):
    """Stores items in the order they came, all that wait at a time; ``run`` has to run.

    So the number of transactions does not depend on the number of callers. Belongs to one event
    loop.

    Args:
        store: Makes some items durable. Where it fails, all of them have failed.
    """

    def __init__(self, store: Callable[[list[T]], Awaitable[None]]) -> None:
        self._store = store
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def put(self, item: T) -> None:
        """Stores an item; durable when this returns.

        A caller that is cancelled does not undo it: it is stored all the same.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        self._wake.set()
        await done

    async def run(self) -> None:
        """Stores items until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self._store([item for item, _ in waiting])
            except Exception as error:  # told to every caller
                for _, done in waiting:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, done in waiting:
                    if not done.done():
                        done.set_result(None)
