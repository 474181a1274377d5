"""The catalogue beside the event loop: one thread, calls in order."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cachesvc.store.ports import Catalogue

T = TypeVar("T")


class CatalogueThread:
    """Runs calls of a catalogue port one after the other in a thread of its own."""

    def __init__(self, open_catalogue: Callable[[], Catalogue]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalogue")
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="catalogue-copy")
        try:
            self._catalogue = self._thread.submit(open_catalogue).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def call(self, work: Callable[[Catalogue], T]) -> T:
        """What ``work`` answers; durable when this returns.

        A caller that is cancelled does not undo the call: it is carried out all the same.
        """
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, self._catalogue)
        return await asyncio.shield(future)

    async def beside(self, work: Callable[[Catalogue], T]) -> T:
        """The same for what a catalogue can do beside other calls, and does not hold them up."""
        future = asyncio.get_running_loop().run_in_executor(self._beside, work, self._catalogue)
        return await asyncio.shield(future)

    def call_blocking(self, work: Callable[[Catalogue], T]) -> T:
        """The same for start and end, when no event loop runs."""
        return self._thread.submit(work, self._catalogue).result()

    def close(self) -> None:
        """Waits for calls under way, then closes the catalogue."""
        self._beside.shutdown()
        self._thread.submit(self._catalogue.close).result()
        self._thread.shutdown()
