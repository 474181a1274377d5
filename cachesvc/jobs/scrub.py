"""Scrub: reads every segment, snapshot and journal to see if it is whole, a little at a time."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from cachesvc.errors import StoreUnreadable, StoreUnwritable
from cachesvc.jobs.job import Progress
from cachesvc.jobs.journal_scrub import JournalScrub
from cachesvc.jobs.pace import Pace
from cachesvc.jobs.skipping import Skipped
from cachesvc.jobs.snapshot_scrub import SnapshotScrub
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.model import Segment
from cachesvc.store.salvage import damage_of

_NOTE_S = 5.0


class Scrub:
    """Finds damage before somebody needs what is damaged, and has it repaired.

    A run goes over all journals and snapshots and then over all segments, slowly enough to leave
    the disk to others. One that is ended goes on at the segment where it was the next time;
    segments that are made meanwhile wait for the next run. What a store that is away has is left
    to the next one, which fails this run once it has looked at the rest.

    Args:
        store: Whose files.
        interval_s: Between runs.
        bytes_per_s_max: Read in a second, on average.
        snapshots: Checks those as well; None where there are none.
    """

    name = "scrub"
    description = "read all segments, snapshots and journals, and repair those that are damaged"

    def __init__(
        self,
        store: LogStore,
        interval_s: float,
        bytes_per_s_max: int,
        snapshots: SnapshotScrub | None = None,
    ) -> None:
        self.interval_s = interval_s
        self._store = store
        self._bytes_per_s_max = bytes_per_s_max
        self._snapshots = snapshots
        self._found_whole: list[str] = []

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``.

        Raises:
            StoreUnreadable: A store is away, or a file is not to be read; all others were.
        """
        skipped = Skipped()
        thread = ThreadPoolExecutor(1, thread_name_prefix="scrub")
        pace = Pace(self._bytes_per_s_max)
        try:
            counts = Counter(await JournalScrub(self._store, thread, pace).run(progress))
            if self._snapshots is not None:
                counts.update(await self._snapshots.run(pace, progress, skipped))
            counts.update(await self._segments(thread, pace, progress, skipped))
        finally:
            thread.shutdown(wait=False)
        skipped.tell()
        return counts

    async def _segments(
        self, thread: ThreadPoolExecutor, pace: Pace, progress: Progress, skipped: Skipped
    ) -> Mapping[str, int]:
        done = await self._store.catalogue.call(lambda port: port.list_scrubbed())
        every = [(log, segment) for log in self._store.in_order() for segment in log.segments]
        left = [(log, segment) for log, segment in every if segment.path not in done]
        counts: Counter[str] = Counter(segments_checked=0, bytes_checked=0, segments_damaged=0)
        noted_s = time.monotonic()
        left_out = 0
        try:
            for number, (log, segment) in enumerate(left, len(every) - len(left)):
                if segment.store in skipped:
                    continue
                progress(number, len(every), f"{log.id.topic}/{log.id.partition}")
                pace.begin()
                try:
                    counts["segments_damaged"] += await self._check(thread, log, segment)
                except (StoreUnreadable, StoreUnwritable) as error:
                    skipped.add(segment.store, error)
                    left_out += 1
                    continue
                counts["segments_checked"] += 1
                counts["bytes_checked"] += segment.bytes
                if time.monotonic() - noted_s > _NOTE_S:
                    await self._note()
                    noted_s = time.monotonic()
                await pace.end(segment.bytes)
        except BaseException:
            await self._note()
            raise
        if left_out:
            await self._note()  # so that the next run looks at what this one could not
        else:
            self._found_whole.clear()
            await self._store.catalogue.call(lambda port: port.forget_scrubbed())
        progress(len(every), len(every), "")
        return counts

    async def _check(self, thread: ThreadPoolExecutor, log: PartitionLog, segment: Segment) -> bool:
        """Whether it was damaged, and is repaired now."""
        loop = asyncio.get_running_loop()
        at_hand = self._store.stores.at_hand([segment], segment.store, missing_ok=True)
        async with at_hand as directory:
            damage = await loop.run_in_executor(thread, damage_of, directory, segment)
        if not damage:
            self._found_whole.append(segment.path)
            return False
        live = any(each.path == segment.path for each in log.current.segments)
        return live and await self._store.repair.mend(log, segment)

    async def _note(self) -> None:
        """Makes durable what was found whole, so that the next run need not look again."""
        paths, self._found_whole = self._found_whole, []
        if paths:
            await self._store.catalogue.call(lambda port: port.put_scrubbed(paths))
