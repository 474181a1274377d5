"""Sweep: deletes files that no manifest names, after a grace time."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from cachesvc.jobs.job import Progress
from cachesvc.log.log_store import LogStore
from cachesvc.store import layout
from cachesvc.store.segments import data_paths


class Sweep:
    """Deletes retired files, and those that a crash left without a name in the manifest.

    A reader that opened a file before it was retired keeps reading it: the grace time is for those
    outside the service that are about to open it.

    Args:
        store: Whose files.
        interval_s: Between runs.
        grace_s: How long such a file stays.
    """

    name = "sweep"
    description = "delete files that no manifest names"

    def __init__(self, store: LogStore, interval_s: float, grace_s: float) -> None:
        self.interval_s = interval_s
        self._store = store
        self._grace_ms = int(grace_s * 1000)

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``."""
        now_ms = time.time_ns() // 1_000_000
        before_ms = min(now_ms - self._grace_ms, self._store.builds.abandoned_before_ms())
        retired = await self._store.catalogue.call(lambda port: port.list_retired())
        # One that was retired in the future was so before the clock was set back.
        due = {path for path, at_ms in retired.items() if abs(now_ms - at_ms) >= self._grace_ms}
        listed = {
            path.as_posix()
            for segment in await self._store.catalogue.call(lambda port: port.list_segments())
            for path in data_paths(segment)
        }
        progress(0, 0, "looking for files")
        removed, freed = await asyncio.to_thread(
            _sweep, self._store.path, listed, set(retired), due, before_ms
        )
        await self._store.catalogue.call(lambda port: port.forget_retired(due))
        progress(1, 1, "")
        return {"files_deleted": removed, "bytes_freed": freed}


def _sweep(
    store: Path, listed: set[str], retired: set[str], due: set[str], before_ms: int
) -> tuple[int, int]:
    """Deletes; answers files and bytes. One that is neither listed nor retired goes by its age."""
    removed = freed = 0
    for root in (layout.LOG, layout.REJECTS):
        for path in (store / root).rglob("*"):
            name = path.relative_to(store).as_posix()
            if not path.is_file() or name in listed:
                continue
            status = path.stat()
            orphan = name not in retired and status.st_mtime * 1000 < before_ms
            if name in due or orphan:
                path.unlink()
                removed += 1
                freed += status.st_size
    return removed, freed
