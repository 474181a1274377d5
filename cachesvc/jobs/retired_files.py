"""Files that the manifest named once, until they are deleted."""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import PurePosixPath

from cachesvc.errors import StoreUnwritable
from cachesvc.log.log_store import LogStore
from cachesvc.log.stores import Stores
from cachesvc.subscriptions.retention import Retention

_log = logging.getLogger(__name__)


class RetiredFiles:
    """Deletes what was merged or has expired, a grace time after that.

    A reader that opened a file before it was retired keeps reading it: the grace time is for those
    outside the service that are about to open it. It is no longer than what merging may make of a
    retention, so that records that stay for seconds do not stay on disk for minutes.

    Args:
        store: Whose files.
        retention: How long what is in them was to stay.
        grace_s: How long such a file stays.
    """

    def __init__(self, store: LogStore, retention: Retention, grace_s: float) -> None:
        self._store = store
        self._retention = retention
        self.grace_ms = int(grace_s * 1000)

    async def delete_due(self) -> tuple[int, int, set[str]]:
        """Deletes those whose time is over. Cancel-safe.

        Returns:
            How many files, their bytes, and the names of those that stay.
        """
        now_ms = time.time_ns() // 1_000_000
        retired = await self._store.catalogue.call(lambda port: port.list_retired())
        # One that was retired in the future was so before the clock was set back.
        due = {
            path: file.store
            for path, file in retired.items()
            if abs(now_ms - file.retired_ms) >= self._grace(path)
        }
        if not due:
            return 0, 0, set(retired)
        gone, removed, freed = await self._delete(due)
        return removed, freed, set(retired) - gone

    async def delete_now(self, store: str) -> None:
        """Deletes those of a store that has no room for their grace time. Cancel-safe."""
        retired = await self._store.catalogue.call(lambda port: port.list_retired())
        due = {path: file.store for path, file in retired.items() if file.store == store}
        if due:
            await self._delete(due)

    async def _delete(self, due: Mapping[str, str]) -> tuple[set[str], int, int]:
        gone, removed, freed = await asyncio.to_thread(_delete, self._store.stores, due)
        await self._store.catalogue.call(lambda port: port.forget_retired(gone))
        return gone, removed, freed

    def _grace(self, path: str) -> int:
        _, connection, *_ = PurePosixPath(path).parts
        return min(self.grace_ms, self._retention.rule(connection).merged_span_ms)


def _delete(stores: Stores, due: Mapping[str, str]) -> tuple[set[str], int, int]:
    """Deletes files by path and store; answers those that are gone, how many were there, bytes.

    What a store that is away does not delete stays for the next time.
    """
    gone: set[str] = set()
    removed = freed = 0
    away: set[str] = set()
    for path, store in due.items():
        if store in away:
            continue
        try:
            size = stores.files(store).delete(path)
        except StoreUnwritable as error:
            away.add(store)
            _log.warning(
                "a store does not delete files for now",
                extra={"event": "delete_failed", "store": store, "error": str(error)},
            )
            continue
        gone.add(path)
        removed += bool(size)
        freed += size
    return gone, removed, freed
