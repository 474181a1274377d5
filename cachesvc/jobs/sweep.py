"""Sweep: deletes files that no manifest names after a grace time, and old damaged ones."""

import asyncio
import time
from collections.abc import Mapping

from cachesvc.errors import PreconditionFailed
from cachesvc.jobs.job import Progress
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.log.log_store import LogStore
from cachesvc.log.stores import Stores
from cachesvc.model import LOCAL_STORE
from cachesvc.store import layout
from cachesvc.store.quarantine import delete_quarantined
from cachesvc.store.segments import data_paths

CLOCK_SKEW_MS = 15 * 60_000
"""How far the clock of a store may be from this one; S3 refuses requests from further away."""


class Sweep:
    """Deletes retired files, and those that a crash left without a name in the manifest.

    Args:
        store: Whose files.
        retired: Of those that the manifest named once; tells the grace time of the others too.
        interval_s: Between runs.
        quarantine_age_s: How long damaged files are kept; 0 for good.
    """

    name = "sweep"
    description = "delete files that no manifest names"

    def __init__(
        self,
        store: LogStore,
        retired: RetiredFiles,
        interval_s: float,
        quarantine_age_s: float = 0.0,
    ) -> None:
        self._quarantine_age_ms = int(quarantine_age_s * 1000)
        self.interval_s = interval_s
        self._store = store
        self._retired = retired

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``."""
        now_ms = time.time_ns() // 1_000_000
        before_ms = min(now_ms - self._retired.grace_ms, self._store.builds.abandoned_before_ms())
        progress(0, 0, "looking for files")
        # In this order, so that what is retired meanwhile is in one of the lists, or in both.
        segments = await self._store.catalogue.call(lambda port: port.list_segments())
        snapshots = await self._store.catalogue.call(lambda port: port.snapshots.list())
        removed, freed, named = await self._retired.delete_due()
        named.update(path.as_posix() for segment in segments for path in data_paths(segment))
        named.update(snapshot.file.path for snapshot in snapshots)
        stores = self._store.stores
        failure: Exception | None = None
        for number, name in enumerate(stores.names):
            progress(number, len(stores.names), name)
            try:
                files, size = await asyncio.to_thread(_sweep, stores, name, named, before_ms)
            except PreconditionFailed as error:
                failure = error  # the others are swept all the same
                continue
            removed += files
            freed += size
        if self._quarantine_age_ms:
            old_ms = now_ms - self._quarantine_age_ms
            files, size = await asyncio.to_thread(delete_quarantined, self._store.path, old_ms)
            removed += files
            freed += size
        progress(len(stores.names), len(stores.names), "")
        if failure is not None:
            raise failure
        return {"files_deleted": removed, "bytes_freed": freed}


def _sweep(stores: Stores, name: str, named: set[str], before_ms: int) -> tuple[int, int]:
    """Deletes what nobody names of a store, by its age; answers files and bytes.

    Ages of what lies elsewhere are told by another clock, which may lag.
    """
    stores.claim(name)
    if name != LOCAL_STORE:
        before_ms -= CLOCK_SKEW_MS
    files = stores.files(name)
    removed = freed = 0
    for root in (layout.LOG, layout.REJECTS, layout.SNAPSHOTS):
        for found in files.list(root):
            if found.path not in named and found.written_ms < before_ms:
                freed += files.delete(found.path)
                removed += 1
    return removed, freed
