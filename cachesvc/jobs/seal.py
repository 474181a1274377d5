"""Sealing on demand: what was mined until now becomes Parquet files, for whoever queries these."""

from collections import Counter
from collections.abc import Mapping

from cachesvc.jobs.job import ON_DEMAND, Progress
from cachesvc.log.log_store import LogStore


class Seal:
    """Has all journals sealed and waits until they are segments.

    Runs on demand alone, for journals are sealed by size, records and age anyway. What was mined
    before the run began is in segments when it has ended; mining goes on meanwhile.

    Args:
        store: Whose journals.
    """

    name = "seal"
    description = "make Parquet files of what was mined until now"
    interval_s = ON_DEMAND

    def __init__(self, store: LogStore) -> None:
        self._store = store

    async def run(self, progress: Progress) -> Mapping[str, int]:
        """See ``Job.run``.

        Raises:
            StoreUnwritable: The disk does not take it; the service goes on trying.
        """
        counts: Counter[str] = Counter(
            segments_made=0, records_sealed=0, journals_damaged=0, bytes_sealed=0
        )
        found = self._store.writer.roll_soon(self._store.in_order())
        for done, (log, entry) in enumerate(found):
            progress(done, len(found), f"{log.id.topic}/{log.id.partition}")
            if await self._store.sealer.settled(log, entry):
                counts["segments_made"] += 1
                counts["records_sealed"] += entry.index.record_count if entry.index else 0
                counts["bytes_sealed"] += entry.bytes
            else:
                counts["journals_damaged"] += 1
        progress(len(found), len(found), "")
        return counts
