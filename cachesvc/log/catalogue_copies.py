"""Copies of the catalogue beside it, for the day when it is damaged or lost.

The newest two stay, so that one is there while the next is written. A copy is as old as the
interval at most; where nothing was asked of the catalogue there is nothing to copy.
"""

import asyncio
import logging
import os
import time
from pathlib import Path

from cachesvc.errors import StoreUnwritable
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.store import layout
from cachesvc.store.journal import sync_directory

_SHARE = 50
_log = logging.getLogger(__name__)


class CatalogueCopies:
    """Writes copies. Belongs to one event loop.

    Args:
        store: The store's directory.
        catalogue: What is copied.
        interval_s: Between copies, at least; more where one takes long, so that copies take two
            hundredths of the time at most.
    """

    def __init__(self, store: Path, catalogue: CatalogueThread, interval_s: float) -> None:
        self._store = store
        self._catalogue = catalogue
        self._interval_s = interval_s
        self._copied_at = -1

    async def run(self) -> None:
        """Copies, from now on until cancelled."""
        while True:
            began_s = time.monotonic()
            try:
                await self.write()
            except (OSError, StoreUnwritable) as error:
                _log.warning(
                    "the catalogue cannot be copied, trying again",
                    extra={"event": "catalogue_copy_failed", "error": str(error)},
                )
            took_s = time.monotonic() - began_s
            await asyncio.sleep(max(self._interval_s, took_s * _SHARE))

    async def write(self) -> None:
        """Writes a copy, unless the newest is as good.

        Raises:
            OSError: The disk does not take it; the copies before are as they were.
            StoreUnwritable: Likewise.
        """
        calls = self._catalogue.calls
        if calls == self._copied_at:
            return
        new = self._store / layout.CATALOGUE_COPY_NEW
        await self._catalogue.beside(lambda port: port.copy_to(new))
        await asyncio.to_thread(_publish, self._store)
        self._copied_at = calls


def _publish(store: Path) -> None:
    new = store / layout.CATALOGUE_COPY_NEW
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    newest, before = (store / name for name in layout.CATALOGUE_COPIES)
    if newest.exists():
        newest.rename(before)
    new.rename(newest)
    sync_directory(store)
