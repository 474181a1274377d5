"""Files that the manifest named once, until they are deleted."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from cachesvc.log.log_store import LogStore
from cachesvc.subscriptions.retention import Retention


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
        due = {path for path, at_ms in retired.items() if abs(now_ms - at_ms) >= self._grace(path)}
        if not due:
            return 0, 0, set(retired)
        removed, freed = await asyncio.to_thread(_delete, self._store.path, due)
        await self._store.catalogue.call(lambda port: port.forget_retired(due))
        return removed, freed, set(retired) - due

    def _grace(self, path: str) -> int:
        _, connection, *_ = PurePosixPath(path).parts
        return min(self.grace_ms, self._retention.rule(connection).merged_span_ms)


def _delete(store: Path, names: Iterable[str]) -> tuple[int, int]:
    removed = freed = 0
    for name in names:
        path = store / name
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        removed += 1
        freed += size
    return removed, freed
