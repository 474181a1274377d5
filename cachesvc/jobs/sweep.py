"""Sweep: deletes files that no manifest names, after a grace time."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from cachesvc.jobs.job import Progress
from cachesvc.jobs.retired_files import RetiredFiles
from cachesvc.log.log_store import LogStore
from cachesvc.store import layout
from cachesvc.store.segments import data_paths


class Sweep:
    """Deletes retired files, and those that a crash left without a name in the manifest.

    Args:
        store: Whose files.
        retired: Of those that the manifest named once; tells the grace time of the others too.
        interval_s: Between runs.
    """

    name = "sweep"
    description = "delete files that no manifest names"

    def __init__(self, store: LogStore, retired: RetiredFiles, interval_s: float) -> None:
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
        removed, freed, named = await self._retired.delete_due()
        named.update(path.as_posix() for segment in segments for path in data_paths(segment))
        orphans, orphan_bytes = await asyncio.to_thread(_sweep, self._store.path, named, before_ms)
        progress(1, 1, "")
        return {"files_deleted": removed + orphans, "bytes_freed": freed + orphan_bytes}


def _sweep(store: Path, named: set[str], before_ms: int) -> tuple[int, int]:
    """Deletes what nobody names, by its age; answers files and bytes."""
    removed = freed = 0
    for root in (layout.LOG, layout.REJECTS):
        for path in (store / root).rglob("*"):
            if path.relative_to(store).as_posix() in named or not path.is_file():
                continue
            status = path.stat()
            if status.st_mtime * 1000 < before_ms:
                path.unlink()
                removed += 1
                freed += status.st_size
    return removed, freed
