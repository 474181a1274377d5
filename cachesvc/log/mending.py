"""Takes damaged journals out while the service runs, and has what they had mined again.

A journal that is damaged is closed and comes to its sealing. What of it is whole becomes segments;
the rest becomes a missing range, wanted whether somebody reads there or not, until it is mined
again or the source turns out not to have it. What is behind the damage stays where it is.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from cachesvc.log.backfill import Backfill
from cachesvc.log.builds import Builds
from cachesvc.log.catalogue_thread import CatalogueThread
from cachesvc.log.coverage_ranges import CoverageRanges
from cachesvc.log.damages import Damages
from cachesvc.log.locations import JournalEntry
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import PartitionId
from cachesvc.policy.coverage import Coverage, OffsetRange
from cachesvc.store import layout
from cachesvc.store.ports import Catalogue
from cachesvc.store.salvage import seal_whole_parts

_log = logging.getLogger(__name__)


class Mending:
    """Damage that was found. Belongs to one event loop; ``load`` comes first.

    Args:
        store: The store's directory.
        catalogue: Where damage is durable until it is mended.
        builds: Is told while files are being written.
        executor: Runs file I/O, decoding and encoding.
        ranges: All logs.
        backfill: Has what is missing mined.
        damages: Is told what was found.
    """

    def __init__(
        self,
        store: Path,
        catalogue: CatalogueThread,
        builds: Builds,
        executor: Executor,
        ranges: CoverageRanges,
        backfill: Backfill,
        damages: Damages,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._builds = builds
        self._executor = executor
        self._ranges = ranges
        self._backfill = backfill
        self.damages = damages
        self._damaged: dict[PartitionId, list[OffsetRange]] = {}

    def load(self) -> None:
        """Reads what is still to be mended, once all logs are known. Blocking."""
        for partition, ranges in self._catalogue.call_blocking(
            lambda port: port.list_damaged()
        ).items():
            for part in ranges:
                self.note(partition, part)

    def note_found(self, top: PartitionLog, missing_ranges: Sequence[OffsetRange]) -> None:
        """Notes damage that was found before the logs were entered. Blocking."""
        now_ms = time.time_ns() // 1_000_000
        starts = {top.id: top.log_start_offset}
        self._catalogue.call_blocking(
            lambda port: port.put_damaged(top.id, missing_ranges, [], starts, now_ms)
        )
        self.damages.note(top.id, "a journal", "it was damaged at the start", missing_ranges)

    def all_damaged(self) -> dict[PartitionId, list[OffsetRange]]:
        """What was damaged and is not mended, of every partition."""
        return {partition: list(ranges) for partition, ranges in self._damaged.items()}

    def damaged(self, partition: PartitionId) -> list[OffsetRange]:
        """What of a partition was damaged and is not mended."""
        return list(self._damaged.get(partition, ()))

    async def take_out(self, log: PartitionLog, entry: JournalEntry, error: Exception) -> None:
        """Takes a journal that is closed and not sealed out of its log.

        Raises:
            OSError: The disk does not take what is whole; all is as before.
            StoreUnwritable: Likewise.
        """
        now_ms = time.time_ns() // 1_000_000
        assert entry.index is not None
        loop = asyncio.get_running_loop()
        seal = partial(seal_whole_parts, backfilled=log.above is not None)
        with self._builds.under_way():
            whole = await loop.run_in_executor(
                self._executor, seal, self._store, log.id, entry.path, entry.index, now_ms
            )
            kept = Coverage.of(OffsetRange(s.base_offset, s.end_offset) for s in whole)
            missing_ranges = kept.gaps(OffsetRange(entry.base_offset, entry.end_offset))
            starts = {log.id: entry.end_offset} if log.above is None and missing_ranges else {}
            await self._catalogue.call(
                lambda port: port.put_damaged(log.id, missing_ranges, whole, starts, now_ms)
            )
        await loop.run_in_executor(self._executor, _set_aside, self._store, entry.path)
        log = log.current
        log.journals.remove(entry)
        self._ranges.cut(log, OffsetRange(entry.base_offset, entry.end_offset), whole)
        for missing in missing_ranges:
            self.note(log.id, missing)
        self.damages.note(log.id, str(entry.path), error, missing_ranges)
        _log.error(
            "a journal is damaged; what it had is mined again",
            extra={
                "event": "journal_damaged",
                "journal": str(entry.path),
                "error": str(error),
                "lost": ", ".join(map(str, missing_ranges)),
            },
        )

    def note(self, partition: PartitionId, missing: OffsetRange) -> None:
        """Has a range mined again whose damage is in the catalogue."""
        self._damaged.setdefault(partition, []).append(missing)
        self._ranges.reach(partition, missing.begin)
        self._backfill.want(missing, partition, missing.begin, missing.end)

    async def forget_mended(self) -> None:
        """Forgets damage whose range was mined again, or is lost for good."""
        for partition in list(self._damaged):
            for missing in self.damaged(partition):
                if self._is_mended(partition, missing):
                    await self._catalogue.call(partial(_forget, partition, missing))
                    self._backfill.leave(missing, partition)
                    self._damaged[partition].remove(missing)
            if not self._damaged[partition]:
                del self._damaged[partition]

    def _is_mended(self, partition: PartitionId, missing: OffsetRange) -> bool:
        *_, top = logs = self._ranges.of(partition)
        covered = Coverage.of(OffsetRange(log.log_start_offset, log.log_end_offset) for log in logs)
        lost = Coverage.of(OffsetRange(lost.begin, lost.end) for lost in top.lost)
        return top.ended_by is not None or all(map(lost.contains, covered.gaps(missing)))


def _forget(partition: PartitionId, missing: OffsetRange, port: Catalogue) -> None:
    port.forget_damaged(partition, missing)


def _set_aside(store: Path, path: Path) -> None:
    with contextlib.suppress(OSError):  # gone, or left where the next start deletes it
        path.rename(layout.quarantine_path(store, path, time.time_ns()))
