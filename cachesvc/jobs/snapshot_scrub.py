"""The part of scrub that reads snapshots: a damaged one is taken out and made again."""

import logging
from collections import Counter

from cachesvc.errors import CacheError, StoreUnreadable, StoreUnwritable
from cachesvc.jobs.job import Progress
from cachesvc.jobs.pace import Pace
from cachesvc.jobs.skipping import Skipped
from cachesvc.jobs.snapshot import Wanted
from cachesvc.log.log_store import LogStore
from cachesvc.model import PartitionId
from cachesvc.snapshots.maker import SnapshotMaker
from cachesvc.snapshots.shelf import Shelf

_log = logging.getLogger(__name__)


class SnapshotScrub:
    """Reads all snapshots, slowly enough to leave the disk to others.

    What is made instead of a damaged one continues the newest whole one, or is made of segments
    alone: where neither reaches as far back, it tells from where it is complete.

    Args:
        store: Whose.
        shelf: Has them.
        maker: Makes others.
        wanted: Says of which topics there are to be some.
    """

    def __init__(self, store: LogStore, shelf: Shelf, maker: SnapshotMaker, wanted: Wanted) -> None:
        self._store = store
        self._shelf = shelf
        self._maker = maker
        self._wanted = wanted

    async def run(self, pace: Pace, progress: Progress, skipped: Skipped) -> Counter[str]:
        """Checks each once; what was done, as counts by name. Those it cannot read it notes."""
        counts: Counter[str] = Counter(snapshots_checked=0, bytes_checked=0, snapshots_damaged=0)
        every = self._shelf.all()
        for number, snapshot in enumerate(every):
            if snapshot.file.store in skipped:
                continue
            partition = snapshot.partition
            progress(number, len(every), f"snapshots of {partition.topic}/{partition.partition}")
            pace.begin()
            try:
                damaged = await self._maker.check(snapshot)
            except (StoreUnreadable, StoreUnwritable) as error:
                skipped.add(snapshot.file.store, error)
                continue
            counts["snapshots_checked"] += 1
            counts["bytes_checked"] += snapshot.file.bytes
            if damaged:
                counts["snapshots_damaged"] += 1
                _log.error(
                    "a snapshot is damaged; it is made again",
                    extra={"event": "snapshot_damaged", "snapshot": snapshot.file.path},
                )
                await self._make_again(snapshot.partition)
            await pace.end(snapshot.file.bytes)
        return counts

    async def _make_again(self, partition: PartitionId) -> None:
        log = self._store.get(partition)
        debezium = self._wanted(partition.topic_id)
        if log is None or log.ended_by is not None or debezium is None:
            return
        try:
            await self._maker.make(log, debezium=debezium, progress=lambda done, total: None)
        except (CacheError, FileNotFoundError) as error:  # the next run of the job tries again
            _log.warning(
                "a snapshot cannot be made again for now",
                extra={
                    "event": "snapshot_failed",
                    "partition": str(partition),
                    "error": str(error),
                },
            )
