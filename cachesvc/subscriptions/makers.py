"""Who made which subscription, so that nobody makes too many."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cachesvc.errors import CacheError
from cachesvc.log.catalogue_thread import CatalogueThread

_STORE_INTERVAL_S = 1.0
_log = logging.getLogger(__name__)


class Makers:
    """Counts subscriptions by who made them. Belongs to one event loop; ``run`` has to run.

    What is new is stored every second and at a clean end, so that making one costs no transaction
    of its own; a service that is killed forgets whose the last ones were, and lets them make a few
    more.

    Args:
        catalogue: Where makers are kept.
        exists: Whether there is a subscription of a name.
    """

    def __init__(self, catalogue: CatalogueThread, exists: Callable[[str], bool]) -> None:
        self._catalogue = catalogue
        self._exists = exists
        self._by_maker: dict[str, set[str]] = defaultdict(set)
        self._making: set[str] = set()
        self._new: dict[str, str] = {}
        for name, maker in catalogue.call_blocking(lambda port: port.makers.all()).items():
            self._by_maker[maker].add(name)

    def count(self, maker: str, exact_from: int = 0) -> int:
        """How many subscriptions of somebody there are.

        Those that have gone are looked for where the count would come to ``exact_from``, so that
        making many does not go over all of them each time; below it they may be among it.
        """
        names = self._by_maker.get(maker)
        if names is None:
            return 0
        if len(names) < exact_from:
            return len(names)
        gone = [name for name in names if not self._exists(name) and name not in self._making]
        names.difference_update(gone)
        return len(names)

    @contextmanager
    def making(self, name: str, maker: str) -> Iterator[None]:
        """Counts a subscription that is made within, unless that fails."""
        self._by_maker[maker].add(name)
        self._making.add(name)
        try:
            yield
            self._new[name] = maker
        finally:
            self._making.discard(name)

    async def run(self) -> None:
        """Stores what is new until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(_STORE_INTERVAL_S)
                await self._store()
        finally:
            await self._store()

    async def _store(self) -> None:
        new, self._new = self._new, {}
        if not new:
            return
        try:
            await self._catalogue.call(lambda port: port.makers.put(new))
        except CacheError as error:
            self._new = new | self._new
            fields = {"event": "makers_not_stored", "error": str(error)}
            _log.warning("who made subscriptions cannot be stored for now", extra=fields)
