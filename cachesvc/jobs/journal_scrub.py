"""The part of the scrub that reads journals."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor

from cachesvc.errors import DamagedFile
from cachesvc.jobs.job import Progress
from cachesvc.jobs.pace import Pace
from cachesvc.log.locations import JournalEntry
from cachesvc.log.log_store import LogStore
from cachesvc.log.partition_log import PartitionLog
from cachesvc.store.journal import check_frames


class JournalScrub:
    """Checks every frame of every journal, those that take appends up to what they have now.

    What of a damaged journal is whole becomes segments, and the rest is mined again. One that is
    sealed goes: its segment has the same records.

    Args:
        store: Whose journals.
        executor: Reads.
        pace: How fast.
    """

    def __init__(self, store: LogStore, executor: Executor, pace: Pace) -> None:
        self._store = store
        self._executor = executor
        self._pace = pace

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """Looks at all that there are."""
        counts: Counter[str] = Counter(journals_checked=0, bytes_checked=0, journals_damaged=0)
        every = [(log, entry) for log in self._store.in_order() for entry in log.journals]
        for number, (log, entry) in enumerate(every):
            progress(number, len(every), f"journals of {log.id.topic}/{log.id.partition}")
            if entry not in log.current.journals:
                continue
            counts["bytes_checked"] += entry.bytes
            counts["journals_checked"] += 1
            try:
                await self._check(log, entry)
            except (DamagedFile, FileNotFoundError) as error:
                counts["journals_damaged"] += await self._take_out(log.current, entry, error)
        return counts

    async def _check(self, log: PartitionLog, entry: JournalEntry) -> None:
        loop = asyncio.get_running_loop()
        begin, end = 0, entry.bytes
        while begin < end:
            self._pace.begin()
            checked = await loop.run_in_executor(
                self._executor, check_frames, entry.path, log.id, begin, end
            )
            await self._pace.end(checked - begin)
            begin = checked

    async def _take_out(self, log: PartitionLog, entry: JournalEntry, error: Exception) -> bool:
        """Whether it is still one of the log's; else whoever took it away had a reason."""
        if entry not in log.journals:
            return False
        if entry.sealed:
            await self._store.reader.leave_to_segment(log, entry, error)
        else:
            await self._store.mend_journal(log, entry)
        return True
