"""Copies of the catalogue beside it, for the day when it is damaged or lost.

The newest two stay, so that one is there while the next is written. A copy is as old as the
interval at most; where nothing was written there is nothing to copy. What was changed behind the
older of the two is kept beside them, so that either can be brought up to the last change.
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
        self._copied: list[tuple[int, int]] = []
        self._newest_has = 0

    async def run(self) -> None:
        """Copies until cancelled."""
        took_s = 0.0
        while True:
            await asyncio.sleep(max(self._interval_s, took_s * _SHARE))
            began_s = time.monotonic()
            try:
                await self.write()
            except (OSError, StoreUnwritable) as error:
                _log.warning(
                    "the catalogue cannot be copied, trying again",
                    extra={"event": "catalogue_copy_failed", "error": str(error)},
                )
            took_s = time.monotonic() - began_s

    async def write(self) -> None:
        """Writes a copy, unless the newest is as good.

        Raises:
            OSError: The disk does not take it; the copies before are as they were.
            StoreUnwritable: Likewise.
        """
        await self._catalogue.call(lambda port: port.settle())
        files = await asyncio.to_thread(_state, self._store)
        if files == self._copied:
            return
        new = self._store / layout.CATALOGUE_COPY_NEW
        number = await self._catalogue.call(lambda port: port.part_changes())
        await self._catalogue.beside(lambda port: port.copy_to(new))
        await asyncio.to_thread(_publish, self._store)
        self._copied = files
        before_has, self._newest_has = self._newest_has, number
        await self._catalogue.call(lambda port: port.forget_changes(before_has))


def _state(store: Path) -> list[tuple[int, int]]:
    """Changes with every commit: when the catalogue's files were written, and how long they are."""
    files = [store / layout.CATALOGUE, store / f"{layout.CATALOGUE}.wal"]
    found = [path.stat() for path in files if path.exists()]
    return [(status.st_mtime_ns, status.st_size) for status in found]


def _publish(store: Path) -> None:
    new = store / layout.CATALOGUE_COPY_NEW
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    newest, before = (store / name for name in layout.CATALOGUE_COPIES)
    if newest.exists():
        newest.rename(before)
    new.rename(newest)
    sync_directory(store)
