"""Results of costly work, shared by everybody who wants the same one.

Many tasks that catch up on one range ask for the same chunk at nearly the same time: the first one
starts the work, the others wait for it (single flight), later ones find it as long as it fits the
byte budget (least recently used leaves first).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class CacheCounts(Protocol):
    """How a cache is doing."""

    @property
    def bytes(self) -> int:
        """Kept now."""

    @property
    def hits(self) -> int:
        """Answers of what was kept, or on its way."""

    @property
    def misses(self) -> int:
        """Answers that had to be made."""


class SharedCache(Generic[K, V]):
    """A byte-bounded cache with single flight. Belongs to one event loop.

    Args:
        bytes_max: Sum of the sizes of what is kept; a larger single value is shared by those who
            wait for it, and not kept.
        size: Bytes that a value counts for.
    """

    def __init__(self, bytes_max: int, size: Callable[[V], int]) -> None:
        self._bytes_max = bytes_max
        self._size = size
        self._bytes = 0
        self.hits = 0
        """How often somebody was given what was kept, or was on its way."""
        self.misses = 0
        """How often it had to be made."""
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._flights: dict[K, asyncio.Task[V]] = {}

    @property
    def bytes(self) -> int:
        """Bytes kept now, never more than the budget."""
        return self._bytes

    def __contains__(self, key: K) -> bool:
        """Whether a value is kept now."""
        return key in self._kept

    def has(self, key: K) -> bool:
        """Whether a value is there, or on its way."""
        return key in self._kept or key in self._flights

    async def get(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """The value of ``key``, made by ``make`` unless it is there or on its way.

        Cancel-safe: a caller that is cancelled does not cancel the work others wait for.

        Raises:
            Exception: What ``make`` raised, for everybody who waited for it; nothing is kept.
        """
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
            self.hits += 1
            return kept[0]
        flight = self._flights.get(key)
        if flight is not None:
            self.hits += 1
        else:
            self.misses += 1
            flight = asyncio.ensure_future(self._fly(key, make))
            flight.add_done_callback(_retrieve)
            self._flights[key] = flight
        return await asyncio.shield(flight)

    async def _fly(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        try:
            value = await make()
        finally:
            self._flights.pop(key, None)
        self._keep(key, value)
        return value

    def _keep(self, key: K, value: V) -> None:
        size = self._size(value)
        if size > self._bytes_max:
            return
        self._kept[key] = (value, size)
        self._bytes += size
        while self._bytes > self._bytes_max:
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed

    def forget(self, matches: Callable[[K], bool]) -> None:
        """Drops the values of all keys that match."""
        for key in [key for key in self._kept if matches(key)]:
            self._bytes -= self._kept.pop(key)[1]


def _retrieve(task: "asyncio.Task[object]") -> None:
    """Marks a failure as seen, also when everybody who waited was cancelled."""
    if not task.cancelled():
        task.exception()
