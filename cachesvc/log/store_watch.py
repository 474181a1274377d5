"""Looks now and then whether each store answers, and is still the place that it was.

A file server that is not mounted looks like an empty directory, and a bucket of another account
like an empty bucket: what marks a place as this service's (``layout.OWNER``) tells them apart.
"""

import asyncio
import logging
from collections.abc import Callable

from cachesvc.errors import CacheError
from cachesvc.log.stores import Stores
from cachesvc.model import LOCAL_STORE

_log = logging.getLogger(__name__)
_LOOK_S = 15.0


class StoreWatch:
    """Belongs to one event loop; ``run`` has to run.

    Args:
        stores: All of them.
        in_use: The names of those in which segments lie.
    """

    def __init__(self, stores: Stores, in_use: Callable[[], set[str]]) -> None:
        self._stores = stores
        self._in_use = in_use
        self.away: dict[str, str] = {}
        """Why a store does not give what lies in it, by name, as it was last looked at."""

    async def run(self) -> None:
        """Looks again and again until cancelled; a store that is slow keeps no other waiting."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Looks at each store once; those that are gone from the settings are forgotten."""
        names = [name for name in self._stores.names if name != LOCAL_STORE]
        used = self._in_use()
        await asyncio.gather(*(self._look_at(name, used) for name in names))
        for name in self.away.keys() - set(names):
            del self.away[name]

    async def _look_at(self, name: str, used: set[str]) -> None:
        try:
            await asyncio.to_thread(self._stores.check_there, name, marked=name in used)
        except (CacheError, OSError) as error:
            if name not in self.away:
                _log.error(
                    "a store is away; what lies there cannot be read for now",
                    extra={"event": "store_away", "store": name, "error": str(error)},
                )
            self.away[name] = str(error)
            return
        if self.away.pop(name, None) is not None:
            _log.info("a store is back", extra={"event": "store_back", "store": name})
