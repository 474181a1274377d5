"""The catalogue beside the event loop: one thread, calls in order."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cachesvc.policy.histogram import Histogram
from cachesvc.store.ports import Catalogue

T = TypeVar("T")
_CALL_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class CatalogueThread:
    """Runs calls of a catalogue port one after the other in a thread of its own."""

    def __init__(self, open_catalogue: Callable[[], Catalogue]) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalogue")
        self.took = Histogram(_CALL_S)
        """Seconds of calls, with what they waited for those before them."""
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
        began_s = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, self._catalogue)
        try:
            return await asyncio.shield(future)
        finally:
            self.took.add(time.monotonic() - began_s)

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
